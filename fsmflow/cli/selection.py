"""Does an action to all of a selection: begins a repair, and drives it in this process, so that no worker is needed.

The set is frozen before anybody is asked, and each member is asked once, whoever drives: what is killed in the middle
is taken up by workers. The results are read from the members, so that it does not matter who has asked them.
"""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from types import FrameType
from typing import Final

from fsmflow.cli import output
from fsmflow.cli.bar import Bar, can_show
from fsmflow.cli.hints import note_of
from fsmflow.cli.options import Wanted
from fsmflow.cli.results import Result, Tally, report, tell, told_error, told_proposal, told_way
from fsmflow.decision.actions import ACTIONS, Action
from fsmflow.decision.happenings import Asked
from fsmflow.decision.inputs import Actor
from fsmflow.decision.member import PAUSED, STILL_PAUSED, Fate, Member
from fsmflow.definition.names import CANCELLED, FAILED, WORKING
from fsmflow.engine.runtime import Runtime, collecting, current
from fsmflow.engine.selection import filter_of, select
from fsmflow.engine.teams import reach_of
from fsmflow.errors import TransitionConflict, TransitionNotAllowed
from fsmflow.operations import repairs
from fsmflow.operations.plan import Plan
from fsmflow.operations.repair import Repair
from fsmflow.running.drive import Drive
from fsmflow.scope import scope

_PAGE: Final = 200
#: The states in which members are seen and asked.
_ASKS: Final = ("previewing", "running")


def act(action: Action, asked: Asked, wanted: Wanted, *, as_json: bool) -> int:
    """Do it to all of a selection, and report. The exit status: 1 if any was refused."""
    runtime, plan = current(), _plan(action, asked, wanted)
    note_of(runtime, wanted.selection)
    if wanted.dry_run:
        return _foresee(runtime, action, wanted, plan, as_json=as_json)
    first = repairs.first_of(plan)
    if first is None:
        tell(action, (), _hidden(), as_json=as_json)
        report(action, Tally(), dry_run=False, is_one=False)
        _hint(runtime, wanted, asked.actor)
        return 0
    with collecting() as rings:
        made = repairs.begin(replace(plan, first=first), confirm=True)
    status = _Run(runtime, made, asked.actor, as_json=as_json).show(Drive(runtime, made.row, rings))
    _hint(runtime, wanted, asked.actor)
    return status


def carry_on(made: Repair, *, actor: Actor | None, reason: str | None, as_json: bool) -> int:
    """Go on with a repair that was begun so and has not ended, in this process. The exit status as of ``act``."""
    runtime = current()
    run = _Run(runtime, made, actor, as_json=as_json)
    with collecting() as rings:
        if made.state not in _ASKS or made.paused or made.phase == FAILED:
            repairs.resume(made, actor=actor, reason=reason)
    return run.show(Drive(runtime, made.row, rings))


def _plan(action: Action, asked: Asked, wanted: Wanted) -> Plan:
    names = {"data": "patch"}
    taken = [names.get(option, option) for option in action.options if option != "epoch"]
    given = {name: getattr(asked, name) for name in taken}
    return Plan(
        action=action.name,
        selection=wanted.selection,
        limit=wanted.limit,
        reason=asked.reason,
        key=asked.key,
        by_hand=True,
        **Plan.person(asked.actor),
        **given,
    )


def _foresee(runtime: Runtime, action: Action, wanted: Wanted, plan: Plan, *, as_json: bool) -> int:
    """Tell what would be done, and write nothing."""
    tally, total = Tally(), None
    shown = can_show(as_json=as_json)
    if shown and wanted.limit is None:
        asked = wanted.selection
        meant = asked if asked.waiting else replace(asked, phase=asked.phase or action.phase)
        total = runtime.store.listing.count(filter_of(runtime, meant, reach=reach_of(runtime, plan.who)))

    def results(bar: Bar) -> Iterator[Result]:
        for member in repairs.foreseen(plan):
            bar.advance()
            yield _result_of(member, plan, dry_run=True)

    with Bar(action.name, total=total, shown=shown) as bar:
        tell(action, tally.counting(results(bar)), bar, as_json=as_json)
    report(action, tally, dry_run=True, is_one=False)
    _hint(runtime, wanted, plan.who)
    return 1 if tally.refused else 0


def _hidden() -> Bar:
    return Bar("", total=None, shown=False)


def _hint(runtime: Runtime, wanted: Wanted, actor: Actor | None) -> None:
    """Say what else waits: branches, which a selection leaves out that does not ask for them, and what is paused."""
    asked = wanted.selection
    if not asked.waiting:
        return
    held = next(select(runtime, replace(asked, waiting=False, held=True), limit=1, actor=actor), None)
    if held is not None:
        output.note(f"{held.address} and maybe others would wait too, but a pause holds them: 'resume' first")
    if asked.branches or asked.branch is not None:
        return
    found = next(select(runtime, replace(asked, branch="*"), limit=1, actor=actor), None)
    if found is not None:
        output.note(f"{found.address} and maybe other branches wait too: --branches takes them along")


class _Run:
    """A repair that this process drives, and what it tells of it."""

    def __init__(self, runtime: Runtime, made: Repair, actor: Actor | None, *, as_json: bool) -> None:
        self._runtime = runtime
        self._made = made
        self._plan = made.plan
        self._action = ACTIONS[self._plan.action]
        self._actor = actor
        self._as_json = as_json
        self._tally = Tally()
        self._rows = runtime.store.members
        # Of one that was begun before, those whose turn has not come are told.
        pending = self._rows.page(made.row, Fate.PENDING, limit=1)
        self._told = pending[0].entity - 1 if pending else self._rows.last(made.row)
        self._is_counted = False

    def show(self, drive: Drive) -> int:
        """Drive it until all are asked, and print what came of each; then the numbers. The exit status. Whoever ends
        this before its time stops the repair, too."""
        shown = can_show(as_json=self._as_json)
        try:
            with (
                drive,
                Bar(self._action.name, total=None, shown=shown) as bar,
                closing(self._results(drive, bar)) as results,
            ):
                tell(self._action, self._tally.counting(results), bar, as_json=self._as_json)
        except BaseException:  # Ctrl-C included, and nobody who reads: what was done is told, and it goes on its way
            self._report()
            raise
        return self._report()

    def _results(self, drive: Drive, bar: Bar) -> Generator[Result]:
        with _interruption() as is_interrupted:
            try:
                while self._goes_on() and drive.go_on():
                    yield from self._news(bar)
                    if is_interrupted():
                        raise KeyboardInterrupt
                yield from self._news(bar)
            except BaseException:
                self._stop()
                raise

    def _goes_on(self) -> bool:
        """Whether there is more for this process to do. How those end that have a step to run is left to workers, and
        so is what has failed itself."""
        made = self._made.refresh()
        if made.phase != WORKING or made.has_failed_so_far:
            return False
        return made.state in _ASKS or not self._rows.under_way(made.row)

    def _news(self, bar: Bar) -> Iterator[Result]:
        """Those that were asked since the last look, in order."""
        if not self._is_counted and self._made.refresh().state != _ASKS[0]:
            self._is_counted = True
            bar.expect(sum(self._rows.counts(self._made.row).values()))
        while page := self._rows.page(self._made.row, after=self._told, limit=_PAGE):
            for member in page:
                if member.fate is Fate.PENDING:
                    return
                self._told = member.entity
                bar.advance()
                if member.fate is Fate.MOVED:
                    self._tally.moved_on += 1
                else:
                    yield _result_of(member, self._plan, dry_run=False)

    def _stop(self) -> None:
        """Have nobody else asked; where it is not known yet who is meant, it ends."""
        reason, made = "the command that began it was interrupted", self._made.refresh()
        with suppress(TransitionNotAllowed, TransitionConflict):  # it has come to its end meanwhile
            if made.state == _ASKS[0]:
                made.cancel(reason=reason, actor=self._actor)
            elif made.state == _ASKS[1]:
                repairs.stop(made, reason=reason, actor=self._actor)

    def _report(self) -> int:
        """Print the numbers, and how it goes on. The exit status."""
        made, tally = self._made.refresh(), self._tally
        is_over = made.state in ("settling", "done")
        if is_over or tally.done or tally.refused or tally.moved_on:
            report(self._action, tally, dry_run=False, is_one=False)
        id_ = shlex.quote(made.entity_id)
        if is_over:
            output.note(f"{made.address}: what became of them tells 'fsmflow repair show {id_}'")
        elif made.state == CANCELLED:
            output.note(f"{made.address} is cancelled; nothing was changed")
        else:
            output.note(f"{made.address} {_rest(made)}; to go on: fsmflow repair resume {id_}")
        return 1 if tally.refused or not is_over else 0


def _rest(made: Repair) -> str:
    """Why not all are asked, of a repair that has not come to its end."""
    if made.failure is not None:
        return f"has failed itself: {made.failure.error_type}: {made.failure.message}"
    if made.paused:
        return "is paused"
    return f"is stopped: {made.report().why}" if made.state == "stopped" else "is left to workers"


def _result_of(member: Member, plan: Plan, *, dry_run: bool) -> Result:
    """What came of one that was asked or refused, or would come of it."""
    if member.fate is Fate.REFUSED:
        error = told_error(member.address, member.why or "")
        return Result(address=member.address, done=False, dry_run=dry_run, error=error)
    state, epoch = member.would or member.state, member.asked_epoch
    way = told_way(member.state, state, member.why, moved=epoch is not None and epoch > member.epoch)
    if member.fate is Fate.PROPOSED:
        places = [place for place in (plan.state, plan.event) if place is not None]
        way = told_proposal(ACTIONS[plan.action], member.address, state, places)
    return Result(
        address=member.address,
        done=not dry_run,
        dry_run=dry_run,
        source=member.state,
        state=state,
        epoch=epoch,
        paused=member.why in (PAUSED, STILL_PAUSED),
        change=way,
    )


@scope
def _interruption() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C is only noted: what is yielded tells. A second one ends whatever runs just then."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(heard)
    finally:
        signal.signal(signal.SIGINT, before)
