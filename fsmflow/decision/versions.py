"""Brings an entity up to the code of today: states that were renamed, data of an earlier version.

In memory alone: it is written with the next commit of the entity, and its history stays as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping

from fsmflow import codec
from fsmflow.decision import asker
from fsmflow.decision.context import Entered
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.redaction import masked
from fsmflow.decision.view import DataView, subject_of
from fsmflow.definition.guards import Firing
from fsmflow.definition.model import Definition
from fsmflow.errors import (
    DataError,
    UnknownBranch,
    UnknownState,
    UnknownVersion,
    UpgradeError,
    did_you_mean,
    name_of,
    shown,
    text_of,
)
from fsmflow.values import replace


def brought_up(definition: Definition, snapshot: Snapshot) -> Snapshot:
    """The entity as the code of today knows it; ``definition`` is that of the machine, for a branch too.

    Nothing is done for one that is so already. A state that the code does not know under any name stays. Raises
    UnknownVersion for an entity of newer code, and UpgradeError where ``upgrade`` raises.
    """
    if snapshot.version == definition.version:
        return renamed(definition, snapshot)
    if snapshot.version > definition.version:
        raise UnknownVersion(
            definition.name, snapshot.state, snapshot.address, stored=snapshot.version, known=definition.version
        )
    return _upgraded(definition, renamed(definition, snapshot))


def renamed(definition: Definition, snapshot: Snapshot) -> Snapshot:
    """The entity under the names that states have today; phase, work and data as they are. Never raises."""
    names = definition.wide.renamed
    if not names or (snapshot.state not in names and snapshot.branch_of not in names):
        return snapshot
    return replace(
        snapshot,
        state=names.get(snapshot.state, snapshot.state),
        branch_of=names.get(snapshot.branch_of or "", snapshot.branch_of),
        stored_as=snapshot.stored_as or snapshot.state,
    )


def as_shown(definition: Definition, snapshot: Snapshot) -> Snapshot:
    """``brought_up`` for whoever only looks: what cannot be brought up is shown as it is. Never raises."""
    try:
        return brought_up(definition, snapshot)
    except (UnknownVersion, UpgradeError):
        return renamed(definition, snapshot)


def retraced(definition: Definition, trail: tuple[Entered, ...]) -> tuple[Entered, ...]:
    """The steps that could be undone, under the names of today."""
    names = definition.wide.renamed
    return tuple(replace(step, state=names.get(step.state, step.state)) for step in trail) if names else trail


def names_of(definition: Definition, state: str) -> tuple[str, ...]:
    """All names under which a state may be stored; that of today comes first."""
    return (state, *(old for old, new in definition.wide.renamed.items() if new == state))


def unknown_state(definition: Definition, state: str, *, address: str | None = None) -> UnknownState:
    """The error for a state that the machine does not have; it says so where that was renamed."""
    now = definition.wide.renamed.get(state)
    return UnknownState(definition.name, state, definition.states, address=address, now=now)


def lacking(own: Definition, branch: Snapshot) -> UnknownBranch:
    """The error for a branch that is to run, and whose name the code does not have (any more). ``own``: the definition
    that it goes by."""
    name, step = branch.part or "", own.initial
    known = tuple(own.branches)
    there = f"its branches are: {', '.join(known)}" if known else "its branches have no names"
    why = (
        f"{branch.address}: machine {own.name!r} has no branch {name!r} in {step!r}{did_you_mean(name, known)}; "
        f"{there}. It was left untouched. Deploy code that has it, or go on without it: 'skip' it where it has failed, "
        f"else 'force' it into 'done'"
    )
    return UnknownBranch(branch.address, name, known, why=why)


def _upgraded(definition: Definition, snapshot: Snapshot) -> Snapshot:
    upgrade = definition.wide.upgrade
    if upgrade is None or snapshot.branch_of is not None:
        # A branch has no data of its own: it sees that of its parent.
        return replace(snapshot, version=definition.version)
    firing = Firing(snapshot.address, snapshot.state)
    data = snapshot.data
    try:
        view = DataView(definition, snapshot, firing, snapshot.event, data, snapshot.failure)
        with asker.deciding(snapshot.address):
            new = upgrade(subject_of(definition, view), data, snapshot.version)
        if new is not None and not isinstance(new, Mapping):
            raise DataError(f"upgrade returned {shown(new)}; it returns the new data, or None if it changed data")
        text = codec.encode(dict(view.data if new is None else new))
    except Exception as error:
        why = masked(definition, f"{name_of(type(error))}: {text_of(error)}", snapshot, data)
        raise UpgradeError(snapshot.address, snapshot.version, definition.version, why) from error
    return replace(snapshot, data_text=text, version=definition.version)
