"""Decides pause and resume: what is held, let go, or started at last."""

from __future__ import annotations

from fsmflow.decision.commit import alignment
from fsmflow.decision.happenings import Paused, Replanned, Resumed
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.mover import Mover, subject_at
from fsmflow.decision.work import hold, let_go
from fsmflow.errors import TransitionNotAllowed
from fsmflow.values import replace


def paused(mover: Mover, happening: Paused) -> None:
    """Let a running attempt end, and hold what comes next."""
    snapshot = mover.before
    if mover.definition.states[snapshot.state].is_final:
        raise TransitionNotAllowed(
            snapshot.address, snapshot.state, "pause", why="it has finished; nothing is left to hold"
        )
    work = hold(snapshot.work, mover.now) if snapshot.work else None
    mover.after = replace(snapshot, paused=True, work=work)
    mover.note(HistoryKind.PAUSED, actor=happening.actor, reason=happening.reason, key=happening.key)
    _pass_down(mover)


def resumed(mover: Mover, happening: Resumed) -> None:
    """Let go of what a pause held; a job that was due is dispatched at once."""
    snapshot = mover.before
    work = let_go(snapshot.work, mover.now) if snapshot.work else None
    mover.after = replace(snapshot, paused=False, work=work)
    mover.note(HistoryKind.RESUMED, actor=happening.actor, reason=happening.reason, key=happening.key)
    _pass_down(mover)


def replanned(mover: Mover, happening: Replanned) -> None:
    """Give an adopted entity, or one whose state has got a job since, the work of its state."""
    if mover.before.work is None:
        mover.plan_work(subject_at(mover, mover.before.event))
    mover.note(HistoryKind.RESUMED, actor=happening.actor, reason=happening.reason, key=happening.key)


def _pass_down(mover: Mover) -> None:
    if mover.definition.states[mover.after.state].fan is not None or mover.definition.has_children:
        mover.posts.append(alignment(mover.now))
