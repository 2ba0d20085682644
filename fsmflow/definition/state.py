"""``State``: how a user declares a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from fsmflow.definition.retry import Duration, Retry
from fsmflow.settings.limits import Limit
from fsmflow.values import Options, dataclass

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
#: Other words for what states and machines take, which no likeness of letters would find.
WORDS: Final[dict[str, str]] = {
    **dict.fromkeys(("retries", "max_retries", "retry_policy", "max_attempts"), "retry"),
    **dict.fromkeys(("time_limit", "max_time"), "timeout"),
    **dict.fromkeys(("expected", "expected_time", "sla"), "expect"),
    **dict.fromkeys(("initial_state", "start_state"), "initial"),
    **dict.fromkeys(("cron", "crontab"), "schedule"),
    "queue_name": "queue",
}


@dataclass(frozen=True)
class State(Options):
    """A state of a machine.

    Plain states wait for a trigger; with ``timeout`` no longer than that, after which ``timeout`` fires; with
    ``delay`` they fire ``done`` after that long. A state with ``job`` is a working state: entering it queues the
    job, whose return fires ``done`` and whose failure for good fires ``fail``; its ``timeout`` limits each attempt
    (1 hour if not given, None for none). ``within`` limits the whole step, with all attempts, waits and crashes, since
    the state was entered or retried by hand; once it is over, ``timeout`` fires where a transition takes it, else the
    step fails. ``heartbeat``: a job that does not call ``machine.heartbeat()`` for so long counts as lost. Durations
    are seconds or a timedelta; ``within``, and ``timeout`` and ``delay`` of states without a job, may also be a method
    that returns either, or an aware datetime. ``expect``: how long a stay is expected to last; what is there for longer
    is told as overdue, and nothing moves it.

    ``wait=True``: the job asks, its return fires nothing, and the entity waits for a trigger; ``timeout`` is then how
    long the state may last. ``jobs={"name": job, ...}`` runs several jobs side by side (``jobs=[...]`` names them after
    the jobs), ``each=`` the job once per item (a key of data, or a method that returns or yields items; the job takes
    the item), ``machine=`` starts child entities, with ``each`` one per item, ``machines={"name": machine, ...}`` one
    of each kind. ``only=`` (a key of data, or a method) picks by name which of ``jobs`` or ``machines`` run. These are
    branches: ``limit`` so many at once, ``branch_failure="stop"`` cancels the others once one has failed. ``done``
    fires when all are done, ``fail`` when all have ended and any failed.

    ``queue``: where the job waits for a worker; ``priority``: "high" before the others there, "low" after them. Both
    may be methods.

    ``undo``: the job that takes the step back. ``on_failure="undo"`` and ``on_cancel="undo"`` start that by themselves.
    ``limits``: so many of its jobs at once or in a minute, of all entities: ``[Limit("gateway", running=5)]``. Others
    wait in line.

    ``transactional=True``: the job runs inside the transaction that commits its transition, for at most 60 s.
    ``at_most_once=True``: a crash is not run again, it leads to ``failed_from_<name>``. ``thread=True``: the job mostly
    waits, and runs in a thread beside others where ``fsmflow worker --threads`` has any; nothing can end it there at
    its limit. ``defer``: triggers that are
    kept when they come too early, as a list, or with how long: ``{"redeem": timedelta(hours=1)}``; ``ignore``: triggers
    that do nothing here, in a final state too.

    Everything is checked when the machine's class is created.
    """

    _meant = WORDS

    name: str | Enum
    job: Ref | None = field(default=None, kw_only=True)
    retry: Retry | None = field(default=None, kw_only=True)
    timeout: Duration | Ref | Unset | None = field(default=UNSET, kw_only=True)
    within: Duration | Ref | None = field(default=None, kw_only=True)
    heartbeat: Duration | None = field(default=None, kw_only=True)
    delay: Duration | Ref | None = field(default=None, kw_only=True)
    expect: Duration | None = field(default=None, kw_only=True)
    queue: str | Callable[..., str] | None = field(default=None, kw_only=True)
    priority: str | Callable[..., str] | None = field(default=None, kw_only=True)
    final: bool = field(default=False, kw_only=True)
    on_enter: Callbacks = field(default=None, kw_only=True)
    on_exit: Callbacks = field(default=None, kw_only=True)
    jobs: Mapping[Any, Ref] | Sequence[Ref] | None = field(default=None, kw_only=True)
    each: Ref | None = field(default=None, kw_only=True)
    machine: str | type | None = field(default=None, kw_only=True)
    machines: Mapping[Any, str | type] | Sequence[str | type] | None = field(default=None, kw_only=True)
    only: Ref | None = field(default=None, kw_only=True)
    wait: bool = field(default=False, kw_only=True)
    limit: int | None = field(default=None, kw_only=True)
    limits: Sequence[Limit] | None = field(default=None, kw_only=True)
    branch_failure: str = field(default="wait", kw_only=True)
    undo: Ref | None = field(default=None, kw_only=True)
    on_failure: str | None = field(default=None, kw_only=True)
    on_cancel: str | None = field(default=None, kw_only=True)
    transactional: bool = field(default=False, kw_only=True)
    at_most_once: bool = field(default=False, kw_only=True)
    thread: bool = field(default=False, kw_only=True)
    defer: str | Sequence[str] | Mapping[str, Duration | None] | None = field(default=None, kw_only=True)
    ignore: str | Sequence[str] | None = field(default=None, kw_only=True)


STATE_PARAMETERS: Final = tuple(item.name for item in fields(State))
