"""Does one thing to several entities: those that were named, or those of a selection; says what came of each.

Each entity is one commit of its own, and what has been dealt with no longer fits the request: whoever interrupts it can
run the same command again. A selection is read in pages, and of what is refused only the kinds are noted, so that the
number of entities does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import field, replace
from typing import cast

from fsmflow.cli import output
from fsmflow.cli.bar import Bar, can_show
from fsmflow.cli.errors import sentence, stops_everything
from fsmflow.cli.hints import note_of
from fsmflow.cli.listeners import sets_going
from fsmflow.cli.options import Wanted
from fsmflow.cli.places import make_nothing
from fsmflow.decision.actions import Action
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Asked
from fsmflow.decision.inputs import Actor
from fsmflow.definition.model import Definition
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.permission import proposals
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.requests import plan
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.selection import Selection, filter_of, select
from fsmflow.engine.teams import reach_of
from fsmflow.machine import Machine
from fsmflow.queries import definition_for, resolve
from fsmflow.values import dataclass

#: How many kinds of refusals are remembered, to be shown at the end.
_KINDS = 50


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one entity: the state that it was in and the one that it is in now, or the error."""

    address: str
    done: bool
    dry_run: bool
    source: str | None = None
    state: str | None = None
    epoch: int | None = None
    paused: bool | None = None
    change: str = ""
    error: str | None = None


@dataclass
class _Reason:
    """Refusals that differ in addresses and numbers alone."""

    example: str
    count: int = 0

    def __str__(self) -> str:
        return self.example if self.count == 1 else f"{self.count:,} were refused like this one: {self.example}"


@dataclass
class _Tally:
    done: int = 0
    refused: int = 0
    moved_on: int = 0
    reasons: dict[str, _Reason] = field(default_factory=dict)

    def counting(self, results: Iterable[Result]) -> Iterator[Result]:
        for result in results:
            if result.error is None:
                self.done += 1
            else:
                self.refused += 1
                self._note(result.address, result.error)
            yield result

    def _note(self, address: str, error: str) -> None:
        kind = re.sub(r"\d+", "#", error.replace(address, "@"))
        if kind in self.reasons or len(self.reasons) < _KINDS:
            self.reasons.setdefault(kind, _Reason(error)).count += 1


@sets_going
def perform(action: Action, asked: Asked, wanted: Wanted, *, as_json: bool) -> int:
    """Do it, one entity after the other, and report. The exit status: 1 if any was refused.

    What was done is reported too where it is interrupted, or where the database goes away in between.
    """
    make_nothing()
    runtime, tally = current(), _Tally()
    if not wanted.addresses:
        note_of(runtime, wanted.selection)
    try:
        with _bar(runtime, action, asked, wanted, as_json=as_json) as bar:
            results = tally.counting(_results(runtime, action, asked, wanted, tally, bar))
            if as_json:
                output.print_array(_object(result) for result in results)
            else:
                for result in results:
                    if result.error is None:
                        would = f"would {action.name} " if wanted.dry_run else ""
                        bar.say(f"{would}{result.address}  {result.change}")
    except BaseException:  # Ctrl-C included: what was done until then is told, and it goes on its way
        if tally.done or tally.refused:
            _report(action, wanted, tally)
            output.note("it ended before its time; the same command goes on with the rest")
        raise
    _report(action, wanted, tally)
    _hint(runtime, wanted, asked.actor)
    return 1 if tally.refused else 0


def handle(definition: Definition, snapshot: Snapshot) -> Machine:
    """The public handle on an entity. Raises EntityNotFound."""
    return cast(type[Machine], definition.owner).get(snapshot.entity_id)


def _bar(runtime: Runtime, action: Action, asked: Asked, wanted: Wanted, *, as_json: bool) -> Bar:
    shown = can_show(as_json=as_json) and len(wanted.addresses) != 1
    total = len(wanted.addresses) or None
    if shown and not wanted.addresses and wanted.limit is None:
        meant = filter_of(runtime, _selection(action, wanted), reach=reach_of(runtime, asked.actor))
        total = runtime.store.listing.count(meant)
    return Bar(action.name, total=total, shown=shown)


def _selection(action: Action, wanted: Wanted) -> Selection:
    asked = wanted.selection
    return asked if asked.waiting else replace(asked, phase=asked.phase or action.phase)


def _is_meant(runtime: Runtime, action: Action, asked: Asked, wanted: Wanted, snapshot: Snapshot) -> bool:
    """Whether one of a selection is to be dealt with: it asks for those that wait, or the action tells. What comes
    with fsmflow is meant only where it is named."""
    if is_built_in(snapshot.machine) and wanted.selection.machine is None:
        return False
    return wanted.selection.waiting or action.fits(definition_for(runtime, snapshot), snapshot, asked)


def _results(
    runtime: Runtime, action: Action, asked: Asked, wanted: Wanted, tally: _Tally, bar: Bar
) -> Iterator[Result]:
    if wanted.addresses:
        for text in dict.fromkeys(wanted.addresses):
            result = _attempt(runtime, action, asked, text, None, dry_run=wanted.dry_run)
            bar.advance()
            if result is not None:
                yield result
        return
    left = wanted.limit
    for snapshot in select(runtime, _selection(action, wanted), actor=asked.actor):
        bar.advance()
        if not _is_meant(runtime, action, asked, wanted, snapshot):
            continue
        result = _attempt(runtime, action, asked, snapshot.address, snapshot, dry_run=wanted.dry_run)
        if result is None:
            tally.moved_on += 1
            continue
        yield result
        left = None if left is None else left - 1
        if left == 0:
            return


def _attempt(
    runtime: Runtime, action: Action, asked: Asked, text: str, found: Snapshot | None, *, dry_run: bool
) -> Result | None:
    """What came of it; None for one of a selection that has moved on since it was read, and may not belong to it."""
    try:
        before = found or resolve(runtime, text, asked.actor)
        root = runtime.machines.get(before.machine)
        after: Snapshot | Machine
        if dry_run:
            after = plan(runtime, instance_of(root, before), action, asked)
        else:
            after = handle(root, before)
            if found is not None and after.epoch != found.epoch:
                return None
            _do(action, asked, after)
    except Exception as error:
        # One entity's guard must not keep the others from being dealt with.
        words = sentence(error)
        if words is None or stops_everything(error):
            raise
        return Result(address=text, done=False, dry_run=dry_run, error=words if text in words else f"{text}: {words}")
    return Result(
        address=before.address,
        done=not dry_run,
        dry_run=dry_run,
        source=before.state,
        state=after.state,
        epoch=after.epoch,
        paused=after.paused,
        change=_proposed(runtime, root, action, asked, before.address) or _change(before, after),
    )


def _do(action: Action, asked: Asked, entity: Machine) -> None:
    """Call the method of the handle, as a program would: a machine may have one of its own."""
    places, options = action.given(asked)
    getattr(entity, action.name)(*places, actor=asked.actor, reason=asked.reason, key=asked.key, **options)


def _proposed(runtime: Runtime, root: Definition, action: Action, asked: Asked, address: str) -> str | None:
    """That it is noted, and what a second person types, where it takes two; None where it has been done."""
    closed = root.wide.operators.get(action.name)
    if closed is None or closed.within_ms is None or asked.actor is None:
        return None
    after = resolve(runtime, address)
    mine = [one for one in proposals(runtime, root, after) if one.login == asked.actor.login]
    if not mine or mine[-1].seq != after.seq:
        return None
    places = "".join(f" {place}" for place in action.given(asked)[0])
    return f"{after.state}, noted; another person types: fsmflow {action.name} {after.address}{places}"


def _change(before: Snapshot, after: Snapshot | Machine) -> str:
    if (before.state, before.epoch) != (after.state, after.epoch):
        return f"{before.state} -> {after.state}"
    if before.paused != after.paused:
        return f"{after.state}, {'paused' if after.paused else 'no longer paused'}"
    if before.phase != after.phase:
        return f"{after.state}, {after.phase}"
    if before.work is not None and before.work.waits:
        return f"{after.state}, run now"
    return f"{after.state}, as it was"


def _hint(runtime: Runtime, wanted: Wanted, actor: Actor | None) -> None:
    """Say what else waits: branches, which a selection leaves out that does not ask for them, and what is paused."""
    asked = wanted.selection
    if wanted.addresses or not asked.waiting:
        return
    held = next(select(runtime, replace(asked, waiting=False, held=True), limit=1, actor=actor), None)
    if held is not None:
        output.note(f"{held.address} and maybe others would wait too, but a pause holds them: 'resume' first")
    if asked.branches or asked.branch is not None:
        return
    found = next(select(runtime, replace(asked, branch="*"), limit=1, actor=actor), None)
    if found is not None:
        output.note(f"{found.address} and maybe other branches wait too: --branches takes them along")


def _object(result: Result) -> dict[str, object]:
    return {name: value for name, value in vars(result).items() if name != "change"}


def _report(action: Action, wanted: Wanted, tally: _Tally) -> None:
    for reason in sorted(tally.reasons.values(), key=lambda reason: -reason.count):
        output.error(str(reason))
    shown = sum(reason.count for reason in tally.reasons.values())
    if tally.refused > shown:
        output.note(f"... and {tally.refused - shown:,} more were refused, for other reasons")
    if tally.moved_on:
        output.note(f"{tally.moved_on:,} had moved on since they were selected, and were left alone")
    if wanted.dry_run:
        output.note(f"dry run: {tally.done:,} would be {action.done}, {tally.refused:,} refused; nothing was changed")
    elif not tally.done and not tally.refused:
        output.note(f"the selection has no entity that could be {action.done}")
    elif wanted.addresses != wanted.addresses[:1] or not wanted.addresses:
        output.note(f"{tally.done:,} {action.done}, {tally.refused:,} refused")
