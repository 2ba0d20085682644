"""Moves an entity along transitions, in memory: fires, enters, and plans the work of the state that is entered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fsmflow import clock, codec
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
from fsmflow.errors import TransitionNotAllowed


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

        Raises TransitionNotAllowed, without ``allowed``, where no transition accepts it; NotPermitted; DataError.
        """
        source = self.after
        roles = None if by_engine else actor.roles if actor else frozenset()
        firing = Firing(source.address, source.state, roles, actor.name if actor else None)
        view = DecisionView(self.definition, source, firing, event, data, failure or source.failure)
        subject = subject_of(self.definition, view)
        if not fire(self.definition, trigger, firing, subject) or firing.fired is None:
            raise TransitionNotAllowed(source.address, source.state, trigger, refusals=firing.refusals)
        dest = firing.fired.dest
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
        keeps_step = spec.is_failed or (continues and not new_key)
        last = source.failure if continues else None
        self.after = replace(
            source,
            state=dest,
            phase=spec.phase,
            epoch=epoch,
            step=source.step if keeps_step else epoch,
            event_text=source.event_text if spec.is_failed or continues else event.to_text(),
            result_text=None,
            failure_text=failure.to_text() if spec.is_failed and failure else None,
            fingerprint=failure.fingerprint if spec.is_failed and failure else None,
            entered_at=self.now,
        )
        work = self._work_for(spec, subject, attempt=last.attempts + 1 if last else 1)
        self.after = replace(self.after, work=work)

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
