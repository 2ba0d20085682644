"""Finds an entity with the code that it goes by."""

from __future__ import annotations

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.decision.versions import as_shown, brought_up, renamed
from fsmflow.definition.model import Definition, StateSpec
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import lets_see
from fsmflow.errors import DatabaseUnavailable, EntityNotFound, UnknownState, UnknownVersion, UpgradeError
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An entity with the code of today that it goes by. A branch whose name the code lacks goes by one without a job.

    ``root`` is the definition of its machine, ``own`` that of the entity: another one for a branch. ``snapshot`` is
    brought up to that code; ``stored`` is what it was before. Where it cannot be, it has only the names of today, and
    ``fault`` says why: whoever looks is shown that, and whoever decides raises it.
    """

    root: Definition
    own: Definition
    snapshot: Snapshot
    stored: Snapshot
    fault: UnknownVersion | UpgradeError | None = None

    def checked(self) -> Instance:
        """The same, where it could be brought up. Raises ``fault`` where it could not."""
        if self.fault is not None:
            raise self.fault
        return self

    @property
    def spec(self) -> StateSpec | None:
        """The state that it is in; None where the code lacks it."""
        return self.own.states.get(self.snapshot.state)

    @property
    def step(self) -> StateSpec | None:
        """The state whose step it is in, or rests in the failure of; None where the code lacks it."""
        return self.own.step_of(self.snapshot.state)


def instance_of(root: Definition, snapshot: Snapshot) -> Instance:
    """An entity with the code of its machine, brought up to that once.

    Raises UnknownState for a branch whose step the code does not have any more.
    """
    stored, fault = snapshot, None
    try:
        snapshot = brought_up(root, stored)
    except (UnknownVersion, UpgradeError) as error:
        snapshot, fault = renamed(root, stored), error
    return Instance(root=root, own=_own(root, snapshot), snapshot=snapshot, stored=stored, fault=fault)


def under_todays_names(root: Definition, snapshot: Snapshot) -> Instance:
    """``instance_of`` for whoever asks where an entity stands, and nothing else: its data stay as they are stored."""
    today = renamed(root, snapshot)
    return Instance(root=root, own=_own(root, today), snapshot=today, stored=snapshot)


def instance_for(runtime: Runtime, snapshot: Snapshot) -> Instance:
    """``instance_of`` for an entity of any machine. Raises UnknownMachine, and UnknownState."""
    return instance_of(runtime.machines.get(snapshot.machine), snapshot)


def load(runtime: Runtime, root: Definition, entity_id: str, actor: Actor | None = None) -> Instance:
    """The entity as it is now, to be decided on. One query. Raises UnknownState, and EntityNotFound, also where it is
    not there for an actor: nobody is told that it is there for others."""
    return _instance(runtime, root, entity_id, runtime.store.entities.load(root.name, entity_id), actor)


def look(runtime: Runtime, root: Definition, entity_id: str, actor: Actor | None = None) -> Instance:
    """The same, to be shown: nothing is locked, and a transaction of the caller's sees what it sees."""
    return _instance(runtime, root, entity_id, runtime.store.entities.look(root.name, entity_id), actor)


def _instance(
    runtime: Runtime, root: Definition, entity_id: str, snapshot: Snapshot | None, actor: Actor | None
) -> Instance:
    if snapshot is None or not _is_there_for(runtime, snapshot, actor):
        raise EntityNotFound(f"{root.name}:{entity_id}")
    return instance_of(root, snapshot)


def find(runtime: Runtime, root: Definition, text: str, actor: Actor | None = None) -> Instance:
    """What an id or an address means to a machine: an entity of its own, or a branch or child of one, at any depth.

    One query for an id; nothing is locked. Raises EntityNotFound, as ``load`` does, also for the address of another
    machine's, and UnknownState.
    """
    machine, colon, entity_id = text.partition(":")
    found = runtime.store.entities.look(root.name, text)
    if found is None and colon:
        found = runtime.store.entities.look(machine, entity_id)
        found = found if found is not None and _is_there_for(runtime, found, actor) else None
        if found is not None and not _is_below(runtime, root, found):
            raise EntityNotFound(text, why=f"is an entity of machine {machine!r}, not of {root.name!r}: ask that one")
    elif found is not None and not _is_there_for(runtime, found, actor):
        found = None
    if found is None:
        is_address = colon and machine in (root.name, *runtime.machines.all())
        raise EntityNotFound(text if is_address else f"{root.name}:{text}")
    return instance_of(root, found) if found.machine == root.name else instance_for(runtime, found)


def _is_there_for(runtime: Runtime, snapshot: Snapshot, actor: Actor | None) -> bool:
    """Whether an entity is there for an actor, by the code of today."""
    if actor is None:
        return True
    known = runtime.machines.all().get(snapshot.machine)
    return lets_see(runtime, snapshot if known is None else as_shown(known, snapshot), actor)


def _is_below(runtime: Runtime, root: Definition, snapshot: Snapshot) -> bool:
    """Whether it is of a machine, or a child of such, or of a child of such ..."""
    found: Snapshot | None = snapshot
    while found is not None and found.machine != root.name:
        found = None if found.parent is None else runtime.store.entities.load_row(found.parent)
    return found is not None


def load_row(runtime: Runtime, row: int) -> Instance | None:
    """The entity of a row as it is now; None where it is gone. One query. Raises UnknownMachine, UnknownState."""
    snapshot = runtime.store.entities.load_row(row)
    return None if snapshot is None else instance_for(runtime, snapshot)


def address_of(runtime: Runtime, row: int) -> str:
    """What to call an entity in a line of the log."""
    try:
        snapshot = runtime.store.entities.load_row(row)
    except DatabaseUnavailable:
        return f"an entity (row {row}; the database is away)"
    return f"an entity that is gone (row {row})" if snapshot is None else snapshot.address


def _own(root: Definition, snapshot: Snapshot) -> Definition:
    if snapshot.branch_of is None:
        return root
    own = root.branch(root.wide.renamed.get(snapshot.branch_of, snapshot.branch_of), snapshot.branch_name)
    if own is None:
        others = root.states.keys() - {snapshot.branch_of}
        raise UnknownState(root.name, snapshot.branch_of, others, address=snapshot.address)
    return own
