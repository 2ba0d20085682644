"""The work of an entity as a value: dispatched, held by a pause, let go again, hurried by a deadline."""

from __future__ import annotations

from dataclasses import replace

from fsmflow.decision.entity import FAR_FUTURE_MS, GRACE_MS, Work


def dispatched(work: Work, now: int) -> Work:
    """A job that wants to be run now: its doorbell is about to be rung, and looked after if nobody answers."""
    return replace(work, rung_at=now, wake_at=now + GRACE_MS)


def hurried(work: Work) -> Work:
    """Work that is due no later than at its deadline."""
    if work.deadline is None or work.held is not None:
        return work
    return replace(work, wake_at=min(work.wake_at, work.deadline))


def hold(work: Work, now: int) -> Work:
    """Unclaimed work of a paused entity: not due, and its remaining time kept."""
    if work.owner is not None or work.held is not None:
        return work
    remaining = 0 if work.rung_at is not None or work.watches else max(0, work.wake_at - now)
    left = None if work.deadline is None else max(0, work.deadline - now)
    return replace(work, held=remaining, wake_at=FAR_FUTURE_MS, rung_at=None, deadline=left)


def release(work: Work, now: int) -> Work:
    """Held work let go: a job that was due is dispatched at once, all else gets its remaining time back."""
    if work.held is None:
        return work
    deadline = None if work.deadline is None else now + work.deadline
    freed = replace(work, held=None, wake_at=now + work.held, deadline=deadline)
    if work.runs and work.held == 0:
        freed = replace(dispatched(freed, now), dispatch=work.dispatch + 1)
    return hurried(freed)
