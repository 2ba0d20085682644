"""``State``: how a user declares a state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from fsmflow.definition.retry import Duration, Retry

#: A name of a method, a dotted path, or a function of the machine.
Ref = str | Callable[..., Any]
Callbacks = Ref | Sequence[Ref] | None
Moment = float | int | timedelta | datetime


class Unset(Enum):
    """Marks a parameter that was not given, where None means something."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "<not given>"


UNSET: Final = Unset.UNSET
DEFAULT_LIMIT: Final[Duration] = 3600


@dataclass(frozen=True)
class State:
    """A state of a machine.

    Plain states wait for a trigger; with ``timeout`` no longer than that, after which ``timeout`` fires; with
    ``delay`` they fire ``done`` after that long. A state with ``job`` is a working state: entering it queues the
    job, whose return fires ``done`` and whose failure for good fires ``fail``; its ``timeout`` limits each attempt
    (1 hour if not given, None for none). Durations are seconds or a timedelta; ``timeout`` and ``delay`` of states
    without a job may also be a method that returns either, or an aware datetime.

    Everything is checked when the machine's class is created.
    """

    name: str | Enum
    job: Ref | None = field(default=None, kw_only=True)
    retry: Retry | None = field(default=None, kw_only=True)
    timeout: Duration | Ref | Unset | None = field(default=UNSET, kw_only=True)
    delay: Duration | Ref | None = field(default=None, kw_only=True)
    queue: str | Callable[..., str] | None = field(default=None, kw_only=True)
    final: bool = field(default=False, kw_only=True)
    on_enter: Callbacks = field(default=None, kw_only=True)
    on_exit: Callbacks = field(default=None, kw_only=True)
    jobs: Any = field(default=None, kw_only=True)
    each: Any = field(default=None, kw_only=True)
    machine: Any = field(default=None, kw_only=True)
    wait: bool = field(default=False, kw_only=True)
    limit: Any = field(default=None, kw_only=True)
    branch_failure: Any = field(default=None, kw_only=True)
    undo: Any = field(default=None, kw_only=True)
    on_failure: Any = field(default=None, kw_only=True)
    transactional: bool = field(default=False, kw_only=True)
    at_most_once: bool = field(default=False, kw_only=True)
    defer: Any = field(default=None, kw_only=True)
    ignore: Any = field(default=None, kw_only=True)


STATE_PARAMETERS: Final = tuple(item.name for item in fields(State))
STATE_DEFAULTS: Final = {item.name: item.default for item in fields(State)}

#: Parameters whose names are fixed, and which this release cannot honour yet.
NOT_YET_IN_STATES: Final = (
    "jobs",
    "each",
    "machine",
    "wait",
    "limit",
    "branch_failure",
    "undo",
    "on_failure",
    "transactional",
    "at_most_once",
    "defer",
    "ignore",
)
