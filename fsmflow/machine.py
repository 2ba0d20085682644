"""The public ``Machine``: what a user's class declares, and what a handle on an entity can do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NoReturn, Self, cast
from uuid import UUID

from fsmflow import clock
from fsmflow.decision.asking import as_actor, checked_id
from fsmflow.decision.decide import allowed_triggers
from fsmflow.decision.events import Triggered
from fsmflow.decision.records import Actor, Event, Failure, HistoryEntry, Snapshot, checked_text
from fsmflow.decision.view import HandleView, subject_of
from fsmflow.definition.compile import compile_machine
from fsmflow.definition.model import Definition
from fsmflow.definition.names import CANCEL, FAILED, FINISHED, METHOD_TRIGGERS, PHASES, RETRY
from fsmflow.engine import engine
from fsmflow.engine.explain import Explanation, explain
from fsmflow.engine.runtime import current
from fsmflow.errors import (
    DataError,
    DefinitionError,
    FsmflowError,
    TransitionNotAllowed,
    UnknownState,
    did_you_mean,
)
from fsmflow.log import StepLog
from fsmflow.store.entities import PAGE
from fsmflow.store.listing import Filter

Until = str | Collection[str] | Callable[["Machine"], bool] | None


class Machine:
    """A workflow: subclass it, declare ``states`` and ``transitions``, and the class is checked as it is created.

    ``start`` and ``get`` return handles. A handle shows the entity as it was when it was last looked at, and every
    action decides on the entity as it is now, then refreshes the handle. In guards, callbacks and jobs ``self`` is
    such an object too, with the data of the moment.
    """

    name: ClassVar[str]
    initial: ClassVar[Any] = None
    states: ClassVar[Any] = ()
    transitions: ClassVar[Any] = ()

    _definition: ClassVar[Definition]
    _view: Any

    def __init__(self) -> None:
        kind = type(self).__name__
        raise TypeError(f"{kind}() makes no entity; {kind}.start(id) starts one and {kind}.get(id) finds one")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.states is Machine.states:
            return
        cls._definition = definition = compile_machine(cls, Machine)
        cls.name = definition.name
        for trigger in dict.fromkeys(spec.trigger for spec in definition.transitions):
            if trigger not in METHOD_TRIGGERS and not hasattr(cls, trigger):
                setattr(cls, trigger, _sugar(trigger))

    # Starting and finding

    @classmethod
    def start(
        cls,
        entity_id: str | int | UUID,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        if_exists: str = "raise",
        actor: Actor | str | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> Self:
        """Start an entity in the initial state; its job, if any, is queued.

        Once this returns, the entity is durable, and its job will run even if Redis is down now. ``data`` and
        ``fields`` together are its data. Raises EntityExists, unless ``if_exists="return"`` or the entity was
        started with the same ``key`` before; DataError for an id or data that cannot be stored.
        """
        if if_exists not in ("raise", "return"):
            raise DataError(f"if_exists is {if_exists!r}; it is 'raise' or 'return'")
        if "state" in fields:
            raise DataError("start(state=...) is not available in this release; give a field of that name in data")
        if key is not None:
            checked_text(key, "key")
        definition = cls._compiled()
        snapshot = engine.start(
            current(),
            definition,
            checked_id(entity_id),
            {**_as_dict(data), **fields},
            if_exists=if_exists,
            actor=as_actor(actor),
            key=key,
        )
        return cls._handle(snapshot)

    @classmethod
    def get(cls, entity_id: str | int | UUID) -> Self:
        """A handle on an entity. Raises EntityNotFound."""
        return cls._handle(engine.load(current(), cls._compiled(), checked_id(entity_id)))

    @classmethod
    def find(
        cls, *, state: str | Collection[str] | None = None, phase: str | None = None, limit: int | None = None
    ) -> Iterator[Self]:
        """The entities of this machine in a state (or states) or phase, the oldest first, read in pages.

        Raises UnknownState for a state that the machine does not have.
        """
        definition = cls._compiled()
        states = None if state is None else [state] if isinstance(state, str) else list(state)
        for name in states or ():
            if name not in definition.states:
                raise UnknownState(definition.name, name, definition.states)
        if phase is not None and phase not in PHASES:
            raise DataError(f"phase is {phase!r}{did_you_mean(phase, PHASES)}; it is one of {', '.join(PHASES)}")
        wanted = Filter(machine=definition.name, states=states, phase=phase)
        found = current().store.listing.find(wanted, limit=limit)
        return (cls._handle(snapshot) for snapshot in found)

    @classmethod
    def counts(cls) -> dict[str, int]:
        """How many entities stand in each state; states without any are left out."""
        found = current().store.listing.counts(cls._compiled().name)
        return {state: count for (_, state), count in found.items()}

    # What a handle shows

    @property
    def entity_id(self) -> str:
        """The id, as text."""
        return str(self._view.snapshot.entity_id)

    @property
    def address(self) -> str:
        """``machine:id``."""
        return str(self._view.snapshot.address)

    @property
    def state(self) -> str:
        """The state. It changes by transitions only: assigning it raises TransitionNotAllowed."""
        return str(self._view.state)

    @state.setter
    def state(self, value: str) -> NoReturn:
        raise TransitionNotAllowed(
            self.address, self.state, f"state = {value!r}", why="a state is entered by a transition, never assigned"
        )

    @property
    def phase(self) -> str:
        """``waiting``, ``working``, ``failed`` or ``finished``."""
        spec = self._view.definition.states.get(self.state)
        return spec.phase if spec else str(self._view.snapshot.phase)

    @property
    def epoch(self) -> int:
        """Grows whenever a state is entered, retries included."""
        return int(self._view.snapshot.epoch)

    @property
    def paused(self) -> bool:
        return bool(self._view.snapshot.paused)

    @property
    def data(self) -> dict[str, Any]:
        """The data. On a handle a copy; in a job and in callbacks changes to it are committed with the transition."""
        return cast(dict[str, Any], self._view.data)

    @data.setter
    def data(self, value: Mapping[str, Any]) -> None:
        if isinstance(self._view, HandleView):
            raise TransitionNotAllowed(
                self.address,
                self.state,
                "data = ...",
                why="a handle only shows data; a job, a callback or retry(data=...) changes it",
            )
        self._view.data = dict(value)

    @property
    def event(self) -> Event:
        """In guards and callbacks the event that is being decided; else the one that first entered this step."""
        return cast(Event, self._view.event)

    @property
    def failure(self) -> Failure | None:
        """The last failure of this state, or None."""
        return cast("Failure | None", self._view.failure)

    @property
    def attempt(self) -> int | None:
        """Which run of the step this is, from 1; goes on over retries. None where nothing is to be run."""
        return cast("int | None", self._view.attempt)

    @property
    def progress(self) -> float | None:
        """What the running job last reported with ``heartbeat(progress=...)``."""
        work = self._view.snapshot.work
        return work.progress if work else None

    @property
    def history(self) -> list[HistoryEntry]:
        """All that happened to the entity, in order. Read from the database at each use."""
        entities, row = current().store.entities, self._view.snapshot.row
        found = page = entities.history(row)
        while len(page) >= PAGE:
            found += (page := entities.history(row, after=page[-1].seq))
        return found

    def allowed_triggers(self, actor: Actor | str | None = None) -> list[str]:
        """The triggers that ``actor`` could fire now, as far as can be told without their payload."""
        snapshot = engine.load(current(), self._view.definition, self.entity_id)
        return allowed_triggers(self._view.definition, snapshot, as_actor(actor))

    def explain(self) -> Explanation:
        """What the entity is doing, what it waits for, and what stands in its way. Its ``str()`` is for people."""
        runtime = current()
        return explain(runtime, self._view.definition, engine.load(runtime, self._view.definition, self.entity_id))

    # What can be done

    def trigger(
        self,
        name: str,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
        **payload: Any,
    ) -> HistoryEntry:
        """Fire a trigger on the entity as it is now; the history entry that was written.

        Once this returns, the transition is durable, and what it leads to will run even if Redis is down now. With
        ``key``, a repeated delivery of the same outside event changes nothing and returns the first entry. With
        ``epoch``, an entity that has moved since raises TransitionConflict. Raises TransitionNotAllowed,
        NotPermitted, TransitionConflict, DataError, UnknownState.
        """
        if not isinstance(name, str):
            raise DataError(f"a trigger is named by text, not by {name!r}")
        happening = Triggered(trigger=name, payload=payload, actor=as_actor(actor), reason=reason, key=key, epoch=epoch)
        return self._fire(happening)

    def retry(
        self,
        *,
        data: Mapping[str, Any] | None = None,
        new_key: bool = False,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
    ) -> Self:
        """From ``failed_from_X``, enter X again: the same step goes on, with fresh budgets of retries.

        ``data`` is merged into data first. ``new_key`` gives the step a new idempotency key. Where a result was kept
        because nothing accepted it, it is decided again before the job runs again. Raises TransitionNotAllowed.
        """
        asked = Triggered(trigger=RETRY, actor=as_actor(actor), reason=reason, key=key, epoch=epoch)
        self._fire(replace(asked, patch=_as_dict(data), new_key=new_key))
        return self

    def cancel(
        self,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
    ) -> Self:
        """Fire ``cancel``: to ``cancelled``, unless the machine says otherwise. A running job's result is discarded."""
        self._fire(Triggered(trigger=CANCEL, actor=as_actor(actor), reason=reason, key=key, epoch=epoch))
        return self

    def pause(self, *, actor: Actor | str | None = None, reason: str | None = None) -> Self:
        """Hold what comes next. A running attempt ends and commits; timers stand still. Raises TransitionNotAllowed."""
        self._acts("pause")
        after = engine.pause(current(), self._view.definition, self.entity_id, actor=as_actor(actor), reason=reason)
        return self._shows(after)

    def resume(self, *, actor: Actor | str | None = None, reason: str | None = None) -> Self:
        """Go on: a paused entity is let go, a failed one retried, one whose job got stuck dispatched again."""
        self._acts("resume")
        after = engine.resume(current(), self._view.definition, self.entity_id, actor=as_actor(actor), reason=reason)
        return self._shows(after)

    def refresh(self) -> Self:
        """Look at the entity again. Raises EntityNotFound."""
        return self._shows(engine.load(current(), self._view.definition, self.entity_id))

    def wait(self, until: Until = None, timeout: float | None = None) -> Self:
        """Wait until the entity has failed or finished, or until a state, one of several, a phase, or a function of
        the handle says so. Raises TimeoutError, with where it stands, after ``timeout`` seconds."""
        self._acts("wait")
        reached = self._until(until)
        started, pause_s = clock.monotonic(), 0.005
        while not reached(self.refresh()):
            left = None if timeout is None else timeout - (clock.monotonic() - started)
            if left is not None and left <= 0:
                raise TimeoutError(f"{self.address} is still in {self.state!r} after {timeout:g} s")
            clock.pause(pause_s if left is None else min(pause_s, left))
            pause_s = min(pause_s * 1.3, 0.25)
        return self

    # What a job can do

    @property
    def idempotency_key(self) -> str:
        """One per step: the same over attempts, crashes and retries; new in a new visit of the state."""
        snapshot = self._view.snapshot
        return f"{current().store.installation}-{snapshot.row}-{snapshot.step}"

    @property
    def log(self) -> StepLog:
        """In a job: a logger whose lines begin with the entity, its state and the attempt."""
        return cast(StepLog, self._in_job("log").log)

    def heartbeat(self, progress: float | None = None) -> None:
        """In a job: tell that it is alive, and how far. Raises Cancelled once its step is no longer wanted."""
        self._in_job("heartbeat").heartbeat(progress)

    def save(self) -> None:
        """In a job: commit what it changed in ``data`` so far. Raises Cancelled once its step is no longer wanted."""
        self._in_job("save").save()

    # Inside

    @classmethod
    def _compiled(cls) -> Definition:
        definition: Definition | None = cls.__dict__.get("_definition")
        if definition is None:
            raise DefinitionError(cls.__name__, ["states is missing: this class is only a base of machines"])
        return definition

    @classmethod
    def _handle(cls, snapshot: Snapshot) -> Self:
        definition = cls._compiled()
        return cast(Self, subject_of(definition, HandleView(definition, snapshot)))

    def _fire(self, happening: Triggered) -> HistoryEntry:
        self._acts(happening.trigger)
        after, entry = engine.trigger(current(), self._view.definition, self.entity_id, happening)
        self._shows(after)
        return entry

    def _acts(self, action: str) -> None:
        if not self._view.may_act:
            raise self._view.refuse(action)

    def _shows(self, snapshot: Snapshot) -> Self:
        if isinstance(self._view, HandleView):
            self._view.snapshot = snapshot
        return self

    def _in_job(self, what: str) -> Any:
        if not hasattr(self._view, "heartbeat"):
            raise FsmflowError(f"{self.address}: {what} works inside a job only")
        return self._view

    def _until(self, until: Until) -> Callable[[Machine], bool]:
        if callable(until):
            return until
        if until is None:
            return lambda machine: machine.phase in (FAILED, FINISHED)
        names = {until} if isinstance(until, str) else set(until)
        states = self._view.definition.states
        for name in names - set(PHASES):
            if name not in states:
                raise UnknownState(self._view.definition.name, name, states)
        return lambda machine: machine.state in names or machine.phase in names

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} in {self.state!r}>"


def _as_dict(data: Mapping[str, Any] | None) -> dict[str, Any]:
    if data is not None and not isinstance(data, Mapping):
        raise DataError(f"data is {data!r:.80}; it is a mapping of names to values")
    return dict(data or {})


def _sugar(trigger: str) -> Callable[..., HistoryEntry]:
    def fire(self: Machine, /, **options: Any) -> HistoryEntry:
        return self.trigger(trigger, **options)

    fire.__name__ = trigger
    fire.__qualname__ = f"Machine.{trigger}"
    fire.__doc__ = f"Fire {trigger!r}; see ``Machine.trigger``."
    fire._fires_trigger = True  # type: ignore[attr-defined]
    return fire
