"""Repairs as objects."""

from __future__ import annotations

from typing import Any

from fsmflow.objects.plain import iso_of
from fsmflow.operations.repair import Repair


def object_of(repair: Repair) -> dict[str, Any]:
    """A repair. Data that it brings are told by name alone."""
    plan = repair.plan.to_data()
    for name in ("patch", "payload"):
        if name in plan:
            plan[name] = sorted(plan[name])
    return {**vars(repair.report()), "plan": plan, "started_at": iso_of(repair.created_at)}
