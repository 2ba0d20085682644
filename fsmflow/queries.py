"""What the edges ask: which entity is meant, which ones a selection takes, what failed, who listens."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice

from fsmflow import clock
from fsmflow.decision.asking import checked_id
from fsmflow.decision.records import Failure, Snapshot
from fsmflow.definition.model import Definition
from fsmflow.dispatch.doorbell import REDIS_ERRORS
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import EntityNotFound, FsmflowError, UnknownMachine, UnknownState, did_you_mean
from fsmflow.store.link import first_line
from fsmflow.store.listing import Filter

#: Of what ``failures`` proposes to type: long enough to tell errors apart, short enough to be read.
_PATTERN_LENGTH = 60


def resolve(runtime: Runtime, text: str) -> Snapshot:
    """The entity that ``text`` means: an address, or an id that only one machine has.

    Entities of a machine that the code does not know are found too. Raises EntityNotFound, UnknownMachine, DataError
    for what is no id, and FsmflowError, with the addresses, where several machines have the id.
    """
    machine, colon, entity_id = text.partition(":")
    known, load = runtime.machines.all(), runtime.store.entities.load
    if colon and machine in known:
        found = load(machine, checked_id(entity_id))
        if found is None:
            raise EntityNotFound(text)
        return found
    checked_id(text)
    stray = load(machine, entity_id) if colon else None
    there = [stray] if stray else _with_id(runtime, text)
    if len(there) > 1:
        addresses = ", ".join(snapshot.address for snapshot in there)
        raise FsmflowError(f"the id {text!r} is that of {len(there)} entities: {addresses}; write the address")
    if there:
        return there[0]
    raise UnknownMachine(machine, known) if colon else EntityNotFound(text)


def _with_id(runtime: Runtime, entity_id: str) -> list[Snapshot]:
    """The entities of this id. Those of known machines are found by index; only a stray one needs a scan."""
    loaded = (runtime.store.entities.load(machine, entity_id) for machine in runtime.machines.all())
    found = [snapshot for snapshot in loaded if snapshot is not None]
    return found or list(runtime.store.listing.find(Filter(entity_id=entity_id)))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which entities are meant; what is not given does not narrow them. ``states`` and ``error`` are globs.

    ``error`` has to match the error type or ``error_type: message`` of the failure. ``older_ms``: in the state for
    at least that long.
    """

    machine: str | None = None
    states: tuple[str, ...] = ()
    phase: str | None = None
    error: str | None = None
    older_ms: int | None = None


def select(runtime: Runtime, selection: Selection, *, limit: int | None = None) -> Iterator[Snapshot]:
    """The entities of a selection, the oldest first, read in pages.

    Raises UnknownMachine, UnknownState and, for a state that no machine has, FsmflowError.
    """
    check_machine(runtime, selection.machine)
    states = _matching_states(runtime, selection.machine, selection.states)
    wanted = Filter(machine=selection.machine, states=states, phase=selection.phase)
    if selection.error is None and selection.older_ms is None:
        return runtime.store.listing.find(wanted, limit=limit)
    entered_by = None if selection.older_ms is None else runtime.now() - selection.older_ms
    found = (
        snapshot
        for snapshot in runtime.store.listing.find(wanted)
        if (entered_by is None or snapshot.entered_at <= entered_by)
        and (selection.error is None or _fails_like(snapshot.failure, selection.error))
    )
    return islice(found, limit)


def check_machine(runtime: Runtime, machine: str | None) -> None:
    """Raises UnknownMachine for a machine that neither the code nor the database knows."""
    if machine is None or machine in runtime.machines.all():
        return
    if not any(True for _ in runtime.store.listing.find(Filter(machine=machine), limit=1)):
        raise UnknownMachine(machine, runtime.machines.all())


def _fails_like(failure: Failure | None, pattern: str) -> bool:
    if failure is None:
        return False
    return fnmatchcase(failure.error_type, pattern) or fnmatchcase(_error_text(failure), pattern)


def _matching_states(runtime: Runtime, machine: str | None, patterns: Iterable[str]) -> list[str] | None:
    """The states that the globs name, those in which entities stand that the code lacks included."""
    patterns = list(patterns)
    if not patterns:
        return None
    definitions = runtime.machines.all().values()
    known = {state for item in definitions if machine in (None, item.name) for state in item.states}
    if not known.issuperset(patterns):
        known.update(state for _, state in runtime.store.listing.counts(machine))
    for pattern in patterns:
        if not any(fnmatchcase(state, pattern) for state in known):
            if machine is not None:
                raise UnknownState(machine, pattern, known)
            raise FsmflowError(f"no machine has a state {pattern!r}{did_you_mean(pattern, known)}")
    return sorted(state for state in known if any(fnmatchcase(state, pattern) for pattern in patterns))


@dataclass(kw_only=True)
class FailureGroup:
    """Failures of one kind in one state: those that share a fingerprint. ``message`` is that of the latest."""

    fingerprint: str
    machine: str
    state: str
    error_type: str
    message: str
    example: str
    first_at: int
    last_at: int
    count: int
    shared: str
    varies: bool = False

    @property
    def pattern(self) -> str:
        """A glob for ``Selection.error`` that takes every failure of the group."""
        line = self.shared.partition("\n")[0][:_PATTERN_LENGTH]
        return glob.escape(line) + ("*" if self.varies or line != self.shared else "")

    def add(self, snapshot: Snapshot, failure: Failure) -> None:
        """Count one more."""
        text, at = _error_text(failure), clock.from_datetime(failure.at)
        self.varies = self.varies or text != self.shared
        self.shared = _common_start(self.shared, text)
        if at >= self.last_at:
            self.message, self.example = failure.message, snapshot.address
        self.first_at, self.last_at = min(self.first_at, at), max(self.last_at, at)
        self.count += 1


def failure_groups(runtime: Runtime, machine: str | None = None) -> list[FailureGroup]:
    """What has failed and waits for somebody, the largest group first. Reads every entity that rests in a failure."""
    check_machine(runtime, machine)
    groups: dict[tuple[str | None, str], FailureGroup] = {}
    for snapshot in runtime.store.listing.find(Filter(machine=machine, failed=True)):
        failure = snapshot.failure
        if failure is None:
            continue
        group = groups.get((snapshot.fingerprint, snapshot.state))
        if group is None:
            groups[snapshot.fingerprint, snapshot.state] = _group_of(snapshot, failure)
        else:
            group.add(snapshot, failure)
    return sorted(groups.values(), key=lambda group: (-group.count, group.machine, group.state))


def _group_of(snapshot: Snapshot, failure: Failure) -> FailureGroup:
    at = clock.from_datetime(failure.at)
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
        shared=_error_text(failure),
    )


def _common_start(one: str, other: str) -> str:
    end = next((at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), None)
    return one[: len(other)] if end is None else one[:end]


def _error_text(failure: Failure) -> str:
    return f"{failure.error_type}: {failure.message}"


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
    except REDIS_ERRORS as error:
        return Listening(error=first_line(error).rstrip("."))
