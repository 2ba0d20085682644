"""What an object of a machine shows of its entity."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn, cast

from fsmflow import clock
from fsmflow.decision import asker
from fsmflow.decision.context import Branches, Progress
from fsmflow.decision.entity import Event, Failure
from fsmflow.decision.exhibit import exhibited
from fsmflow.decision.forecast import Forecast
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor, as_actor
from fsmflow.decision.offers import Offer
from fsmflow.engine import lookup
from fsmflow.engine.branches import BranchList, item_of
from fsmflow.engine.explain import Explanation, explain, offers_to
from fsmflow.engine.forecast import forecast
from fsmflow.engine.handle import HandleView
from fsmflow.engine.runtime import current
from fsmflow.errors import TransitionNotAllowed
from fsmflow.machine.base import Base, Data, Fields, MemberName, StateName, as_dict
from fsmflow.store.entities import PAGE


class Attributes(Base[Data]):
    """The properties of a machine's object."""

    @property
    def entity_id(self) -> str:
        """The id, as text; in a branch's job that of the parent."""
        return self._id

    @property
    def address(self) -> str:
        """``machine:id``."""
        return self._view.snapshot.address

    @property
    def state(self) -> StateName:
        """The name of the state, a plain text; where members of an Enum stand for the states that are no text, it is
        equal to those too. It changes by transitions only: assigning it raises TransitionNotAllowed."""
        return MemberName(self._view.state) if self._root.has_members else self._view.state

    @state.setter
    def state(self, value: str) -> NoReturn:
        raise TransitionNotAllowed(
            self.address,
            self.state,
            f"state = {value!r}",
            allowed=self.allowed_triggers() if isinstance(self._view, HandleView) else None,
            why="a state is entered by a transition, never assigned",
        )

    @property
    def phase(self) -> str:
        """``waiting``, ``working``, ``failed`` or ``finished``."""
        snapshot = self._view.snapshot
        spec = self._view.definition.states.get(self.state)
        return snapshot.phase if spec is None or self.state == snapshot.state else spec.phase

    @property
    def epoch(self) -> int:
        """Grows whenever a state is entered, retries included."""
        return self._view.snapshot.epoch

    @property
    def created_at(self) -> datetime:
        """When the entity was started; an aware datetime in UTC."""
        return clock.to_datetime(self._view.snapshot.created_at)

    @property
    def since(self) -> datetime:
        """Since when the entity is in its state, a retry begins anew; an aware datetime in UTC."""
        return clock.to_datetime(self._view.snapshot.entered_at)

    @property
    def paused(self) -> bool:
        """Whether what comes next is held, until ``resume``."""
        return self._view.snapshot.paused

    @property
    def data(self) -> Data:
        """The data. In a job and in callbacks changes to it are committed with the transition. On a handle it is a copy
        that raises DataError where it is changed, at any depth; ``data.copy()`` is a plain one. Of a
        ``Machine[OrderData]`` it is an ``OrderData``, on a handle one of its own. Raises DataError where what is
        stored does not fit that any more."""
        declared = self._root.wide.data
        found = self._view.data if declared is None else self._view.data_as(declared.shape)
        return cast(Data, found)

    @data.setter
    def data(self, value: Fields) -> None:
        self._view.replace_data(as_dict(value))

    @property
    def plain_data(self) -> dict[str, Any]:
        """The data as they are stored, whether they fit their type or not; they cannot be changed here."""
        return exhibited(self._view.snapshot.data, f"{self.address}: plain_data only shows data; change data")

    @property
    def event(self) -> Event:
        """In guards and callbacks the event that is being decided; else the one that first entered this step."""
        return self._view.event

    @property
    def failure(self) -> Failure | None:
        """The last failure of this state, or None."""
        return self._view.failure

    @property
    def attempt(self) -> int | None:
        """Which run of the step this is, from 1; goes on over retries. None where nothing is to be run."""
        return self._view.attempt

    @property
    def progress(self) -> Progress | float | None:
        """Of a running job what it last reported with ``heartbeat(progress=...)``. Else of the step that fans out, or
        of the last one that did, how many branches are done, failed and running, and how many there are: two queries
        at most."""
        snapshot = self._view.snapshot
        if snapshot.work is not None and snapshot.work.progress is not None:
            return float(snapshot.work.progress)
        if snapshot.branch_of is not None or not self._root.fans:
            return None
        branches = self._view.branches
        return branches.progress() if isinstance(branches, BranchList) else None

    @property
    def branches(self) -> Branches:
        """The branches of the step that the entity is in, or rests in after its failure; elsewhere those of the last
        step that fanned out. In the order of their items, read in pages as they are looked at."""
        return self._view.branches

    @property
    def parent(self) -> Any:
        """A handle on the entity that this is a branch or child of, or None. One query."""
        row = self._view.snapshot.parent
        found = current().store.entities.load_row(row) if row is not None else None
        if found is None:
            return None
        definition = current().machines.get(found.machine)
        return cast("type[Attributes]", definition.owner)._handle(found)  # noqa: SLF001 - a machine too

    @property
    def item(self) -> Any:
        """What a branch or child was made for: one of ``each=``."""
        return item_of(self._view.snapshot)

    @property
    def record(self) -> Any:
        """The user's own row: that of ``status_field`` whose primary key is the entity's id. One query."""
        return self._view.record

    @property
    def history(self) -> list[HistoryEntry]:
        """All that happened to the entity, in order, with masks for what the machine redacts. Read from the database at
        each use."""
        entities, row = current().store.entities, self._view.snapshot.row
        found = page = entities.history(row)
        while len(page) >= PAGE:
            found += (page := entities.history(row, after=page[-1].seq))
        keys = self._root.wide.redact
        # It may have been written before its machine began to redact.
        return [entry.hidden(keys) for entry in found] if keys else found

    def allowed_triggers(self, actor: Actor | str | None = None) -> list[str]:
        """The triggers that ``actor`` can fire now, without a payload. ``triggers`` says more of each."""
        return [offer.trigger for offer in self._offers("allowed_triggers", actor) if offer.allowed]

    def triggers(self, actor: Actor | str | None = None) -> list[Offer]:
        """Each trigger that means something now: where it would lead, whether ``actor`` is allowed to fire it, and if
        not, why. Guards are asked with a supposed event: this trigger, this actor, now, an empty payload; nothing is
        written. One query, and what guards look at. Raises NestedAction in guards and callbacks."""
        return self._offers("triggers", actor)

    def what_if(
        self,
        name: str,
        payload: Fields | None = None,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
        **fields: Any,
    ) -> Forecast:
        """What ``trigger`` with the same arguments would lead to now: the next state, its job and deadline, what is
        sent, what callbacks change, and which states are ahead. Nothing is written; who would be refused is told why.
        Guards and callbacks are called as if it were fired, so they must not act. Raises NestedAction in guards and
        callbacks, DataError for arguments of another kind."""
        asker.permit("what_if", self.address, self.state)
        given = {**as_dict(payload, "payload"), **fields}
        asked = Triggered(trigger=name, payload=given, actor=as_actor(actor), reason=reason, key=key, epoch=epoch)
        runtime = current()
        return forecast(runtime, lookup.look(runtime, self._root, self._id, asked.actor), asked)

    def explain(self, actor: Actor | str | None = None) -> Explanation:
        """What the entity is doing, what it waits for, and what stands in its way; ``actor``: who asks what is allowed.
        Its ``str()`` is for people. Raises NestedAction in guards and callbacks."""
        asker.permit("explain", self.address, self.state)
        runtime, who = current(), as_actor(actor)
        return explain(runtime, lookup.look(runtime, self._root, self._id, who), who)

    def _offers(self, name: str, actor: Actor | str | None) -> list[Offer]:
        asker.permit(name, self.address, self.state)
        runtime, who = current(), as_actor(actor)
        return offers_to(runtime, lookup.look(runtime, self._root, self._id, who), who)
