"""What the methods of a machine's object stand on, and what guards and callbacks see of the entity that is decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

from fsmflow import shapes
from fsmflow.decision import asker
from fsmflow.decision.context import NOTHING, Branches, Context, Undoing, next_undo
from fsmflow.decision.entity import Event, Failure, Snapshot
from fsmflow.decision.fit import TypedView
from fsmflow.decision.messages import Message, Recall
from fsmflow.definition.guards import Firing
from fsmflow.definition.model import Definition
from fsmflow.definition.subject import GuardView
from fsmflow.errors import FsmflowError, NestedAction, TransitionNotAllowed
from fsmflow.log.lines import StepLog


class View(Protocol):
    """Backs an object of a machine's class: a handle, a decision, or a running job.

    Each has all of this. What does not work there raises the error that says where it does.
    """

    @property
    def definition(self) -> Definition:
        """That of the entity: for a branch another one than that of the class."""
        ...

    @property
    def snapshot(self) -> Snapshot: ...

    @property
    def entity_id(self) -> str:
        """In a branch's job the parent's."""
        ...

    @property
    def state(self) -> str: ...

    @property
    def data(self) -> dict[str, Any]: ...

    @property
    def event(self) -> Event: ...

    @property
    def failure(self) -> Failure | None: ...

    @property
    def attempt(self) -> int | None: ...

    @property
    def branches(self) -> Branches: ...

    @property
    def record(self) -> Any: ...

    @property
    def undoing(self) -> Undoing: ...

    @property
    def session(self) -> Any: ...

    @property
    def log(self) -> StepLog: ...

    def permit(self, action: str) -> None:
        """Raises NestedAction where an action cannot be taken from here."""
        ...

    def job_refusal(self, name: str, states: tuple[str, ...]) -> TransitionNotAllowed | None:
        """Why a method that is the job of these states is not to be called from here; None where it may be."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """The entity as it is now: a handle shows it; all else goes on with what it began with."""
        ...

    def replace_data(self, data: Mapping[str, Any]) -> None: ...

    def data_as(self, shape: shapes.Shape) -> Any:
        """The data as an object of their type. Raises Unfit."""
        ...

    def send(self, message: Message) -> None:
        """Commit a message with the transition."""
        ...

    def unsend(self, recall: Recall) -> bool | None:
        """Take a message back with the transition. Whether it was on its way; None where only the commit tells."""
        ...

    def heartbeat(self, progress: float | None) -> None: ...

    def save(self) -> None: ...


class NoJob:
    """The part of a view behind which no job runs: it refuses what a job alone can do."""

    snapshot: Snapshot

    @property
    def undoing(self) -> Undoing:
        raise self._job_only("undoing")

    @property
    def session(self) -> Any:
        raise self._job_only("session")

    @property
    def log(self) -> StepLog:
        raise self._job_only("log")

    def heartbeat(self, progress: float | None) -> NoReturn:
        """Raises FsmflowError."""
        raise self._job_only("heartbeat")

    def save(self) -> NoReturn:
        """Raises FsmflowError."""
        raise self._job_only("save")

    def _job_only(self, what: str) -> FsmflowError:
        return FsmflowError(f"{self.snapshot.address}: {what} works inside a job only")


class DecisionView(TypedView, NoJob, GuardView):
    """Backs a machine object during one decision: ``data`` may be changed, nothing can be fired."""

    def __init__(
        self,
        definition: Definition,
        snapshot: Snapshot,
        firing: Firing,
        event: Event,
        data: dict[str, Any],
        failure: Failure | None,
        context: Context = NOTHING,
    ) -> None:
        self.definition = definition
        self.snapshot = snapshot
        self._context = context
        self.sent: list[Message | Recall] = []
        #: Whether a message of a name was on its way before this transition.
        self.is_on_its_way: Callable[[str], bool] = lambda name: False
        self.firing = firing
        self.event = event
        self.data = data
        self.failure = failure

    @property
    def entity_id(self) -> str:
        return self.snapshot.entity_id

    @property
    def state(self) -> str:
        """The state now: the dest, once it has been entered."""
        return self.firing.state

    @property
    def attempt(self) -> int | None:
        return self.snapshot.work.attempt if self.snapshot.work else None

    @property
    def branches(self) -> Branches:
        """The branches of the step that is being left."""
        return self._context.branches(self.snapshot)

    @property
    def record(self) -> Any:
        """The user's own row."""
        return self._context.record(self.snapshot)

    @property
    def next_undo(self) -> str | None:
        """The state in which the next step is undone, None where nothing is left to undo."""
        return next_undo(self.definition, self.snapshot, self._context)

    def permit(self, action: str) -> NoReturn:
        """Raises NestedAction."""
        raise asker.of_callback(action, self.snapshot.address, self.state, self.snapshot.address)

    def job_refusal(self, name: str, states: tuple[str, ...]) -> None:
        """A callback that calls a job of its own class means it."""

    def show(self, snapshot: Snapshot) -> None:
        """What is decided about is the entity as it was read."""

    def replace_data(self, data: Mapping[str, Any]) -> None:
        """Commit other data with the transition."""
        self.data = dict(data)
        self.forget_object()

    def send(self, message: Message) -> None:
        """Commit a message with the transition."""
        self.sent.append(message)

    def unsend(self, recall: Recall) -> bool:
        """Take a message back with the transition; whether it was on its way. That holds: where it is delivered
        meanwhile, all of this is decided anew."""
        named = [asked for asked in self.sent if asked.name == recall.name]
        there = isinstance(named[-1], Message) if named else self.is_on_its_way(recall.name)
        self.sent.append(recall)
        return there


class DataView(DecisionView):
    """What ``upgrade`` and ``merge`` see of the entity: they say what becomes of data, and nothing else."""

    def send(self, message: Message) -> NoReturn:
        """Raises NestedAction: they are called where data are only looked at, too, and more than once."""
        why = "upgrade and merge only say what becomes of data; what they sent would be sent more than once"
        raise NestedAction(self.snapshot.address, self.state, "send", why)


def subject_of(definition: Definition, view: View) -> Any:
    """An object of the user's class backed by ``view``; its ``__init__`` is not called."""
    subject: Any = object.__new__(definition.owner)
    object.__setattr__(subject, "_view", view)
    return subject
