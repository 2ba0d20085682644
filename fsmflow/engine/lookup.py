"""Finds an entity with the code that it goes by."""

from __future__ import annotations

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.versions import as_shown
from fsmflow.definition.model import Definition, StateSpec
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import EntityNotFound, UnknownState


def definition_of(definition: Definition, snapshot: Snapshot) -> Definition:
    """The definition that an entity of this machine goes by: that of its branches, for one of these.

    Raises UnknownState where the code has no such branches any more.
    """
    if snapshot.branch_of is None:
        return definition
    found = definition.branches.get(definition.wide.renamed.get(snapshot.branch_of, snapshot.branch_of))
    if found is None:
        others = definition.states.keys() - {snapshot.branch_of}
        raise UnknownState(definition.name, snapshot.branch_of, others, address=snapshot.address)
    return found


def load(runtime: Runtime, definition: Definition, entity_id: str) -> Snapshot:
    """The entity as it is now, to be shown or decided on. Raises EntityNotFound. One query."""
    snapshot = runtime.store.entities.load(definition.name, entity_id)
    if snapshot is None:
        raise EntityNotFound(f"{definition.name}:{entity_id}")
    return as_shown(definition, snapshot)


def fan_of(definition: Definition, snapshot: Snapshot) -> StateSpec | None:
    """The state that fans out which the entity is in, or the failure of which it rests in."""
    spec = definition.states.get(snapshot.state)
    if spec is not None and spec.failed_from is not None:
        spec = definition.states.get(spec.failed_from)
    return spec if spec is not None and spec.fan is not None else None
