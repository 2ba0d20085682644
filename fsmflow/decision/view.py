"""What guards and callbacks see of the entity that is being decided about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fsmflow.decision.context import NOTHING, Around, Branch, next_undo
from fsmflow.decision.entity import Event, Failure, Snapshot
from fsmflow.decision.messages import Message
from fsmflow.definition.firing import Firing
from fsmflow.definition.model import Definition
from fsmflow.errors import TransitionNotAllowed


class DecisionView:
    """Backs a machine object during one decision: ``data`` may be changed, nothing can be fired."""

    may_act = False

    def __init__(
        self,
        definition: Definition,
        snapshot: Snapshot,
        firing: Firing,
        event: Event,
        data: dict[str, Any],
        failure: Failure | None,
        around: Around = NOTHING,
    ) -> None:
        self.definition = definition
        self.snapshot = snapshot
        self._around = around
        self.sent: list[Message] = []
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
    def branches(self) -> Sequence[Branch]:
        """The branches of the step that is being left."""
        return self._around.branches(self.snapshot)

    @property
    def record(self) -> Any:
        """The user's own row."""
        return self._around.record(self.snapshot)

    @property
    def next_undo(self) -> str | None:
        """The state in which the next step is undone, None where nothing is left to undo."""
        return next_undo(self.definition, self.snapshot, self._around)

    def send(self, message: Message) -> None:
        """Commit a message with the transition."""
        self.sent.append(message)

    def refuse(self, action: str) -> TransitionNotAllowed:
        """The error for an action that a guard or callback must not take."""
        return TransitionNotAllowed(
            self.snapshot.address,
            self.state,
            action,
            why="guards and callbacks cannot fire, save or wait; do that in a job",
        )


class HandleView:
    """Backs a handle: the entity as it was when it was last looked at."""

    may_act = True

    def __init__(self, definition: Definition, snapshot: Snapshot) -> None:
        self.definition = definition
        self.snapshot = snapshot

    @property
    def entity_id(self) -> str:
        return self.snapshot.entity_id

    @property
    def state(self) -> str:
        return self.snapshot.state

    @property
    def data(self) -> dict[str, Any]:
        return self.snapshot.data

    @property
    def event(self) -> Event:
        return self.snapshot.event

    @property
    def failure(self) -> Failure | None:
        return self.snapshot.failure

    @property
    def attempt(self) -> int | None:
        return self.snapshot.work.attempt if self.snapshot.work else None


def subject_of(definition: Definition, view: Any) -> Any:
    """An object of the user's class backed by ``view``; its ``__init__`` is not called."""
    subject: Any = object.__new__(definition.owner)
    object.__setattr__(subject, "_view", view)
    return subject
