"""``explain``: what an entity is doing, what it waits for, and what stands in its way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fsmflow import clock
from fsmflow.decision.decide import allowed_triggers
from fsmflow.decision.records import Snapshot, Work
from fsmflow.definition.model import Definition, StateSpec
from fsmflow.dispatch.doorbell import REDIS_ERRORS
from fsmflow.engine.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Where an entity stands. Its ``str()`` is what the command line prints."""

    address: str
    state: str
    phase: str
    since: datetime
    doing: str | None
    waiting_for: str | None
    next_at: datetime | None
    blocked_by: str | None
    deferred: tuple[str, ...]
    allowed: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.address} is in {self.state} ({self.phase}) since {_moment(self.since)}"]
        if self.doing:
            lines.append(f"doing:       {self.doing}")
        if self.waiting_for:
            lines.append(f"waiting for: {self.waiting_for}")
        if self.next_at:
            lines.append(f"next at:     {_moment(self.next_at)}")
        if self.blocked_by:
            lines.append(f"blocked by:  {self.blocked_by}")
        lines.append(f"allowed now: {', '.join(self.allowed) if self.allowed else 'nothing'}")
        return "\n".join(lines)


def explain(runtime: Runtime, definition: Definition, snapshot: Snapshot) -> Explanation:
    """Explain one entity. One look at Redis where a job waits for a worker; Redis may be down."""
    spec = definition.states.get(snapshot.state)
    allowed = tuple(allowed_triggers(definition, snapshot, None))
    work = snapshot.work
    next_at = (
        clock.to_datetime(work.wake_at)
        if work and work.owner is None and work.held is None and work.rung_at is None
        else None
    )
    return Explanation(
        address=snapshot.address,
        state=snapshot.state,
        phase=snapshot.phase,
        since=clock.to_datetime(snapshot.entered_at),
        doing=_doing(spec, work),
        waiting_for=_waiting_for(spec, work, allowed),
        next_at=next_at,
        blocked_by=_blocked_by(runtime, spec, snapshot),
        deferred=(),
        allowed=allowed,
    )


def _doing(spec: StateSpec | None, work: Work | None) -> str | None:
    if spec is None or work is None or work.owner is None:
        return None
    progress = "" if work.progress is None else f", {work.progress:.0%} done"
    return f"attempt {work.attempt} of job {spec.job_name!r} is running{progress}"


def _waiting_for(spec: StateSpec | None, work: Work | None, allowed: tuple[str, ...]) -> str | None:
    if spec is None or spec.is_final or (work is not None and work.owner is not None):
        return None
    if spec.is_failed:
        return "somebody to retry it, once the cause is mended"
    if work is None or work.held is not None:
        return f"a trigger: {', '.join(allowed)}" if spec.is_waiting else None
    if spec.timer is not None:
        return f"a trigger, or {spec.timer.trigger!r} by itself"
    if work.rung_at is None:
        return f"its time to run attempt {work.attempt} of job {spec.job_name!r}"
    return f"a worker to run attempt {work.attempt} of job {spec.job_name!r} from queue {work.queue!r}"


def _blocked_by(runtime: Runtime, spec: StateSpec | None, snapshot: Snapshot) -> str | None:
    if spec is None:
        return f"the definition has no state {snapshot.state!r}; deploy one that has"
    if snapshot.paused:
        return "a pause; resume lets it go on"
    failure = snapshot.failure
    if failure is not None and not spec.is_final:
        return f"{failure.error_type}: {failure.message} (attempt {failure.attempts} of {failure.state!r})"
    work = snapshot.work
    if work is None or work.queue is None or work.owner is not None:
        return None
    try:
        listened = runtime.doorbell.listened()
    except REDIS_ERRORS as error:
        return f"Redis, which does not answer ({error}); the job follows when it is back"
    if work.queue in listened:
        return None
    return f"no worker listens on queue {work.queue!r}; start one with 'fsmflow worker'"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
