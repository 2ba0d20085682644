"""Decides what happens to a step that fans out: its branches are made, admitted, told of, and joined."""

from __future__ import annotations

from typing import Any

from fsmflow import clock, codec
from fsmflow.decision import settlement
from fsmflow.decision.commit import alignment
from fsmflow.decision.context import Branch
from fsmflow.decision.entity import Event, StaleClaim, Standing
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import (
    Admitted,
    BranchSettled,
    Changes,
    Joined,
    MoreWanted,
    Reopened,
    Returned,
    Revived,
    Spread,
)
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.inputs import MAX_PAYLOAD_BYTES
from fsmflow.decision.mover import Mover, Refused, subject_at
from fsmflow.decision.work import NUDGE_MS, Work, WorkKind, dispatched, hold, hurried
from fsmflow.definition.model import Definition
from fsmflow.definition.names import BRANCH_DONE, BRANCH_FAILED, CANCELLED, DONE, RETRY, UNDONE, WAITING
from fsmflow.errors import DataError, FsmflowError
from fsmflow.values import replace


class BranchesFailed(FsmflowError):
    """Recorded where branches of a step failed; with the failure of the first of them as the cause, whose traceback it
    has. Those with one cause are of one kind, however many branches failed."""


def spread(mover: Mover, happening: Spread) -> None:
    """The branches are there: wait for them. No history, as they have theirs, but where items have changed that have
    branches: these stay as they are."""
    work = _work(mover)
    if happening.changes is not None:
        mover.note(HistoryKind.REVISED, reason=happening.changes)
    mover.after = replace(mover.after, items=happening.items)
    waiting = replace(
        work,
        kind=WorkKind.JOIN if happening.is_whole else WorkKind.WINDOW,
        attempt=work.attempt + 1,
        dispatch=0,
        owner=None,
        lease_until=None,
        rung_at=None,
        crashes=0,
        failures=0,
        wake_at=mover.now + NUDGE_MS,
    )
    _plan(mover, waiting)


def more_wanted(mover: Mover, happening: MoreWanted) -> None:
    """Make more branches: that is a job again."""
    work = _watching(mover)
    _plan(mover, dispatched(replace(work, kind=WorkKind.MORE, dispatch=0), mover.now))


def joined(mover: Mover, happening: Joined) -> None:
    """Every branch has settled: ``done``, or ``fail`` where any failed."""
    _watching(mover)
    is_done = not happening.failed and not happening.cancelled
    if is_done and happening.error is not None:
        settlement.rest_after(mover, "committing the join", happening.error)
        return
    if is_done:
        claim = settlement.ENDED_CLAIM
        settlement.returned(mover, Returned(claim=claim, trigger=DONE, changes=Changes()))
        return
    first = happening.failure
    facts = Facts(
        kind=BranchesFailed,
        message=_what_failed(happening),
        traceback=first.traceback if first else "",
        permanent=True,
        alike=f"{first.error_type}: {first.message}" if first else "",
        origin=first.origin if first else None,
    )
    failure = mover.describe(facts)
    # The attempt that made the branches is over; the number is that of the next.
    attempts = max(1, failure.attempts - 1)
    failure = replace(failure, attempts=attempts)
    settlement.give_up(mover, failure, duration=None, attempt=attempts, past=happening.error)
    if _goes_on_without(mover):
        mover.frees = mover.before.step


def _what_failed(happening: Joined) -> str:
    """Why, as that is read first; how many failed, and how many were only ended."""
    named = ", ".join(happening.examples)
    ended, failed, first = happening.cancelled, happening.failed, happening.failure
    if not failed:
        return f"{ended} {'branch was' if ended == 1 else 'branches were'} cancelled{f' ({named})' if named else ''}"
    which = f": {named}{', ...' if failed > len(happening.examples) else ''}" if named else ""
    others = f"; {ended} more {'was' if ended == 1 else 'were'} cancelled" if ended else ""
    if first is None:
        return f"{'1 branch' if failed == 1 else f'{failed} branches'} failed{which}{others}"
    count = "1 branch" if failed == 1 else f"the first of {failed} branches that"
    return f"{first.error_type}: {first.message} ({count} failed{which}{others})"


def _goes_on_without(mover: Mover) -> bool:
    """Whether the machine of a parent has a way on from the failures of its children: these are their own affair then.
    One that repeats the step, takes back what was done or is cancelled wants none of them to go on."""
    source, dest = mover.definition.states[mover.before.state], mover.definition.states[mover.after.state]
    if source.fan is None or source.fan.machine is None or dest.name in (source.name, CANCELLED, UNDONE):
        return False
    return not dest.is_failed and dest.undoes is None


def branch_settled(mover: Mover, happening: BranchSettled) -> None:
    """Offer ``branch_done`` or ``branch_failed``. The parent is told once, whether it accepts that or not. Its guards
    and callbacks see this branch and those that it was told of before as settled, and no other.

    An item and a result that are too large for a payload are None there; ``machine.branches`` has them.
    """
    _watching(mover)
    branch = happening.branch
    trigger = BRANCH_DONE if branch.is_done else BRANCH_FAILED
    payload = _payload_of(branch)
    trial = mover.trial()
    if happening.refusals:
        settlement.rest_after(mover, f"committing {trigger!r} of {branch.address}", happening.refusals[0])
    elif mover.definition.offers(trigger, mover.after.state):
        try:
            trial.fire(trigger, data=trial.after.data, event=mover.event(trigger, payload), by_engine=True)
            mover.adopt(trial)
        except Refused:
            pass
        except Exception as error:  # noqa: BLE001 - whatever the user's guards and callbacks raise
            settlement.rest_after(mover, f"deciding {trigger!r} of {branch.address}", error)
    mover.told.append((happening.row, happening.revision))


def _payload_of(branch: Branch) -> dict[str, Any]:
    names = ("index", "name", "address", "item", "result")
    payload = {name: getattr(branch, name) for name in names}
    if branch.failure is not None:
        payload["failure"] = f"{branch.failure.error_type}: {branch.failure.message}"
    try:
        codec.encode(payload, limit=MAX_PAYLOAD_BYTES)
    except DataError:
        # They may be larger than an event may be; the parent must be told all the same.
        payload |= {"item": None, "result": None}
    return payload


def admitted(mover: Mover, happening: Admitted) -> None:
    """The branch's turn has come."""
    snapshot = mover.before
    if snapshot.standing != Standing.QUEUED:
        raise StaleClaim(f"{snapshot.address}: its turn has come before")
    mover.after = replace(snapshot, standing=Standing.ACTIVE)
    mover.plan_work(subject_at(mover, snapshot.event))


def revived(mover: Mover, happening: Revived) -> None:
    """A branch that had failed, been cancelled or undone is run again, as its parent is retried."""
    before = mover.before
    spec = mover.definition.states[before.state]
    event = Event(trigger=RETRY, at=clock.to_datetime(mover.now))
    if spec.failed_from is not None:
        mover.fire(RETRY, data=before.data, event=event, by_engine=True, new_key=happening.new_key)
    else:
        state, goes_on = _state_again(mover.definition, happening.state)
        mover.enter(state, event=event, subject=subject_at(mover, event), continues=goes_on, new_key=happening.new_key)
        mover.note(HistoryKind.TRANSITION, trigger=RETRY, source=before.state)
    if spec.failed_from and before.result_text and not happening.new_key:
        settlement.accept_withheld(
            mover, before.result_text, set(), before.failure.attempts if before.failure else None
        )
    # What takes back what it did does not wait for a turn: nobody cancels it, and nobody else ends it.
    undoes = mover.definition.states[mover.after.state].undoes is not None
    if happening.queued and mover.after.standing == Standing.ACTIVE and not undoes:
        mover.after = replace(
            mover.after, standing=Standing.QUEUED, phase=WAITING, work=None, failure_text=before.failure_text
        )


def _state_again(definition: Definition, was: str | None) -> tuple[str, bool]:
    """Where a branch or child that was ended begins again, and whether that is the same step: where it was stopped;
    what was undone begins from the start."""
    spec = definition.step_of(was or "")
    if spec is None or spec.is_final or spec.undoes is not None:
        return definition.initial, False
    return spec.name, True


def reopened(mover: Mover, happening: Reopened) -> None:
    """Go back into the step that failed, to wait for the branch that goes on; nothing else is run again."""
    source = mover.after
    spec = mover.definition.states[source.state]
    if happening.paused != source.paused:
        mover.posts.append(alignment(mover.now))
    if spec.failed_from is None:
        if source.work is not None and (source.work.watches or source.work.runs):
            return
        raise StaleClaim(f"{source.address} is not in the step of this branch any more")
    event = Event(trigger=RETRY, at=source.event.at)
    mover.enter(spec.failed_from, event=event, subject=subject_at(mover, event), continues=True)
    work = _work(mover)
    # Where the items have not all been read, the rest of them is, once the branch has settled.
    kind = WorkKind.WINDOW if mover.after.items is None else WorkKind.JOIN
    _plan(mover, replace(work, kind=kind, rung_at=None, wake_at=mover.now + NUDGE_MS))
    mover.note(
        HistoryKind.TRANSITION, trigger=RETRY, source=source.state, actor=happening.actor, reason=happening.reason
    )


def _watching(mover: Mover) -> Work:
    work = mover.before.work
    if work is None or not work.watches or work.held is not None:
        raise StaleClaim(f"{mover.before.address} does not wait for branches")
    return work


def _work(mover: Mover) -> Work:
    work = mover.after.work
    if work is None:
        raise StaleClaim(f"{mover.after.address} has nothing to do")
    return work


def _plan(mover: Mover, work: Work) -> None:
    work = hurried(work)
    mover.after = replace(mover.after, work=hold(work, mover.now) if mover.after.paused else work, updated_at=mover.now)
