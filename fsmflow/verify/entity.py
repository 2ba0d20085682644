"""How an entity stands: its phase, what it has to do, and whether that is being looked after."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from fsmflow.values import dataclass
from fsmflow.verify.history import MAX_CRASHES, Fold
from fsmflow.verify.law import Law
from fsmflow.verify.report import Findings
from fsmflow.verify.rows import Entity, Work

HELD_UNTIL: Final = 2**52
QUEUED: Final = 0
KINDS: Final = {"working": ("job", "more", "join", "window"), "waiting": ("timer",)}
JOBS: Final = ("job", "more")


@dataclass(frozen=True)
class Moment:
    """The time that a check goes by, in UTC milliseconds. What was due before ``late`` has been left lying."""

    now: int
    late: int

    def ago(self, moment: int) -> str:
        return f"{(self.now - moment) / 1000:,.0f} s ago"


@dataclass(frozen=True)
class Found:
    """An entity with what was read of it."""

    entity: Entity
    work: Work | None
    law: Law | None
    fold: Fold


def check_group(entity: Entity, grouped: set[str], findings: Findings) -> None:
    """Whether what rests in a failure belongs to a group that is known."""
    if entity.fingerprint is not None and entity.fingerprint not in grouped:
        what = f"it rests in the failure group {entity.fingerprint}, which does not exist"
        findings.add("failure-grouped", entity.address, what)


def check_standing(found: Found, at: Moment, findings: Findings) -> None:
    """Check one entity by itself."""
    _check_state(found, findings)
    _check_rest(found, findings)
    if found.work is None:
        _check_idle(found, findings)
        return
    _check_kind(found, found.work, findings)
    _check_hold(found, found.work, findings)
    _check_lease(found, found.work, findings)
    _check_due(found, found.work, at, findings)
    _check_bound(found, found.work, findings)
    _check_budget(found, found.work, findings)


def _check_state(found: Found, findings: Findings) -> None:
    entity, law = found.entity, found.law
    if law is None or entity.version > law.version:
        findings.checked["entities_not_compared"] += 1
        return
    spec = law.spec(entity.state)
    if spec is None:
        findings.add("state-known", entity.address, f"it is in {entity.state!r}, which its machine does not have")
    elif law.is_of(entity) and spec.phase != entity.phase and (spec.phase, entity.phase) != ("working", "waiting"):
        what = f"its phase is {entity.phase!r}; that of {spec.name!r} is {spec.phase!r}"
        findings.add("phase-matches", entity.address, what)


def _check_rest(found: Found, findings: Findings) -> None:
    """What has failed says why, and only that is counted among the failures."""
    entity = found.entity
    if entity.phase == "failed" and (entity.failure is None or entity.fingerprint is None):
        findings.add("failure-told", entity.address, f"it rests in {entity.state!r}, and its failure is missing")
    elif entity.phase != "failed" and entity.fingerprint is not None:
        what = f"it is counted among the failures ({entity.fingerprint}), and its phase is {entity.phase!r}"
        findings.add("failure-told", entity.address, what)


def _check_idle(found: Found, findings: Findings) -> None:
    """Without work: nothing is to be done in this state, by itself."""
    entity, law = found.entity, found.law
    if entity.phase == "working":
        findings.add("work-present", entity.address, f"it is working in {entity.state!r}, and has no work row")
        return
    spec = law.spec(entity.state) if law is not None and law.is_of(entity) else None
    if spec is None or spec.timer is None or entity.phase != "waiting" or entity.standing == QUEUED:
        return
    adopted = spec.is_working and not spec.waits
    if not adopted and spec.timer.trigger not in found.fold.internal:
        what = f"it waits in {entity.state!r} for a timer ({spec.timer.trigger!r}), and has no work row"
        findings.add("work-present", entity.address, what)


def _check_kind(found: Found, work: Work, findings: Findings) -> None:
    entity = found.entity
    if entity.phase in ("failed", "finished"):
        what = f"it is in {entity.state!r} ({entity.phase}), and has a work row ({work.kind})"
        findings.add("rest-without-work", entity.address, what)
    elif work.kind not in KINDS.get(entity.phase, ()):
        what = f"its phase is {entity.phase!r}, and its work row is of the kind {work.kind!r}"
        findings.add("work-current", entity.address, what)
    elif work.epoch != entity.epoch:
        what = f"its work row is of epoch {work.epoch}, and it is in epoch {entity.epoch}"
        findings.add("work-current", entity.address, what)
    elif work.kind in JOBS and not work.queue:
        findings.add("work-current", entity.address, "its work row has a job, and no queue")


def _check_hold(found: Found, work: Work, findings: Findings) -> None:
    entity = found.entity
    if entity.phase in ("failed", "finished"):
        return
    if entity.paused and work.held is None and work.owner is None:
        what = f"it is paused, and its work row ({work.kind}) is not held"
    elif work.held is not None and not entity.paused:
        what = f"its work row ({work.kind}) is held, and it is not paused"
    elif work.held is not None and (work.owner is not None or work.wake_at != HELD_UNTIL):
        what = f"its work row is held, and due or claimed all the same (wake_at {work.wake_at}, owner {work.owner!r})"
    else:
        return
    findings.add("paused-holds", entity.address, what)


def check_parked(found: Found, holds: Collection[int], findings: Findings) -> None:
    """What a hold keeps back waits for the end of it, and for nothing else."""
    work = found.work
    if work is None or work.parked is None:
        return
    if work.parked < 0:
        _check_in_line(found, work, findings)
        return
    if work.owner is not None or work.held is not None:
        what = f"hold {work.parked} keeps its work row back, and it is {'claimed' if work.owner else 'held'} as well"
    elif work.wake_at == HELD_UNTIL and work.parked not in holds:
        what = f"hold {work.parked} keeps its work row back, and there is no such hold"
    else:
        return
    findings.add("parked-by-hold", found.entity.address, what)


def _check_in_line(found: Found, work: Work, findings: Findings) -> None:
    """What waits for a limit is offered again by itself, and is neither claimed nor held."""
    if work.owner is not None or work.held is not None:
        what = f"its work row waits for a limit, and it is {'claimed' if work.owner else 'held'} as well"
    elif work.wake_at == HELD_UNTIL:
        what = "its work row waits for a limit, and is never offered again"
    else:
        return
    findings.add("limit-line", found.entity.address, what)


def _check_lease(found: Found, work: Work, findings: Findings) -> None:
    entity = found.entity
    if (work.owner is None) != (work.lease_until is None):
        what = (
            f"its work row has owner {work.owner!r} and lease_until {work.lease_until!r}; both or neither belong there"
        )
        findings.add("lease-owner", entity.address, what)
    elif work.owner is not None and work.kind not in JOBS:
        findings.add("lease-owner", entity.address, f"its work row is claimed, and is no job but {work.kind!r}")


def _check_due(found: Found, work: Work, at: Moment, findings: Findings) -> None:
    entity = found.entity
    if work.held is not None or entity.phase in ("failed", "finished"):
        return
    # Looking after it moves wake_at. A lease that has run out, and a deadline of what is not paused, must go by that.
    deadline = None if entity.paused or (work.parked or 0) > 0 else work.deadline
    due = [moment for moment in (work.wake_at, work.lease_until, deadline) if moment is not None]
    if min(due) < at.late:
        what = f"its work ({work.kind} of {entity.state!r}) was due {at.ago(min(due))}, and nobody looked after it"
        findings.add("overdue", entity.address, what)


def _check_bound(found: Found, work: Work, findings: Findings) -> None:
    """What ``within`` bounds has a deadline, through all of its attempts and pauses."""
    entity, law = found.entity, found.law
    spec = law.spec(entity.state) if law is not None and found.fold.entered_in_version == law.version else None
    if spec is None or spec.timer is None or not spec.timer.bounds or work.kind == "timer":
        return
    if work.deadline is None and entity.phase not in ("failed", "finished"):
        what = f"it is in {entity.state!r}, which within= bounds, and its work row ({work.kind}) has no deadline"
        findings.add("step-bounded", entity.address, what)


def _check_budget(found: Found, work: Work, findings: Findings) -> None:
    entity, law = found.entity, found.law
    # What failed before the machine was changed counts too, and was allowed then.
    is_of_today = law is not None and found.fold.entered_in_version == law.version
    spec = law.spec(entity.state) if law is not None and is_of_today else None
    most = None if spec is None else spec.retry.max if spec.retry is not None else 0
    for name, count, limit in (
        ("crashes", work.crashes, MAX_CRASHES),
        ("failures", work.failures, most),
    ):
        if limit is not None and count > limit:
            what = f"its work row counts {count} {name}; {limit} are allowed"
            findings.add("attempts-bounded", entity.address, what)
