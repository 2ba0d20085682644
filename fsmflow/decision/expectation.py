"""Whether an entity is in its state for longer than is expected, in words."""

from __future__ import annotations

from fsmflow import clock
from fsmflow.decision.entity import Snapshot
from fsmflow.definition.model import StateSpec


def is_overdue(spec: StateSpec | None, entered_at: int, now: int) -> bool:
    """Whether what has entered this state then is in it for longer than its ``expect`` says."""
    return spec is not None and spec.expect_ms is not None and now - entered_at > spec.expect_ms


def expected_of(spec: StateSpec) -> str:
    """``expected within 4 h``; empty where nothing is expected."""
    return "" if spec.expect_ms is None else f"expected within {clock.length(spec.expect_ms)}"


def overdue_of(spec: StateSpec | None, snapshot: Snapshot, now: int) -> str | None:
    """``expected within 4 h, here for 6 h 10 min``; None where it is not overdue."""
    if spec is None or not is_overdue(spec, snapshot.entered_at, now):
        return None
    return f"{expected_of(spec)}, here for {clock.span(now - snapshot.entered_at)}"
