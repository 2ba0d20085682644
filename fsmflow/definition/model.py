"""A compiled machine: what ``compile_machine`` makes of a class, and all that the floors above know of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, TypeGuard

from fsmflow.definition.annotations import Declared
from fsmflow.definition.hooks import Hook as EventHook
from fsmflow.definition.names import CANCELLED, DONE, FAILED, FINISHED, TIMEOUT, UNDONE, WAITING, WORKING
from fsmflow.definition.operators import Closed
from fsmflow.definition.own_field import OwnField
from fsmflow.definition.priority import NORMAL, PRIORITIES, ranked
from fsmflow.definition.retry import Retry, is_duration
from fsmflow.definition.schedule import Schedule
from fsmflow.definition.tell import Told
from fsmflow.errors import MAX_DURATION_S, shown
from fsmflow.settings.alarms import Alarm
from fsmflow.settings.limits import Limit
from fsmflow.values import dataclass

#: A guard, callback or job after binding: takes the machine.
Bound = Callable[[Any], Any]
#: A method of the machine with arguments of its own.
Hook = Callable[..., Any]
#: The most characters of the name of a queue, and of one with a priority behind it.
MAX_QUEUE: Final = 100
_MOST_RANKED: Final = MAX_QUEUE - len("/high")


class WrongValue(ValueError):
    """A method of the user's gave what cannot be used. The text goes on after its name."""


@dataclass(frozen=True, kw_only=True)
class Timer:
    """What fires by itself while an entity stands in a state, and after how long. ``bounds``: it limits a step, which
    fails where no transition takes the trigger."""

    trigger: str
    after: float | int | timedelta | Bound
    bounds: bool = False

    @property
    def parameter(self) -> str:
        """What a state calls it."""
        return "within" if self.bounds else "timeout" if self.trigger == TIMEOUT else "delay"


@dataclass(frozen=True, kw_only=True)
class BranchSpec:
    """A branch that has a name: which job it runs, or of which machine its child is."""

    name: str
    job: Bound | None = None
    job_name: str = ""
    machine: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fan:
    """How a state fans out. Exactly one of ``named`` (jobs or children side by side, each with a name), ``machine``
    (children) and neither (one job per item of ``each``) is given, but for ``undoes``: one job per branch of the step
    that is being undone. ``only`` picks which of the named run."""

    named: tuple[BranchSpec, ...] = ()
    only: str | Bound | None = None
    each: str | Bound | None = None
    machine: str | None = None
    limit: int | None = None
    stops: bool = False
    undoes: bool = False

    @property
    def has_children(self) -> bool:
        """Whether its branches are entities of other machines."""
        return self.machine is not None or any(branch.machine for branch in self.named)

    def branch(self, name: str | None) -> BranchSpec | None:
        """The branch of this name; None where the code has none."""
        return next((branch for branch in self.named if branch.name == name), None)


@dataclass(frozen=True, kw_only=True)
class StateSpec:
    """One state of a compiled machine, generated ones included."""

    name: str
    phase: str
    job: Bound | None = None
    job_name: str = ""
    retry: Retry | None = None
    limit_ms: int | None = None
    #: The class gave a limit for each attempt, and nothing limits the whole step.
    limits_attempts: bool = False
    #: For how long a job may be silent.
    heartbeat_ms: int | None = None
    timer: Timer | None = None
    #: For how long an entity is expected to stay.
    expect_ms: int | None = None
    queue: str | Bound = "default"
    #: What its jobs need permits of, those of the machine among it.
    limits: tuple[Limit, ...] = ()
    #: Which jobs of its queue it comes before, or after.
    priority: str | Bound = NORMAL
    generated: bool = False
    failed_from: str | None = None
    waits: bool = False
    fan: Fan | None = None
    undo: Bound | None = None
    undo_name: str = ""
    undoes: str | None = None
    undo_on_failure: bool = False
    undo_on_cancel: bool = False
    transactional: bool = False
    at_most_once: bool = False
    #: Its job only waits, and may run in a thread beside others.
    thread: bool = False
    defer: frozenset[str] = frozenset()
    #: Of what is deferred: for how many milliseconds it is kept, where that has a limit.
    kept_for: Mapping[str, int] = field(default_factory=dict, hash=False)
    ignore: frozenset[str] = frozenset()

    @property
    def priorities(self) -> tuple[str, ...]:
        """Those that its job may have."""
        return (self.priority,) if isinstance(self.priority, str) else PRIORITIES

    @property
    def is_final(self) -> bool:
        return self.phase == FINISHED

    @property
    def is_working(self) -> bool:
        return self.phase == WORKING

    @property
    def lacks_job(self) -> bool:
        """Whether it is that of a branch whose name the code does not have: there is work, and nothing does it."""
        return self.is_working and self.job is None and self.fan is None

    @property
    def is_waiting(self) -> bool:
        return self.phase == WAITING

    @property
    def is_failed(self) -> bool:
        return self.phase == FAILED

    @property
    def takes_back(self) -> bool:
        """Whether whoever stands here is not to go on as it was meant to: it was cancelled, or is or was undone."""
        return self.undoes is not None or self.name in (CANCELLED, UNDONE)


@dataclass(frozen=True, kw_only=True)
class TransitionSpec:
    """One transition from one source, as it can fire. ``dest`` None is internal."""

    trigger: str
    source: str
    dest: str | None
    conditions: tuple[Bound, ...] = ()
    unless: tuple[Bound, ...] = ()
    prepare: tuple[Bound, ...] = ()
    before: tuple[Bound, ...] = ()
    after: tuple[Bound, ...] = ()
    guards: tuple[str, ...] = ()
    roles: frozenset[str] = frozenset()
    generated: bool = False
    position: int = 0
    wildcard: bool = False
    #: Written with dest ``"undo"``: one for each step that can be undone, and one for where there is nothing to undo.
    undo: bool = False

    @property
    def is_guarded(self) -> bool:
        return bool(self.guards)


@dataclass(frozen=True, kw_only=True)
class Wide:
    """What a machine's class says besides its states and transitions."""

    version: int = 1
    upgrade: Hook | None = None
    #: Every former name of a state, those that fsmflow made included, with the name of today.
    renamed: Mapping[str, str] = field(default_factory=dict)
    status_field: OwnField | None = None
    schedule: Schedule | None = None
    catch_up: str = "once"
    on_transition: Hook | None = None
    on_failed: Hook | None = None
    #: Whether a worker that has committed a step goes straight on with the next one; None as the settings say.
    run_on: bool | None = None
    merge: Hook | None = None
    #: The keys of data and payloads whose values nobody is shown.
    redact: frozenset[str] = frozenset()
    #: The keys of data by which entities are found and sorted, paths with dots among them.
    search: tuple[str, ...] = ()
    #: The key of data that says to which team an entity belongs; None where that is not told apart.
    team: str | None = None
    #: The roles that its messages act with.
    sends_as: frozenset[str] = frozenset()
    #: For how many milliseconds an entity is kept that has finished, by its final state; for good in all others.
    retention: Mapping[str, int] = field(default_factory=dict)
    #: For how many milliseconds keys are kept that were used up; None for as long as their entity.
    key_retention: int | None = None
    #: What somebody is told of.
    alarms: tuple[Alarm, ...] = ()
    #: Triggers of a machine that comes with fsmflow: those that are as closed as what operators do, and those that its
    #: jobs or maintenance alone fire; and what it waits for in a state, in words.
    managed: frozenset[str] = frozenset()
    internal: frozenset[str] = frozenset()
    waits_for: Mapping[str, str] = field(default_factory=dict)
    #: The queues among which a method of a machine that comes with fsmflow chooses.
    queues: tuple[str, ...] = ()
    #: Who may do what operators do, where not everybody may.
    operators: Mapping[str, Closed] = field(default_factory=dict)
    #: Which webhooks of others fire what.
    hooks: tuple[EventHook, ...] = ()
    #: The types of payloads, by trigger, and that of the data, where they are declared.
    payloads: Mapping[str, Declared] = field(default_factory=dict)
    data: Declared | None = None
    #: Who is told of each state.
    tell: Mapping[str, tuple[Told, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A machine, checked and bound. One per class; shared by all its entities."""

    name: str
    owner: type
    initial: str
    version: int
    summary: str
    states: Mapping[str, StateSpec]
    transitions: tuple[TransitionSpec, ...]
    machine: Any = field(repr=False)
    outgoing: Mapping[str, tuple[str, ...]] = field(repr=False)
    #: The small machine that each branch of a fan-out runs, by the state that fans out. In that of branches with names
    #: those of each name; it has no job itself.
    branches: Mapping[str, Definition] = field(default_factory=dict, repr=False)
    wide: Wide = field(default_factory=Wide, repr=False)
    #: What its methods send, as far as that is written out.
    sends: tuple[Any, ...] = field(default=(), repr=False)
    #: Its states are members of an Enum that are no text themselves.
    has_members: bool = False

    @property
    def queues(self) -> tuple[str, ...]:
        """The queue names that are known without an entity, in the order of the states."""
        names = (name for spec in self.states.values() if spec.is_working for name in _queues_of(spec))
        return tuple(dict.fromkeys((*names, *self.wide.queues)))

    @cached_property
    def undoes(self) -> bool:
        """Whether any step can be undone."""
        return any(spec.undoes for spec in self.states.values())

    @cached_property
    def calls_back(self) -> bool:
        """Whether any callback could change the data."""
        if any(item.prepare or item.before or item.after for item in self.transitions):
            return True
        return any(state.on_enter or state.on_exit for state in self.machine.states.values())

    @cached_property
    def going_on(self) -> frozenset[str]:
        """The states whose job may lead straight into a working one, as it returns."""
        working = {name for name, spec in self.states.items() if spec.is_working}
        may_fire = (item for item in self.transitions if not item.generated or item.trigger == DONE)
        return frozenset(item.source for item in may_fire if item.dest in working)

    @cached_property
    def fans(self) -> bool:
        """Whether any step fans out."""
        return any(spec.fan is not None for spec in self.states.values())

    @cached_property
    def has_children(self) -> bool:
        """Whether any step fans out into child entities, which may outlive it while they are undone."""
        return any(spec.fan is not None and spec.fan.has_children for spec in self.states.values())

    def branch(self, state: str, name: str | None) -> Definition | None:
        """The small machine of a branch of ``state``, without a job where the code has no such branch there; None where
        the state has no branches that run jobs."""
        found, spec = self.branches.get(state), self.states.get(state)
        if found is None or spec is None or spec.fan is None or spec.fan.undoes:
            return found
        if name is None or found.branches:
            return found.branches.get(name or "", found)
        # It had a name when it was made, and one is made for each item now.
        return replace(found, states={**found.states, state: replace(found.states[state], job=None)})

    def step_of(self, state: str) -> StateSpec | None:
        """The state whose step an entity in ``state`` is in, or rests in the failure of: of ``failed_from_X`` that is
        X, of any other state itself. None where there is no such state."""
        spec = self.states.get(state)
        return spec if spec is None or spec.failed_from is None else self.states.get(spec.failed_from)

    def offers(self, trigger: str, state: str) -> bool:
        """Whether a transition on ``trigger`` starts at ``state``, whatever its guards say."""
        return trigger in self.outgoing.get(state, ())


def source_name(source: str | Bound) -> str:
    """What a key of data, or a method, is called in messages and diagrams."""
    return source if isinstance(source, str) else str(getattr(source, "__name__", "a method"))


def due_after(timer: Timer, subject: Any, now: datetime) -> timedelta:
    """How long after ``now`` a timer fires; asks the user's method where there is one.

    A moment that is past is due at once. Raises what the method raises, and WrongValue for what is no duration from 0
    and no aware datetime.
    """
    given = timer.after(subject) if callable(timer.after) else timer.after
    try:
        after = _left(given, now)
    except (ValueError, TypeError, OverflowError):
        after = None  # a moment in name alone, as NaT of pandas
    if isinstance(given, datetime) and after is None:
        raise WrongValue(f"returned {shown(given)}, a datetime without a time zone; it gives an aware one")
    if _is_negative(after):
        raise WrongValue(
            f"returned {shown(given)}, which is negative; it gives seconds or a timedelta from 0, or an aware "
            f"datetime, which may be past"
        )
    if after is None or not is_duration(after):
        raise WrongValue(f"returned {shown(given)}; it gives seconds, a timedelta or an aware datetime")
    return after if isinstance(after, timedelta) else timedelta(seconds=after)


def _left(given: Any, now: datetime) -> Any:
    """A moment as the time until then, from 0; all else as it is. None for a moment without a time zone."""
    if not isinstance(given, datetime):
        return given
    if given.utcoffset() is None:
        return None
    return max(timedelta(), min(given - now, timedelta(seconds=MAX_DURATION_S)))


def _is_negative(after: Any) -> bool:
    """Whether a duration lies before now. One that is infinite is none."""
    if isinstance(after, timedelta):
        return after < timedelta()
    return isinstance(after, (int, float)) and not isinstance(after, bool) and -math.inf < after < 0


def queue_of(spec: StateSpec, subject: Any) -> str:
    """The queue of a state's job; asks the user's method where there is one.

    Raises what that raises, and WrongValue."""
    queue = spec.queue(subject) if callable(spec.queue) else spec.queue
    most = most_of(spec.priority)
    if not is_queue(queue, most):
        raise WrongValue(f"returned {shown(queue)}; a queue has a name of 1 to {most} characters without a comma")
    return queue


def most_of(priority: Any) -> int:
    """How many characters the name of a queue may have in which jobs have this priority."""
    return MAX_QUEUE if priority in (None, NORMAL) else _MOST_RANKED


def priority_of(spec: StateSpec, subject: Any) -> str:
    """Its priority there; asks the user's method where there is one. Raises what that raises, and WrongValue."""
    priority = spec.priority(subject) if callable(spec.priority) else spec.priority
    if priority not in PRIORITIES:
        raise WrongValue(f"returned {shown(priority)}; a priority is one of {', '.join(PRIORITIES)}")
    return str(priority)


def _queues_of(spec: StateSpec) -> Iterator[str]:
    """The queues in which jobs of a state may wait, as far as they are known without an entity."""
    queue = "default" if callable(spec.queue) and spec.priority != NORMAL else spec.queue
    if isinstance(queue, str):
        yield from (ranked(queue, priority) for priority in spec.priorities)


def is_queue(name: object, most: int = MAX_QUEUE) -> TypeGuard[str]:
    """Whether this can be the name of a queue."""
    return isinstance(name, str) and 0 < len(name) <= most and name.isprintable() and "," not in name
