"""Repairs as objects, in words, and as commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fsmflow.decision.terms import Condition
from fsmflow.engine.selection import Selection
from fsmflow.objects.plain import iso_of
from fsmflow.operations.plan import AT_ONCE, TRIGGER, Plan
from fsmflow.operations.repair import Repair
from fsmflow.operations.repairs import reports
from fsmflow.operations.report import Report


def object_of(repair: Repair) -> dict[str, Any]:
    """A repair. Data that it brings are told by name alone."""
    return objects_of([repair])[0]


def objects_of(found: Sequence[Repair]) -> list[dict[str, Any]]:
    """Several of them."""
    return [_object(repair, report) for repair, report in zip(found, reports(found), strict=True)]


def _object(repair: Repair, report: Report) -> dict[str, Any]:
    plan = repair.plan.to_data()
    for name in ("patch", "payload"):
        if name in plan:
            plan[name] = sorted(plan[name])
    return {**vars(report), "plan": plan, "started_at": iso_of(repair.created_at)}


def told_of_plan(plan: Plan) -> str:
    """What a repair does, and how carefully, for people."""
    what = plan.trigger if plan.action == TRIGGER else plan.action
    brings = ", ".join(sorted({**plan.patch, **plan.payload}))
    told = f"{what}{f' to {plan.state}' if plan.state else ''}{f' with {brings}' if brings else ''}"
    if plan.by_hand:
        return f"{told}, one after the other"
    parts = [
        told,
        f"{plan.canary:,} first" if plan.canary else "no canary",
        f"at most {plan.rate}" if plan.rate else "as quickly as it goes",
        f"{plan.at_once:,} at once",
    ]
    if plan.stop_after is not None:
        parts.append(f"stops if more than {plan.stop_after * 100:g} % fail again")
    return ", ".join(parts)


def command_of(plan: Plan) -> str:
    """What starts the same in a terminal. Values that it brings are left out, as they may not be shown."""
    return shlex.join(["fsmflow", "repair", *plan.addresses, *_selecting(plan.selection), *_doing(plan)])


def _doing(plan: Plan) -> Iterator[str]:
    if plan.action != TRIGGER:
        yield f"--action={plan.action}"
    given = {"to": plan.state, "trigger": plan.trigger, "limit": plan.limit, "canary": plan.canary, "rate": plan.rate}
    yield from (f"--{name}={value}" for name, value in given.items() if value)
    if plan.at_once != AT_ONCE:
        yield f"--at-once={plan.at_once}"
    if plan.stop_after is not None:
        yield f"--stop-after={plan.stop_after * 100:g}%"
    yield from (f"--set={name}=..." for name in sorted({**plan.patch, **plan.payload}))
    if plan.new_key:
        yield "--new-key"
    if plan.reason:
        yield f"--reason={plan.reason}"


def _selecting(selection: Selection) -> Iterator[str]:
    names = ("machine", "phase", "error", "group", "branch")
    yield from (f"--{name}={value}" for name in names if (value := getattr(selection, name)) is not None)
    yield from (f"--state={state}" for state in selection.states or ())
    if selection.older_ms is not None:
        yield f"--older={selection.older_ms // 1000}s"
    yield from (f"--where={_written(each)}" for each in selection.conditions)
    yield from (f"--child={_written(each)}" for each in selection.children)
    yield from (f"--{name}" for name in ("waiting", "stuck", "overdue", "branches") if getattr(selection, name))


def _written(condition: Condition) -> str:
    """A condition as it is typed."""
    value, kinds = condition.value, {datetime: "datetime", date: "date", Decimal: "decimal", UUID: "uuid"}
    if isinstance(value, str):
        return f"{condition.name}{condition.operator}{value}"
    kind = next((name for type_, name in kinds.items() if isinstance(value, type_)), None)
    if kind is None:
        return f"{condition.name}:{condition.operator}{json.dumps(value)}"
    told = value.isoformat() if isinstance(value, date) else str(value)
    return f"{condition.name}:{kind}{condition.operator}{told}"
