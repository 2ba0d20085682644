"""Moves an entity along transitions, in memory: fires, enters, and plans the work of the state that is entered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fsmflow import clock, codec
from fsmflow.decision.events import Facts
from fsmflow.decision.failing import describe
from fsmflow.decision.records import (
    FAR_FUTURE_MS,
    GRACE_MS,
    JOB,
    TIMER,
    Actor,
    Event,
    Failure,
    HistoryEntry,
    Snapshot,
    Work,
    checked_text,
)
from fsmflow.decision.view import DecisionView, subject_of
from fsmflow.definition.firing import Firing, fire
from fsmflow.definition.model import Definition, StateSpec, due_after
from fsmflow.definition.names import RETRY
from fsmflow.errors import Fail, TransitionNotAllowed


class Refused(TransitionNotAllowed):
    """No transition accepts the trigger. Told apart from what a callback raises that fires something itself."""


class Mover:
    """One decision in the making: the snapshot as it changes, and the history entries that tell of it.

    Firing may raise what the user's guards and callbacks raise; the mover is then to be thrown away.
    """

    def __init__(self, definition: Definition, snapshot: Snapshot, now: int) -> None:
        self.definition = definition
        self.before = snapshot
        self.after = snapshot
        self.now = now
        self.entries: list[HistoryEntry] = []

    def fire(
        self,
        trigger: str,
        *,
        data: dict[str, Any],
        event: Event,
        actor: Actor | None = None,
        by_engine: bool = False,
        failure: Failure | None = None,
        new_key: bool = False,
        **entry: Any,
    ) -> None:
        """Fire a trigger and take the entity where it leads.

        Raises Refused, without ``allowed``, where no transition accepts it; NotPermitted; DataError.
        """
        source = self.after
        roles = None if by_engine else actor.roles if actor else frozenset()
        firing = Firing(source.address, source.state, roles, actor.name if actor else None)
        view = DecisionView(self.definition, source, firing, event, data, failure or source.failure)
        subject = subject_of(self.definition, view)
        if not fire(self.definition, trigger, firing, subject) or firing.fired is None:
            raise Refused(source.address, source.state, trigger, refusals=firing.refusals)
        trigger, dest = firing.fired.trigger, firing.fired.dest
        self.after = replace(source, data_text=codec.encode(view.data))
        if dest is None:
            self.note(
                "internal", trigger=trigger, source=source.state, actor=actor, event=event, failure=failure, **entry
            )
            return
        continues = trigger == RETRY and self.definition.states[source.state].failed_from == dest
        self.enter(dest, event=event, subject=subject, failure=failure, continues=continues, new_key=new_key)
        self.note(
            "transition", trigger=trigger, source=source.state, actor=actor, event=event, failure=failure, **entry
        )

    def enter(
        self,
        dest: str,
        *,
        event: Event,
        subject: Any = None,
        failure: Failure | None = None,
        continues: bool = False,
        new_key: bool = False,
    ) -> None:
        """Stand in ``dest`` anew, without callbacks. ``continues``: the step that failed goes on."""
        source = self.after
        spec = self.definition.states[dest]
        epoch = source.epoch + 1
        rests = spec.is_failed and spec.failed_from == source.state
        last = source.failure if continues else None
        if not spec.is_failed:
            failure = None
        elif failure is None:
            failure = self._told_to_fail(event, spec)
        self.after = replace(
            source,
            state=dest,
            phase=spec.phase,
            epoch=epoch,
            step=source.step if rests or (continues and not new_key) else epoch,
            event_text=source.event_text if rests or continues else event.to_text(),
            result_text=None,
            failure_text=failure.to_text() if failure else None,
            fingerprint=failure.fingerprint if failure else None,
            entered_at=self.now,
        )
        work = self._work_for(spec, subject, attempt=last.attempts + 1 if last else 1)
        self.after = replace(self.after, work=work)

    def _told_to_fail(self, event: Event, spec: StateSpec) -> Failure:
        """Why an entity rests in ``failed_from_X`` that a transition of the user's own led there: what counts the
        attempts so far, and shows it among the failures."""
        source = self.after
        work = source.work if spec.failed_from == source.state else None
        failure = source.failure or describe(
            Facts(kind=Fail, message=f"{event.trigger!r} led here from {source.state!r}"), source, self.now
        )
        runs = 0 if work is None else work.attempt if work.owner is not None else work.attempt - 1
        return replace(failure, state=spec.failed_from or spec.name, attempts=runs, permanent=True)

    def _work_for(self, spec: StateSpec, subject: Any, *, attempt: int) -> Work | None:
        fence = self.before.work.fence if self.before.work else 0
        if spec.is_working:
            queue = spec.queue(subject) if callable(spec.queue) else spec.queue
            work = Work(
                epoch=self.after.epoch,
                kind=JOB,
                attempt=attempt,
                fence=fence,
                wake_at=self.now + GRACE_MS,
                rung_at=self.now,
                queue=checked_text(queue, f"the queue of {spec.name!r}", limit=100),
            )
            return hold(work, self.now) if self.after.paused else work
        if spec.timer is None:
            return None
        wait = clock.to_ms(due_after(spec.timer, subject, clock.to_datetime(self.now)))
        work = Work(epoch=self.after.epoch, kind=TIMER, fence=fence, wake_at=self.now + wait)
        return hold(work, self.now) if self.after.paused else work

    def note(
        self,
        kind: str,
        *,
        trigger: str | None = None,
        source: str | None = None,
        actor: Actor | None = None,
        event: Event | None = None,
        **entry: Any,
    ) -> None:
        """Append a history entry that tells where the entity stands now."""
        self.after = replace(self.after, seq=self.after.seq + 1, updated_at=self.now)
        payload: Mapping[str, Any] = event.payload if event else {}
        self.entries.append(
            HistoryEntry(
                seq=self.after.seq,
                kind=kind,
                at=clock.to_datetime(self.now),
                trigger=trigger,
                source=source or self.before.state,
                dest=self.after.state,
                epoch=self.after.epoch,
                actor=actor.name if actor else None,
                payload=payload,
                **entry,
            )
        )

    def event(self, trigger: str, payload: Mapping[str, Any] | None = None, actor: Actor | None = None) -> Event:
        """An event that happens now."""
        return Event(
            trigger=trigger, payload=payload or {}, actor=actor.name if actor else None, at=clock.to_datetime(self.now)
        )


def hold(work: Work, now: int) -> Work:
    """Unclaimed work of a paused entity: not due, and its remaining time kept."""
    if work.owner is not None or work.held is not None:
        return work
    remaining = 0 if work.rung_at is not None else max(0, work.wake_at - now)
    return replace(work, held=remaining, wake_at=FAR_FUTURE_MS, rung_at=None)


def release(work: Work, now: int) -> Work:
    """Held work let go: a job that was due is dispatched at once, all else gets its remaining time back."""
    if work.held is None:
        return work
    if work.kind == JOB and work.held == 0:
        return replace(work, held=None, wake_at=now + GRACE_MS, rung_at=now, dispatch=work.dispatch + 1)
    return replace(work, held=None, wake_at=now + work.held)
