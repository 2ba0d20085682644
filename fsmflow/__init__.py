"""fsmflow: explicit finite-state machines whose steps run as RQ jobs, with their state in SQL."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsmflow import failures as failures
    from fsmflow.decision.context import Branch, Branches, Progress, Undoing
    from fsmflow.decision.edit import Edit
    from fsmflow.decision.entity import Event, Failure
    from fsmflow.decision.forecast import Forecast
    from fsmflow.decision.history import HistoryEntry
    from fsmflow.decision.inputs import Actor, Outcome
    from fsmflow.decision.offers import Offer, Way
    from fsmflow.definition.answer import Refuse
    from fsmflow.definition.hooks import Hook
    from fsmflow.definition.operators import Two
    from fsmflow.definition.retry import Retry
    from fsmflow.definition.schedule import Schedule
    from fsmflow.definition.state import State
    from fsmflow.definition.tell import Tell
    from fsmflow.engine.cursors import FeedAhead, FeedInUse
    from fsmflow.engine.explain import Explanation
    from fsmflow.engine.feeds import Feed, FeedEntry
    from fsmflow.engine.runtime import joining
    from fsmflow.engine.threads import aclose
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
        SearchStopped,
        StepTimeout,
        TransitionConflict,
        TransitionNotAllowed,
        UnknownBranch,
        UnknownMachine,
        UnknownState,
        WorkerLost,
    )
    from fsmflow.feeds import feed
    from fsmflow.log.lines import LogFields
    from fsmflow.machine import Machine, Trigger
    from fsmflow.operations import alarms, repairs
    from fsmflow.settings import configure
    from fsmflow.settings.alarms import CrashLoop, Failing, NewFailure, NobodyListens, OldestDue, Overdue, Stuck
    from fsmflow.settings.limits import Limit

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "Branch",
    "Branches",
    "Cancelled",
    "ConfigurationError",
    "CrashLoop",
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
    "Failing",
    "Failure",
    "Feed",
    "FeedAhead",
    "FeedEntry",
    "FeedInUse",
    "Forecast",
    "FsmflowError",
    "GuardError",
    "HistoryEntry",
    "Hook",
    "KeyConflict",
    "Limit",
    "LogFields",
    "Machine",
    "MergeError",
    "MethodError",
    "NestedAction",
    "NewFailure",
    "NobodyListens",
    "NotPermitted",
    "Offer",
    "OldestDue",
    "Outcome",
    "Overdue",
    "Progress",
    "RedisUnavailable",
    "Refuse",
    "Retry",
    "RetryAfter",
    "Schedule",
    "SearchStopped",
    "State",
    "StepTimeout",
    "Stuck",
    "Tell",
    "Timetable",
    "TransitionConflict",
    "TransitionNotAllowed",
    "Trigger",
    "Two",
    "Undoing",
    "UnknownBranch",
    "UnknownMachine",
    "UnknownState",
    "Way",
    "WorkerLost",
    "aclose",
    "alarms",
    "configure",
    "failures",
    "feed",
    "joining",
    "repairs",
]

#: Where the public names are, but for those of ``fsmflow.errors``. A module is imported when the first of its names is
#: asked for, so that what needs few of them begins soon.
_PLACES = {
    "fsmflow": ("failures",),
    "fsmflow.decision.context": ("Branch", "Branches", "Progress", "Undoing"),
    "fsmflow.decision.edit": ("Edit",),
    "fsmflow.decision.entity": ("Event", "Failure"),
    "fsmflow.decision.forecast": ("Forecast",),
    "fsmflow.decision.history": ("HistoryEntry",),
    "fsmflow.decision.inputs": ("Actor", "Outcome"),
    "fsmflow.decision.offers": ("Offer", "Way"),
    "fsmflow.definition.answer": ("Refuse",),
    "fsmflow.definition.hooks": ("Hook",),
    "fsmflow.definition.operators": ("Two",),
    "fsmflow.definition.retry": ("Retry",),
    "fsmflow.definition.schedule": ("Schedule",),
    "fsmflow.definition.state": ("State",),
    "fsmflow.definition.tell": ("Tell",),
    "fsmflow.engine.cursors": ("FeedAhead", "FeedInUse"),
    "fsmflow.engine.explain": ("Explanation",),
    "fsmflow.engine.feeds": ("Feed", "FeedEntry"),
    "fsmflow.engine.runtime": ("joining",),
    "fsmflow.engine.threads": ("aclose",),
    "fsmflow.engine.timetable": ("Timetable",),
    "fsmflow.feeds": ("feed",),
    "fsmflow.log.lines": ("LogFields",),
    "fsmflow.machine": ("Machine", "Trigger"),
    "fsmflow.operations": ("alarms", "repairs"),
    "fsmflow.settings": ("configure",),
    "fsmflow.settings.alarms": (
        *("CrashLoop", "Failing", "NewFailure", "NobodyListens", "OldestDue", "Overdue", "Stuck"),
    ),
    "fsmflow.settings.limits": ("Limit",),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "failures":  # a module, which is found by its name from then on
            return import_module("fsmflow.failures")
        found = globals()[name] = getattr(import_module(_PLACE_OF.get(name, "fsmflow.errors")), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
