"""What ``resume`` comes to for an entity as it stands: decided here once, for the engine, dry runs and selections."""

from __future__ import annotations

from enum import Enum, auto

from fsmflow.decision.entity import Snapshot, Standing
from fsmflow.definition.model import Definition, StateSpec
from fsmflow.definition.names import FINISHED, WAITING


class Resumption(Enum):
    """The first thing to do. After ``LET_GO`` it is asked again, of the entity as it is then."""

    #: It is paused: let go of what was held.
    LET_GO = auto()
    #: It rests after a failure: retry it.
    RETRY = auto()
    #: It is in a state that the code lacks: a retry says so.
    STRANDED = auto()
    #: The job of its state was never started, as that of an adopted entity: start it.
    START = auto()
    #: It waits for branches: look after them now.
    LOOK = auto()
    #: Its job is dispatched, and nobody runs it: dispatch it again.
    RING = auto()
    #: Its job waits out an interval, or its timer or deadline could not fire: do it now, as a retry would.
    HURRY = auto()
    NOTHING = auto()


def resumption(own: Definition, snapshot: Snapshot) -> Resumption:
    """What resuming an entity begins with; ``own`` is the definition that it goes by."""
    if snapshot.phase == FINISHED:
        return Resumption.NOTHING
    if snapshot.paused:
        return Resumption.LET_GO
    spec, work = own.states.get(snapshot.state), snapshot.work
    if spec is None:
        return Resumption.STRANDED
    if spec.is_failed:
        return Resumption.RETRY
    if work is None:
        return Resumption.START if _was_never_started(spec, snapshot) else Resumption.NOTHING
    if work.waits or work.is_stuck_timer:
        return Resumption.HURRY
    if work.watches:
        return Resumption.LOOK
    is_dispatched = work.owner is None and work.rung_at is not None and work.held is None
    return Resumption.RING if is_dispatched else Resumption.NOTHING


def _was_never_started(spec: StateSpec, snapshot: Snapshot) -> bool:
    """Whether the state has work of its own, and this entity has none: a branch that waits for its turn has none yet,
    and one whose job has asked has no more."""
    if not spec.is_working or snapshot.standing == Standing.QUEUED:
        return False
    return not (spec.waits and snapshot.phase == WAITING)
