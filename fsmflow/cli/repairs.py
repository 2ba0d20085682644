"""How repairs are told on the command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from fsmflow.cli import output
from fsmflow.decision.member import Member
from fsmflow.definition.names import OPERATIONS
from fsmflow.engine.runtime import Runtime
from fsmflow.objects.repairs import told_of_plan
from fsmflow.operations.plan import TRIGGER
from fsmflow.operations.repair import Repair
from fsmflow.operations.report import Report
from fsmflow.queries import listening

#: So many kinds of refusals are told.
_KINDS = 5


def preview_of(repair: Repair) -> Iterator[str]:
    """What a repair is to do, and to how many, for people."""
    yield output.one_line(f"{repair.address}  {told_of_plan(repair.plan)}")
    yield from (f"    {output.one_line(line)}" for line in _preview(repair.report().preview))


def outcome_of(repair: Repair) -> Iterator[str]:
    """Where a repair stands, and what became of its members, for people."""
    report = repair.report()
    why = f": {report.why}" if report.why and repair.state == "stopped" else ""
    paused = ", paused" if repair.paused else ""
    yield output.one_line(f"{repair.address}  {repair.state}{paused}{why}")
    yield f"    {report}"
    if repair.state == "stopped":
        yield f"    to go on: fsmflow repair resume {shlex.quote(repair.entity_id)}"


def progress_of(report: Report) -> str:
    """How far a repair is, in a few words beside a bar."""
    failed = report.failed_alike + report.failed_otherwise
    told = {"recovered": report.recovered, "failed": failed, "refused": report.refused}
    return ", ".join(f"{count:,} {what}" for what, count in told.items() if count) or f"{report.members:,} seen"


def _preview(found: Any) -> Iterator[str]:
    for way in found.get("ways", ()):
        job = f", which runs {way['job']}" if way["job"] else ""
        yield (f"{way['count']:,} x {way['state']} -> {way['would']}{job}")
    refusals = found.get("refusals", ())
    for refusal in refusals[:_KINDS]:
        yield (f"{refusal['count']:,} x refused, for example: {refusal['why']}")
    if len(refusals) > _KINDS:
        yield f"... and {len(refusals) - _KINDS:,} more kinds of refusals; --json has all"


def member_line(member: Member) -> str:
    """A member for people."""
    way = f"{member.state} -> {member.would}" if member.would else member.state
    why = f"  {member.why}" if member.why else ""
    return output.one_line(f"{member.address}  {way}  {member.fate}{why}")


def table_of(repairs: Iterable[Repair]) -> int:
    """Print repairs as a table; how many."""
    columns = ("ID", "STATE", "ACTION", "MEMBERS", "RECOVERED", "FAILED AGAIN", "PENDING", "STARTED")
    return output.print_table(columns, map(_row, repairs))


def _row(repair: Repair) -> tuple[str, ...]:
    report, plan = repair.report(), repair.plan
    counts = (report.members, report.recovered, report.failed_alike + report.failed_otherwise, report.pending)
    action = plan.trigger if plan.action == TRIGGER else plan.action
    started = repair.created_at.strftime("%Y-%m-%d %H:%M:%S")
    return (repair.entity_id, repair.state, action or "", *(f"{count:,}" for count in counts), started)


def told_of_listeners(runtime: Runtime) -> None:
    """Note where no worker runs the jobs of repairs: it waits until one does."""
    heard = listening(runtime)
    if heard.on(OPERATIONS) is False:
        output.note(f"no worker listens on queue {OPERATIONS!r}: it waits until one does; start 'fsmflow worker'")
