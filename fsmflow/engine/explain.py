"""``explain``: what an entity is doing, what it waits for, and what stands in its way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fsmflow import clock
from fsmflow.causes import place_in
from fsmflow.decision.deadline import deadline_of
from fsmflow.decision.entity import Snapshot, Standing
from fsmflow.decision.expectation import overdue_of
from fsmflow.decision.inputs import Actor
from fsmflow.decision.offers import Offer, by_role, lacks_a_role, offers, without_branch
from fsmflow.decision.versions import lacking
from fsmflow.decision.work import Work, WorkKind
from fsmflow.definition.model import StateSpec
from fsmflow.definition.names import RETRY, UNDONE, WAITING
from fsmflow.engine.details import NAMED, Details, Message, Stuck, details_of, told_of_waiting
from fsmflow.engine.lookup import Instance
from fsmflow.engine.permission import context_for
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.remedy import gone_branch
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import check_team
from fsmflow.values import dataclass

#: How far to the right it stands what is told, after its name.
MARGIN: Final = 13


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Where an entity stands. Its ``str()`` is what the command line prints.

    ``allowed``: the triggers that the actor who asks can fire; ``triggers``: these and the others, with what stands
    against them. ``scheduled``: the messages that it sent and that are on their way: name, trigger, to whom and when.
    ``deferred``: the triggers that came too early and are kept; ``kept`` the same with their numbers. ``undelivered``:
    the messages that it sent and that could not be delivered, with the reason. ``stuck``: what is due and cannot go on;
    each has ``what``, ``why``, ``tries`` and ``next_at``. ``own_row``: what is wrong with the row that
    ``status_field`` writes. ``workers``: that those who listen for its job, or for that of a retry, have loaded other
    code. ``deadline``: when the time of its state is over, or how much of it a pause holds, and what happens then.
    ``asked``: what one of two people has asked for, and a second one has to. ``overdue``: that it is in its state for
    longer than is expected there.
    """

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
    undelivered: tuple[str, ...] = ()
    scheduled: tuple[str, ...] = ()
    own_row: str | None = None
    kept: tuple[str, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    triggers: tuple[Offer, ...] = ()
    workers: str | None = None
    deadline: str | None = None
    asked: tuple[str, ...] = ()
    overdue: str | None = None

    @property
    def why(self) -> str:
        """What it does or waits for, and what stands in its way, in a line of text."""
        waits = self.waiting_for and f"it waits for {self.waiting_for}"
        blocked = self.blocked_by and f"blocked by: {self.blocked_by}"
        return "; ".join(text for text in (self.doing, waits, blocked, self.workers) if text)

    def __str__(self) -> str:
        facts = [
            ("doing:", self.doing),
            ("waiting for:", self.waiting_for),
            ("next at:", self.next_at and _moment(self.next_at)),
            ("deadline:", self.deadline),
            ("overdue:", self.overdue),
            ("blocked by:", self.blocked_by),
            ("workers:", self.workers),
            ("own row:", self.own_row),
            *(("stuck:", stuck) for stuck in self.stuck),
            *(("scheduled:", message) for message in self.scheduled),
            *(("asked:", proposal) for proposal in self.asked),
            ("kept:", ", ".join(self.kept)),
            *(("undelivered:", message) for message in self.undelivered),
            ("allowed now:", ", ".join(self.allowed) or "nothing"),
            ("with a role:", by_role(self.triggers)),
            ("not now:", "; ".join(str(one) for one in self.triggers if not (one.allowed or lacks_a_role(one)))),
        ]
        lines = [f"{self.address} is in {self.state} ({self.phase}) since {_moment(self.since)}"]
        return "\n".join([*lines, *(f"{name:<{MARGIN}}{text}" for name, text in facts if text)])


def offers_to(runtime: Runtime, instance: Instance, actor: Actor | None) -> list[Offer]:
    """What ``actor`` could fire now. Two queries more for a parent that has failed and whose branches have names.
    Raises EntityNotFound where it is not there for the actor."""
    own, snapshot = instance.own, instance.snapshot
    check_team(runtime, snapshot, actor)
    found = offers(own, snapshot, actor, runtime.now(), context_for(runtime, instance))
    gone = gone_branch(runtime, instance) if any(offer.trigger == RETRY and offer.allowed for offer in found) else None
    if gone is None:
        return found
    refused = Offer(trigger=RETRY, allowed=False, why=without_branch(gone))
    return [refused if offer.trigger == RETRY else offer for offer in found]


def explain(runtime: Runtime, instance: Instance, actor: Actor | None = None) -> Explanation:
    """Explain one entity to ``actor``. One look at Redis where a job waits for a worker, or
    for a retry; Redis may be down."""
    own, snapshot, spec = instance.own, instance.snapshot, instance.spec
    work, reasons = snapshot.work, Reasons(runtime)
    triggers = tuple(offers_to(runtime, instance, actor))
    details = details_of(runtime, own, snapshot)
    return Explanation(
        address=snapshot.address,
        state=snapshot.state,
        phase=snapshot.phase,
        since=clock.to_datetime(snapshot.entered_at),
        doing=_doing(spec, work) or _ending(runtime, instance),
        waiting_for=None if spec is None else _Waiting(instance, spec, details, triggers, reasons).text(),
        next_at=_next_at(work, details.waiting),
        blocked_by=_fault(instance) or _blocked_by(runtime, reasons, instance, details),
        workers=reasons.other_code(instance.stored),
        deferred=tuple(kept.trigger for kept in details.kept),
        allowed=tuple(offer.trigger for offer in triggers if offer.allowed),
        undelivered=tuple(map(str, details.lost)),
        own_row=details.own_row,
        kept=tuple(map(str, details.kept)),
        stuck=details.stuck,
        scheduled=tuple(map(_scheduled, details.sent)),
        triggers=triggers,
        deadline=deadline_of(own, snapshot),
        asked=details.asked,
        overdue=overdue_of(spec, snapshot, runtime.now()),
    )


def _next_at(work: Work | None, waiting: Sequence[Snapshot]) -> datetime | None:
    """When something happens by itself: a retry or a timer, or the deadline of what also has a job or branches, or the
    next run of one of these."""
    if work is None or work.held is not None or work.parked is not None:
        return None
    if work.watches:
        moments = [branch.work.wake_at for branch in waiting if branch.work is not None]
        moments += [] if work.deadline is None else [work.deadline]
        return clock.to_datetime(min(moments)) if moments else None
    waits = work.owner is None and work.rung_at is None
    moment = work.wake_at if waits else work.deadline
    return None if moment is None else clock.to_datetime(moment)


def _scheduled(message: Message) -> str:
    if message.left_ms is not None:
        return f"{message}, held by the pause with {clock.span(message.left_ms)} left"
    return f"{message} at {_moment(clock.to_datetime(message.due_at or 0))}"


def _doing(spec: StateSpec | None, work: Work | None) -> str | None:
    if spec is None or work is None or work.owner is None:
        return None
    progress = "" if work.progress is None else f", {work.progress:.0%} done"
    return f"{_attempt(spec, work)}{' is running' if spec.fan is None else ''}{progress}"


def _ending(runtime: Runtime, instance: Instance) -> str | None:
    """That branches are still to be ended, of a step that the entity has left: what is passed down to many takes its
    time. One query where the machine fans out."""
    step = instance.step
    if not instance.own.fans or step is None or step.fan is not None:
        return None
    left = runtime.store.branches.unsettled(instance.snapshot.row, limit=NAMED + 1)
    if not left:
        return None
    named = ", ".join(branch.address for branch in left[:NAMED])
    more = " and more" if len(left) > NAMED else ""
    return f"its branches are being ended, of which some are still on their way: {named}{more}"


def _attempt(spec: StateSpec, work: Work) -> str:
    if spec.fan is not None:
        return "making more branches" if work.kind == WorkKind.MORE else "making its branches"
    undoes = f" (to undo {spec.undoes!r})" if spec.undoes else ""
    return f"attempt {work.attempt} of job {spec.job_name!r}{undoes}"


class _Waiting:
    """What an entity waits for, in words."""

    def __init__(
        self, instance: Instance, spec: StateSpec, details: Details, triggers: tuple[Offer, ...], reasons: Reasons
    ) -> None:
        self._reasons = reasons
        self._offers = triggers
        self._instance = instance
        self._spec = spec
        self._snapshot = instance.snapshot
        self._details = details
        # What somebody could fire, with another role or with the payload that a guard needs.
        self._fired = [
            str(offer) if offer.needs_roles else offer.trigger
            for offer in triggers
            if offer.allowed is not False or offer.needs_roles
        ]
        self._triggers = ", ".join(self._fired) or "none is allowed now"

    def text(self) -> str | None:
        """What it waits for, and the deadline that runs beside that."""
        text, work, spec = self._what(), self._snapshot.work, self._spec
        beside = work is not None and work.held is None and work.deadline is not None
        if not text or not beside or spec.timer is None:
            return text
        fires = self._instance.own.offers(spec.timer.trigger, spec.name)
        return f"{text}; or {f'{spec.timer.trigger!r} by itself' if fires else 'the end of its time'}"

    def _what(self) -> str | None:
        spec, work = self._spec, self._snapshot.work
        if spec.is_final or (work is not None and work.owner is not None):
            return None
        if spec.is_failed:
            return self._somebody()
        if self._snapshot.standing == Standing.QUEUED:
            return self._turn()
        if work is None:
            return self._without_work()
        if work.held is not None or work.parked is not None:
            return self._kept_back(work)
        if work.watches:
            return self._branches(work)
        if spec.timer is not None and not work.runs:
            answer = f" as the answer, as job {spec.job_name!r} has returned" if spec.waits else ""
            named = f": {self._triggers};" if self._fired else ","
            return f"a trigger{answer}{named} or {spec.timer.trigger!r} by itself"
        return self._worker(work)

    def _kept_back(self, work: Work) -> str | None:
        if work.is_in_line:
            return self._reasons.line_of(self._instance.stored)
        return f"a trigger: {self._triggers}" if self._spec.is_waiting else None

    def _worker(self, work: Work) -> str:
        attempt = _attempt(self._spec, work)
        task = f"run {attempt}" if self._spec.fan is None else attempt.replace("making", "make")
        if work.rung_at is None:
            return f"its time to {task}, at {_moment(clock.to_datetime(work.wake_at))}; 'retry' runs it now"
        place = self._reasons.place(self._instance.stored)
        return f"a worker to {task} from queue {work.queue!r}{'' if place is None else f', where {place}'}"

    def _without_work(self) -> str | None:
        spec, snapshot = self._spec, self._snapshot
        if spec.waits and snapshot.phase == WAITING:
            return f"a trigger as the answer, as job {spec.job_name!r} has returned: {self._triggers}"
        if spec.is_working:
            return "'resume' to start the work of this state: the entity was brought into it, and none was started"
        if not spec.is_waiting:
            return None
        return self._instance.own.wide.waits_for.get(spec.name, f"a trigger: {self._triggers}")

    def _turn(self) -> str:
        above = self._details.parent
        return f"its turn, as {above.address if above else 'its parent'} runs only so many branches at once"

    def _branches(self, work: Work) -> str:
        progress = self._details.progress
        if progress is None:
            return "its branches"
        left = progress.left
        far = " so far" if work.kind == WorkKind.WINDOW else ""
        count = f"{left} of {progress.total} branches{far}"
        if not left:
            return f"the end of its {count}"
        waiting = self._details.waiting
        wait = f"; {told_of_waiting(waiting)}" if waiting else ""
        return f"{count}: {_named(self._details.unsettled, left)}{wait}"

    def _somebody(self) -> str:
        retry = next((offer for offer in self._offers if offer.trigger == RETRY), None)
        if retry is not None and retry.allowed is False and retry.why and not retry.ways:
            return f"somebody to mend this: {retry.why}"
        progress = self._details.progress
        standing = self._snapshot.standing
        above = None if standing is not None and standing.is_free else self._details.parent
        if progress is not None and self._instance.step is not None and progress.failed + progress.cancelled:
            parts = {"failed": progress.failed, "were cancelled": progress.cancelled}
            how = " or ".join(what for what, count in parts.items() if count)
            count = progress.failed + progress.cancelled
            which = f"the {'one' if count == 1 else count} of {progress.total} branches that {how}"
            return f"somebody to retry it, once the cause is mended: that runs {which}"
        also = f" (or {above.address})" if above is not None else ""
        return f"somebody to retry it{also}, once the cause is mended"


def _named(branches: Sequence[Snapshot], count: int) -> str:
    named = [branch.address for branch in branches[:NAMED]]
    more = count - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")


def _fault(instance: Instance) -> str | None:
    """What keeps the code from going on with it: its version, or the name of a branch that the code lacks."""
    if instance.fault is not None:
        return str(instance.fault)
    step = instance.step
    return str(lacking(instance.own, instance.snapshot)) if step is not None and step.lacks_job else None


def _blocked_by(runtime: Runtime, reasons: Reasons, instance: Instance, details: Details) -> str | None:
    spec, snapshot = instance.spec, instance.snapshot
    if spec is None:
        return (
            f"the definition has no state {snapshot.state!r}; deploy one that has, say in renamed_states what it is "
            f"called now, or 'force' the entity into another"
        )
    if spec.is_final:
        return None
    work, failure = snapshot.work, _failure(instance, spec)
    if failure is not None and work is not None and work.waits and work.wake_at > runtime.now():
        return failure
    obstacle = reasons.obstacle(instance.stored) or failure
    if obstacle is None and work is not None and work.watches:
        return _failed_branches(details) or _obstacle_of_branches(reasons, details)
    return obstacle


def _failure(instance: Instance, spec: StateSpec) -> str | None:
    snapshot = instance.snapshot
    failure = snapshot.failure
    # In undoing_X, and after it, the failure that led there is still shown; what stands in the way is one of its own.
    remembers = spec.undoes is not None or snapshot.event.trigger == UNDONE
    if failure is None or (remembers and failure.state != spec.name):
        return None
    place = None if instance.root.wide.redact else place_in(failure.traceback, failure.error_type)
    where = f"{place}, " if place else ""
    return f"{failure.error_type}: {failure.message} ({where}attempt {failure.attempts} of {failure.state!r})"


def _obstacle_of_branches(reasons: Reasons, details: Details) -> str | None:
    """What stands in the way of the first of its branches that something stands in the way of."""
    for branch in details.unsettled:
        obstacle = reasons.obstacle(branch)
        if obstacle is not None:
            return f"what stands in the way of {branch.address}: {obstacle}"
    return None


def _failed_branches(details: Details) -> str | None:
    progress, failed = details.progress, details.failed
    if progress is None or not progress.failed or not failed:
        return None
    first = next((branch.failure for branch in failed if branch.failure is not None), None)
    of_many = "" if progress.failed == 1 else ", the first of them"
    cause = f"{of_many} with {first.error_type}: {first.message}" if first else ""
    count = "1 branch has" if progress.failed == 1 else f"{progress.failed:,} branches have"
    return f"{count} failed ({_named(failed, progress.failed)}){cause}; retry of a branch runs it again"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
