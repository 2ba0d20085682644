"""fsmflow: explicit finite-state machines whose steps run as RQ jobs, with their state in SQL."""

from fsmflow.decision.context import Branch, Branches, Progress, Undoing
from fsmflow.decision.edit import Edit
from fsmflow.decision.entity import Event, Failure
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor, Outcome
from fsmflow.decision.offers import Offer, Way
from fsmflow.definition.answer import Refuse
from fsmflow.definition.retry import Retry
from fsmflow.definition.schedule import Schedule
from fsmflow.definition.state import State
from fsmflow.engine.explain import Explanation
from fsmflow.engine.timetable import Timetable
from fsmflow.errors import (
    Cancelled,
    ConfigurationError,
    DatabaseRefused,
    DatabaseUnavailable,
    DataError,
    DefinitionError,
    EntityExists,
    EntityNotFound,
    Fail,
    FsmflowError,
    GuardError,
    KeyConflict,
    MergeError,
    MethodError,
    NestedAction,
    NotPermitted,
    RedisUnavailable,
    RetryAfter,
    StepTimeout,
    TransitionConflict,
    TransitionNotAllowed,
    UnknownBranch,
    UnknownMachine,
    UnknownState,
    WorkerLost,
)
from fsmflow.log.lines import LogFields
from fsmflow.machine import Machine
from fsmflow.settings import configure

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "Branch",
    "Branches",
    "Cancelled",
    "ConfigurationError",
    "DataError",
    "DatabaseRefused",
    "DatabaseUnavailable",
    "DefinitionError",
    "Edit",
    "EntityExists",
    "EntityNotFound",
    "Event",
    "Explanation",
    "Fail",
    "Failure",
    "FsmflowError",
    "GuardError",
    "HistoryEntry",
    "KeyConflict",
    "LogFields",
    "Machine",
    "MergeError",
    "MethodError",
    "NestedAction",
    "NotPermitted",
    "Offer",
    "Outcome",
    "Progress",
    "RedisUnavailable",
    "Refuse",
    "Retry",
    "RetryAfter",
    "Schedule",
    "State",
    "StepTimeout",
    "Timetable",
    "TransitionConflict",
    "TransitionNotAllowed",
    "Undoing",
    "UnknownBranch",
    "UnknownMachine",
    "UnknownState",
    "Way",
    "WorkerLost",
    "configure",
]
