"""What a handle stands on: an entity as it was when it was last looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from fsmflow import shapes
from fsmflow.decision import asker
from fsmflow.decision.context import Branches
from fsmflow.decision.entity import Event, Failure, Snapshot
from fsmflow.decision.exhibit import exhibited
from fsmflow.decision.fit import made_of
from fsmflow.decision.messages import Message, Recall
from fsmflow.decision.view import NoJob
from fsmflow.definition.jobmethod import triggers_to
from fsmflow.definition.model import Definition
from fsmflow.engine.branches import BranchList
from fsmflow.engine.runtime import current
from fsmflow.errors import FsmflowError, TransitionNotAllowed


class HandleView(NoJob):
    """Backs a handle, and what a hook is called with. ``root`` is the definition of the machine, ``definition`` that of
    the entity, which is another for a branch. Branches and the user's own row are read where they are asked for."""

    def __init__(self, root: Definition, definition: Definition, snapshot: Snapshot) -> None:
        self._root = root
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
        """A copy, which cannot be changed: nothing would come of it."""
        why = (
            f"{self.snapshot.address}: data changes by a transition, or by retry(data=...); a handle shows a copy of "
            f"it, and data.copy() is one that is yours to change"
        )
        return exhibited(self.snapshot.data, why)

    def data_as(self, shape: shapes.Shape) -> Any:
        """An object of its own at each call: nothing comes of changing it. That of a branch has no data. Raises
        Unfit."""
        is_plain = not shape.node.makes or self.snapshot.branch_of is not None
        return self.data if is_plain else made_of(shape, self.snapshot, self.snapshot.data)

    @property
    def event(self) -> Event:
        return self.snapshot.event

    @property
    def failure(self) -> Failure | None:
        return self.snapshot.failure

    @property
    def attempt(self) -> int | None:
        return self.snapshot.work.attempt if self.snapshot.work else None

    @property
    def branches(self) -> Branches:
        """Those of the last step that fanned out."""
        return BranchList(current().store, self._root, self.snapshot)

    @property
    def record(self) -> Any:
        """The user's own row. One query. Raises FsmflowError where the machine has none."""
        field = self._root.wide.status_field
        if field is None:
            raise FsmflowError(f"machine {self._root.name!r} has no status_field, so there is no record")
        return current().store.own_rows.row_of(field, self.snapshot)

    def permit(self, action: str) -> None:
        """Raises NestedAction inside a guard or callback, and in the entity's own job: a handle is no way around."""
        asker.permit(action, self.snapshot.address, self.state)

    def job_refusal(self, name: str, states: tuple[str, ...]) -> TransitionNotAllowed:
        """A handle is where nobody runs jobs: the call is meant for what leads to one."""
        where = " and ".join(map(repr, states))
        triggers = " or ".join(f"{trigger}()" for trigger in triggers_to(self._root, states, self.state))
        ask = f"did you mean {triggers}?" if triggers else "it runs by itself once the entity is there"
        why = f"{name!r} is the job of {where} and is run by a worker; {ask}"
        return TransitionNotAllowed(self.snapshot.address, self.state, name, why=why)

    def show(self, snapshot: Snapshot) -> None:
        """Show the entity as it is now."""
        self.snapshot = snapshot

    def replace_data(self, data: Mapping[str, Any]) -> NoReturn:
        """Raises TransitionNotAllowed."""
        why = "a handle only shows data, which changes by a transition, or by retry(data=...)"
        raise TransitionNotAllowed(self.snapshot.address, self.state, "data = ...", why=why)

    def send(self, message: Message) -> NoReturn:
        """Raises FsmflowError."""
        raise FsmflowError(
            f"{self.snapshot.address}: send works inside a job or a callback, with whose transition it is "
            f"committed; outside, call trigger()"
        )

    def unsend(self, recall: Recall) -> NoReturn:
        """Raises FsmflowError."""
        raise FsmflowError(
            f"{self.snapshot.address}: unsend works inside a job or a callback, with whose transition it is "
            f"committed; outside, 'fsmflow drop' takes back one message"
        )
