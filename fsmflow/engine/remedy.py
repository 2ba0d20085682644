"""What can be done about a failure: the action that works, and why that is not a retry where it is another one."""

from __future__ import annotations

from fsmflow.decision.actions import RESUME
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.offers import without_branch
from fsmflow.definition.names import CANCEL, DONE, FORCE, RETRY, SKIP
from fsmflow.engine.branches import unknown_branch
from fsmflow.engine.commits import left_by
from fsmflow.engine.lookup import Instance, instance_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import UnknownState, did_you_mean
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """``action`` is what an operator can do to the entity of ``address``; None where only other code helps. ``state``:
    where a ``force`` is to lead. ``why``: why the entity that failed is not simply retried."""

    action: str | None = RETRY
    address: str
    why: str | None = None
    state: str | None = None


def remedy_of(runtime: Runtime, stored: Snapshot) -> Remedy:
    """For an entity that rests in a failure. One or two queries for a branch or child, and for the parent of branches
    that have names; none for others."""
    address, root = stored.address, runtime.machines.all().get(stored.machine)
    if root is None:
        hint = did_you_mean(stored.machine, runtime.machines.all())
        return Remedy(
            action=None, address=address, why=f"the code has no machine {stored.machine!r}{hint}; deploy code that has"
        )
    try:
        instance = instance_of(root, stored)
    except UnknownState:
        why = f"the code has no step {stored.branch_of!r} with such a branch; deploy code that has, or go on without it"
        return Remedy(action=None, address=address, why=why)
    if instance.fault is not None:
        return Remedy(action=None, address=address, why="the code here cannot go on with its version of the machine")
    if instance.spec is None:
        why = f"the code has no state {instance.snapshot.state!r}; name it in renamed_states, or say where it belongs"
        return Remedy(action=FORCE, address=address, why=why, state="STATE")
    return _of_known(runtime, instance)


def _of_known(runtime: Runtime, instance: Instance) -> Remedy:
    snapshot = instance.snapshot
    gone = gone_branch(runtime, instance)
    if gone is not None:
        action, state = (SKIP, None) if gone.fingerprint else (FORCE, DONE)
        return Remedy(action=action, address=gone.address, why=without_branch(gone), state=state)
    above = left_by(runtime, instance)
    if above is not None:
        return Remedy(action=CANCEL, address=snapshot.address, why=f"{above}; nothing would come of a retry")
    if snapshot.paused:
        return Remedy(action=RESUME, address=snapshot.address, why="a pause holds it")
    return Remedy(address=snapshot.address)


def gone_branch(runtime: Runtime, instance: Instance) -> Snapshot | None:
    """The branch whose name the code lacks, and for which a retry of this entity is refused: itself, or one of its
    own."""
    step = instance.step
    if step is not None and step.lacks_job:
        return instance.snapshot
    if step is None or step.name == instance.snapshot.state:
        return None
    found = unknown_branch(runtime.store, instance.root, step, instance.snapshot)
    return None if found is None else found[1]
