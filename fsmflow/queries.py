"""What the edges ask: which entity is meant, what failed, who listens."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from fsmflow import clock
from fsmflow.decision.commit import Posted
from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.decision.fanout import CAUSE, BranchesFailed
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import checked_id
from fsmflow.decision.versions import as_shown, renamed
from fsmflow.definition.model import Definition
from fsmflow.engine.details import Stuck, stuck_of
from fsmflow.engine.lookup import under_todays_names
from fsmflow.engine.remedy import Remedy, remedy_of
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.selection import check_machine, error_text
from fsmflow.errors import EntityNotFound, FsmflowError, UnknownMachine, UnknownState
from fsmflow.store.link import first_line
from fsmflow.store.listing import Filter
from fsmflow.values import dataclass

#: Of what ``failures`` proposes to type: long enough to tell errors apart, short enough to be read.
_PATTERN_LENGTH = 60
#: What a pattern gets hard to read by, as it is written for globs and shells.
_AWKWARD = re.compile(r"['\[*?]")
#: More events than this that cannot go on are not told of one by one.
_MANY_STUCK = 10_000


def history_of(runtime: Runtime, row: int, *, after: int = 0) -> Iterator[HistoryEntry]:
    """The history of an entity, read in pages as it is asked for; that which follows on a number."""
    while page := runtime.store.entities.history(row, after=after):
        yield from page
        after = page[-1].seq


def resolve(runtime: Runtime, text: str) -> Snapshot:
    """The entity that ``text`` means: an address, or an id that only one machine has. Branches and children too.

    Entities of a machine that the code does not know are found too. Raises EntityNotFound, UnknownMachine, DataError
    for what is no id, and FsmflowError, with the addresses, where several machines have the id.
    """
    machine, colon, entity_id = text.partition(":")
    known, load = runtime.machines.all(), runtime.store.entities.load
    generated = "/" in text
    if colon and machine in known:
        # "a/b" is a typing error, not an id that fsmflow made: those have the id, the step and the number.
        found = load(machine, checked_id(entity_id, generated=entity_id.count("/") > 1))
        # The id of a child begins with the address of its parent.
        there = [found] if found else _with_known_id(runtime, text) if generated else []
        if not there:
            raise EntityNotFound(text)
    else:
        checked_id(text, generated=text.count("/") > 1)
        stray = load(machine, entity_id) if colon else None
        there = [stray] if stray else _with_id(runtime, text)
    if len(there) > 1:
        addresses = ", ".join(snapshot.address for snapshot in there)
        raise FsmflowError(f"the id {text!r} is that of {len(there)} entities: {addresses}; write the address")
    if there:
        definition = known.get(there[0].machine)
        return there[0] if definition is None else as_shown(definition, there[0])
    raise UnknownMachine(machine, runtime.machines.of_user()) if colon else EntityNotFound(text)


def _with_id(runtime: Runtime, entity_id: str) -> list[Snapshot]:
    """The entities of this id. Those of known machines are found by index; only a stray one needs a scan."""
    found = _with_known_id(runtime, entity_id)
    return found or list(runtime.store.listing.find(Filter(entity_id=entity_id, branches="/" in entity_id)))


def _with_known_id(runtime: Runtime, entity_id: str) -> list[Snapshot]:
    loaded = (runtime.store.entities.load(machine, entity_id) for machine in runtime.machines.all())
    return [snapshot for snapshot in loaded if snapshot is not None]


def definition_for(runtime: Runtime, snapshot: Snapshot) -> Definition | None:
    """The definition that an entity goes by; None where the code knows no such machine, or no such branches."""
    root = runtime.machines.all().get(snapshot.machine)
    try:
        return None if root is None else under_todays_names(root, snapshot).own
    except UnknownState:
        return None


def redacted(runtime: Runtime, snapshot: Snapshot) -> frozenset[str]:
    """The keys whose values are not shown; none where the code does not know the machine."""
    definition = runtime.machines.all().get(snapshot.machine)
    return frozenset() if definition is None else definition.wide.redact


@dataclass(kw_only=True)
class Cause:
    """What branches failed with, whose parents are of one group. ``message`` and ``example`` are those of the latest
    that was read."""

    error_type: str
    message: str
    example: str
    count: int = 0


@dataclass(kw_only=True)
class FailureGroup:
    """Failures of one kind in one state: those that share a fingerprint. ``message`` is that of the latest.

    ``causes``: where branches failed, with what, the most frequent first. ``of_branches``: they are branches or
    children whose parent does not rest in the failure of its branches (yet); ``branch`` is the name of all of them,
    where they have one. ``remedy``: what can be done about the example; of all of them it is the same action.
    """

    fingerprint: str
    machine: str
    state: str
    error_type: str
    message: str
    example: str
    first_at: int
    last_at: int
    count: int
    lead: str
    shared: str
    remedy: Remedy
    varies: bool = False
    of_branches: bool = False
    branch: str | None = None
    found: dict[str, Cause] = field(default_factory=dict)
    others: Sequence[FailureGroup] = field(default=(), repr=False, compare=False)

    @property
    def causes(self) -> list[Cause]:
        return sorted(self.found.values(), key=lambda cause: -cause.count)

    @property
    def pattern(self) -> str:
        """A glob for ``Selection.error`` that takes every failure of the group: as far as it is easily typed, if that
        takes none of the ``others``, the groups of this error in this state."""
        line = self.shared.partition("\n")[0][:_PATTERN_LENGTH]
        plain = _AWKWARD.split(line, maxsplit=1)[0]
        names_the_kind = not self.lead and not self.of_branches and plain.startswith(f"{self.error_type}: ")
        if (
            plain != line
            and names_the_kind
            and not any(other.begins(plain) for other in self.others if other is not self)
        ):
            return f"{plain}*"
        lead = f"{self.error_type}: *{CAUSE}" if self.lead else ""
        return lead + glob.escape(line) + ("*" if self.varies or line != self.shared else "")

    def begins(self, start: str) -> bool:
        """Whether a failure of the group may begin so; of branches that failed, the cause."""
        return self.shared.startswith(start) or (self.varies and start.startswith(self.shared))

    def add(self, snapshot: Snapshot, failure: Failure, remedy: Remedy) -> None:
        """Count one more."""
        (_, text), at = _split(failure), clock.from_datetime(failure.at)
        self.varies = self.varies or text != self.shared
        self.shared = _common_start(self.shared, text)
        if at >= self.last_at:
            self.message, self.example, self.remedy = failure.message, snapshot.address, remedy
        self.first_at, self.last_at = min(self.first_at, at), max(self.last_at, at)
        self.branch = self.branch if self.branch == snapshot.branch_name else None
        self.count += 1

    def add_cause(self, branch: Snapshot, failure: Failure) -> None:
        """Count a branch for which one of these failed."""
        cause = self.found.setdefault(failure.fingerprint, Cause(error_type=failure.error_type, message="", example=""))
        cause.message, cause.example, cause.count = failure.message, branch.address, cause.count + 1


def failure_groups(runtime: Runtime, machine: str | None = None) -> list[FailureGroup]:
    """What has failed and waits for somebody, the largest group first; after these the failed branches and children
    whose parents wait for others yet, or go on without them.

    A parent whose branches failed counts once, as itself, and what they failed with is its cause. Reads every entity
    that rests in a failure; of branches and children the parents, too.
    """
    check_machine(runtime, machine)
    groups: dict[tuple[bool | str | None, ...], FailureGroup] = {}
    parents: dict[tuple[int | None, int | None], FailureGroup] = {}
    known = runtime.machines.all()
    # A parent is older than its branches, and the oldest come first.
    for stored in runtime.store.listing.find(Filter(machine=machine, failed=True, branches=True)):
        snapshot = renamed(known[stored.machine], stored) if stored.machine in known else stored
        failure = snapshot.failure
        if failure is None:
            continue
        above = parents.get((snapshot.parent, snapshot.parent_step))
        if above is not None:
            above.add_cause(snapshot, failure)
            continue
        remedy = remedy_of(runtime, stored)
        key = (snapshot.parent is not None, snapshot.machine, snapshot.state, snapshot.fingerprint, remedy.action)
        if key in groups:
            groups[key].add(snapshot, failure, remedy)
        else:
            groups[key] = _group_of(snapshot, failure, remedy)
        if failure.error_type == BranchesFailed.__name__:
            parents[snapshot.row, snapshot.step] = groups[key]
    _tell_of_others(groups.values())
    return sorted(groups.values(), key=lambda group: (group.of_branches, -group.count, group.machine, group.state))


def _tell_of_others(groups: Iterable[FailureGroup]) -> None:
    beside: dict[tuple[bool, str, str, str], list[FailureGroup]] = {}
    for group in groups:
        alike = beside.setdefault((group.of_branches, group.machine, group.state, group.error_type), [])
        alike.append(group)
        group.others = alike


def _group_of(snapshot: Snapshot, failure: Failure, remedy: Remedy) -> FailureGroup:
    at = clock.from_datetime(failure.at)
    lead, text = _split(failure)
    return FailureGroup(
        fingerprint=failure.fingerprint,
        machine=snapshot.machine,
        state=snapshot.state,
        error_type=failure.error_type,
        message=failure.message,
        example=snapshot.address,
        first_at=at,
        last_at=at,
        count=1,
        lead=lead,
        shared=text,
        remedy=remedy,
        of_branches=snapshot.parent is not None,
        branch=snapshot.branch_name,
    )


def _split(failure: Failure) -> tuple[str, str]:
    """What errors are told apart by: of branches that failed the cause, as the rest is which and how many they are; and
    what stands before it."""
    text = error_text(failure)
    lead, found, cause = text.partition(CAUSE) if failure.error_type == BranchesFailed.__name__ else ("", "", "")
    return (lead, cause) if found else ("", text)


def stuck_events(runtime: Runtime) -> dict[int, list[Posted]]:
    """The events that were tried in vain, by the row of their entity. One query, by index."""
    found: dict[int, list[Posted]] = {}
    for post in runtime.store.events.stuck(_MANY_STUCK):
        found.setdefault(post.entity, []).append(post)
    return found


def stuck_in(runtime: Runtime, snapshot: Snapshot, events: Mapping[int, Sequence[Posted]]) -> tuple[Stuck, ...]:
    """What of an entity cannot go on, by what ``stuck_events`` found. No query."""
    return stuck_of(definition_for(runtime, snapshot), snapshot, events.get(snapshot.row, ()))


@dataclass(kw_only=True)
class StuckGroup:
    """What cannot go on for the same reason, in one state: timers, kept events or messages. ``example`` is the address
    of the one that was tried most often, ``stuck`` what is known of that."""

    machine: str
    state: str
    example: str
    stuck: Stuck
    count: int = 1


def stuck_groups(runtime: Runtime, machine: str | None = None) -> list[StuckGroup]:
    """What is due and cannot go on, kind by kind, the largest group first. Reads every entity that has such."""
    check_machine(runtime, machine)
    events, known = stuck_events(runtime), runtime.machines.all()
    groups: dict[tuple[str, ...], StuckGroup] = {}
    for stored in runtime.store.listing.find(Filter(machine=machine, stuck=True, branches=True)):
        snapshot = renamed(known[stored.machine], stored) if stored.machine in known else stored
        for stuck in stuck_in(runtime, snapshot, events):
            key = (snapshot.machine, snapshot.state, *(re.sub(r"\d+", "#", text) for text in (stuck.what, stuck.why)))
            group = groups.get(key)
            if group is None:
                group = groups[key] = StuckGroup(
                    machine=snapshot.machine, state=snapshot.state, example=snapshot.address, stuck=stuck
                )
                continue
            group.count += 1
            if stuck.tries > group.stuck.tries:
                group.example, group.stuck = snapshot.address, stuck
    return sorted(groups.values(), key=lambda group: (-group.count, group.machine, group.state, group.stuck.what))


def _common_start(one: str, other: str) -> str:
    end = next((at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), None)
    return one[: len(other)] if end is None else one[:end]


def queues_of(definitions: Iterable[Definition]) -> list[str]:
    """The queues that machines name, in their order; ``default`` among them where one is chosen by a function."""
    names: dict[str, None] = {}
    for definition in definitions:
        names.update(dict.fromkeys(definition.queues))
        if any(callable(spec.queue) for spec in definition.states.values()):
            names["default"] = None
    return list(names)


@dataclass(frozen=True, kw_only=True)
class Listening:
    """The queues on which workers listen now. ``error`` says why that could not be found out."""

    queues: frozenset[str] = frozenset()
    error: str | None = None


def listening(runtime: Runtime) -> Listening:
    """Who listens. Redis may be down; the embedded server is started where it does not run."""
    try:
        return Listening(queues=frozenset(runtime.doorbell.listened()))
    except runtime.doorbell.errors as error:
        return Listening(error=first_line(error).rstrip("."))
