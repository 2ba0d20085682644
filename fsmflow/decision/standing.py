"""How a branch or child stands to its parent."""

from __future__ import annotations

from fsmflow.decision.entity import ACTIVE, DONE_BRANCH, FAILED_BRANCH, Snapshot
from fsmflow.definition.model import StateSpec
from fsmflow.definition.names import CANCELLED, UNDONE


def standing_in(snapshot: Snapshot, spec: StateSpec) -> int | None:
    """The standing that entering a state gives; None for what has no parent."""
    if snapshot.parent is None:
        return None
    if spec.is_failed or spec.name in (CANCELLED, UNDONE):
        return FAILED_BRANCH
    return DONE_BRANCH if spec.is_final else ACTIVE
