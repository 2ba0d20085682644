"""Decides that what an entity holds of people is taken away: all but what happened to it, and when."""

from __future__ import annotations

from typing import Final

from fsmflow.decision.happenings import Erased
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.mover import Mover
from fsmflow.definition.names import WORKING
from fsmflow.errors import TransitionNotAllowed
from fsmflow.values import replace

ERASE: Final = "erase"


def erased(mover: Mover, happening: Erased) -> None:
    """Its data, and what came with events, failures and branches, are gone; it stands where it stood. What its earlier
    lines of history say goes with the same commit: ``decide`` marks it."""
    snapshot = mover.before
    if snapshot.phase == WORKING or (snapshot.work is not None and snapshot.work.owner is not None):
        why = "it is at work, and its job needs its data: let that end, or 'cancel' it first"
        raise TransitionNotAllowed(snapshot.address, snapshot.state, ERASE, why=why)
    failure = snapshot.failure
    mover.after = replace(
        snapshot,
        data_text="{}",
        event_text=replace(snapshot.event, payload={}, actor=None).to_text(),
        result_text=None,
        failure_text=None if failure is None else failure.erased().to_text(),
        item_text=None,
    )
    mover.note(
        HistoryKind.ERASED,
        source=snapshot.state,
        actor=happening.actor,
        reason=happening.reason,
        key=happening.key,
    )
