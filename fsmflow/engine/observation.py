"""Tells those who look on what is asked for, what runs, what failed, and what becomes of the ticks of a schedule.

Where nobody looks on, each of these is one question to an empty list.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from fsmflow import observers
from fsmflow.decision.commit import Commit
from fsmflow.decision.course import is_tick
from fsmflow.decision.entity import Claim, Snapshot
from fsmflow.decision.happenings import Failed, Happening, Joined
from fsmflow.decision.history import HistoryEntry
from fsmflow.definition.model import Definition
from fsmflow.definition.names import CANCELLED, FINISHED, UNDONE
from fsmflow.engine.registry import is_built_in
from fsmflow.errors import WorkerLost
from fsmflow.observers import CAUGHT, RESTS, RETRIED, Failing, Request, Step, Tick
from fsmflow.redaction import hide
from fsmflow.scope import scope

START: Final = "start"
TRIGGER: Final = "trigger"


def trace_of(snapshot: Snapshot) -> str | None:
    """What the work of an entity was begun by."""
    return None if snapshot.work is None else snapshot.work.trace


def observed(
    operation: str, definition: Definition, entity_id: str | None = None, trigger: str | None = None
) -> AbstractContextManager[Callable[[Snapshot], None]]:
    """Inside, something is asked of an entity, or of many that are started; what it led to is to be handed to what is
    yielded. What comes with fsmflow is not looked at."""
    if not observers.watching or is_built_in(definition.name):
        return nullcontext(_nobody)
    address = None if entity_id is None else f"{definition.name}:{entity_id}"
    return _observed(Request(operation=operation, machine=definition.name, address=address, trigger=trigger))


def _nobody(after: Snapshot) -> None:
    """There is nobody to be told."""


@scope
def _observed(request: Request) -> Iterator[Callable[[Snapshot], None]]:
    with observers.requested(request) as led_to:
        yield lambda after: led_to.append(_step(after))


def observed_attempt(snapshot: Snapshot, claim: Claim) -> AbstractContextManager[None]:
    """Inside, an attempt runs."""
    if not observers.watching or is_built_in(snapshot.machine):
        return nullcontext()
    failure, work = snapshot.failure, snapshot.work
    return observers.attempted(
        Step(
            machine=snapshot.machine,
            address=snapshot.address,
            state=snapshot.state,
            epoch=claim.epoch,
            queue=None if work is None else work.queue,
            attempt=claim.attempt,
            trigger=snapshot.event.trigger,
            cause=trace_of(snapshot),
            crashed=failure is not None and failure.error_type == WorkerLost.__name__,
        )
    )


def _step(after: Snapshot) -> Step:
    work = after.work
    queue = work.queue if work is not None and work.runs else None
    return Step(machine=after.machine, address=after.address, state=after.state, epoch=after.epoch, queue=queue)


def tell_failure(
    definition: Definition, commit: Commit, entry: HistoryEntry, after: Snapshot, happening: Happening | None
) -> None:
    """Tell of an attempt or step that failed, as a line of history has it."""
    failure = entry.failure
    if not observers.watching or failure is None or not (entry.kind.enters or entry.kind.is_rerun):
        return
    spec = definition.states.get(entry.dest)
    rests = RESTS if spec is not None and spec.is_failed else CAUGHT
    work = None if commit.before is None else commit.before.work
    step = Step(
        machine=after.machine,
        address=after.address,
        state=failure.state,
        epoch=entry.epoch - 1 if entry.kind.enters else entry.epoch,
        queue=None if work is None else work.queue,
        attempt=entry.attempt,
    )
    observers.tell_failed(
        Failing(
            step=step,
            outcome=RETRIED if entry.kind.is_rerun else rests,
            error_type=failure.error_type,
            message=failure.message,
            # That of a branch was told with the branch.
            traceback="" if isinstance(happening, Joined) else failure.traceback,
            fingerprint=failure.fingerprint,
            retry=shlex.join(["fsmflow", "retry", after.address]),
            release=entry.release,
            redacts=bool(definition.wide.redact),
            raised=happening.facts.raised if isinstance(happening, Failed) else None,
            data=lambda: dict(hide(after.data, definition.wide.redact)),
        )
    )


def tell_tick(definition: Definition, commit: Commit, after: Snapshot) -> None:
    """Tell what becomes of an entity that a schedule has started at a tick."""
    schedule = definition.wide.schedule
    if schedule is None or not observers.watching or not is_tick(after.entity_id):
        return
    spec = definition.states.get(after.state)
    is_over, was_over = after.phase == FINISHED, commit.before is not None and commit.before.phase == FINISHED
    fails = spec is not None and spec.is_failed and any(entry.kind.enters for entry in commit.entries)
    seconds = (after.updated_at - after.created_at) / 1000
    tick = Tick(machine=after.machine, address=after.address, cron=schedule.cron, zone=schedule.zone)
    if commit.before is None:
        observers.tell_ticked(tick)
    if fails or (is_over and not was_over):
        ok = not fails and after.state not in (CANCELLED, UNDONE)
        observers.tell_ticked(Tick(**{**vars(tick), "ok": ok, "seconds": seconds}))
