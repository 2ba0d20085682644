"""What can be done to an entity through a handle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from enum import Enum
from math import isnan
from typing import Any, Self

from fsmflow import clock
from fsmflow.decision.actions import ACTIONS, PAUSE, RESUME
from fsmflow.decision.deferral import DROP
from fsmflow.decision.erasure import ERASE
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor, as_actor
from fsmflow.decision.versions import unknown_state
from fsmflow.definition.names import CANCEL, FAILED, FINISHED, FORCE, PHASES, RETRY, REWIND, SKIP, UNDO
from fsmflow.definition.parse import plain_name
from fsmflow.engine import lookup, requests
from fsmflow.engine.explain import explain
from fsmflow.engine.runtime import current, joining
from fsmflow.errors import DataError, shown
from fsmflow.machine.attributes import Attributes
from fsmflow.machine.base import Data, Fields, as_dict, state_name

Until = str | Enum | Collection[str | Enum] | Callable[[Any], bool] | None


class Actions(Attributes[Data]):
    """Every action decides on the entity as it is now, and refreshes the handle.

    With ``key``, one that is repeated changes nothing. One that is refused, or finds nothing to do, uses up no key.
    Another request with a used key raises KeyConflict.
    """

    def trigger(
        self,
        name: str,
        payload: Fields | None = None,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
        within: Any = None,
        **fields: Any,
    ) -> HistoryEntry:
        """Fire a trigger on the entity as it is now; the history entry that was written.

        Once this returns, the transition is durable, and what it leads to will run even if Redis is down now.
        ``within`` a transaction of yours, that of a Session or Connection of SQLAlchemy, it is part of that.
        ``payload`` and ``fields`` together come with the event; fields win. Give what an outsider wrote, such as the
        body of a webhook, as ``payload``: its names could be those of options. With ``key``, a repeated delivery of
        the same outside event changes nothing and returns the first entry, ``repeated``; another trigger with that key
        raises KeyConflict. With ``epoch``, an entity that has moved since raises TransitionConflict. Raises
        TransitionNotAllowed, NotPermitted, TransitionConflict, KeyConflict, DataError, UnknownState.
        """
        given = {**as_dict(payload, "payload"), **fields}
        happening = Triggered(trigger=name, payload=given, actor=as_actor(actor), reason=reason, key=key, epoch=epoch)
        with joining(within):
            return self._fire(happening)

    def retry(
        self,
        *,
        data: Fields | None = None,
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
        options = {"patch": as_dict(data), "new_key": new_key, "epoch": epoch}
        return self._act(RETRY, actor=actor, reason=reason, key=key, **options)

    def cancel(
        self,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
    ) -> Self:
        """Fire ``cancel``: to ``cancelled``, unless the machine says otherwise. A running job's result is discarded."""
        return self._act(CANCEL, actor=actor, reason=reason, key=key, epoch=epoch)

    def undo(
        self,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
    ) -> Self:
        """Fire ``undo``: take back what the entered steps did, the latest first, unless the machine says otherwise.

        Raises TransitionNotAllowed where no step is left that has ``undo=``.
        """
        return self._act(UNDO, actor=actor, reason=reason, key=key, epoch=epoch)

    def skip(self, *, actor: Actor | str | None = None, reason: str | None = None, key: str | None = None) -> Self:
        """From ``failed_from_X``, go on as if X had been done: the ways of its ``done`` are decided.

        Raises TransitionNotAllowed in any other state, and where no ``done`` of X is accepted.
        """
        return self._act(SKIP, actor=actor, reason=reason, key=key)

    def rewind(
        self,
        state: str | Enum,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> Self:
        """Go back to a state that the entity has been in: a new step, with a new idempotency key, without guards or
        callbacks. Raises TransitionNotAllowed where it has not been there, UnknownState."""
        return self._act(REWIND, actor=actor, reason=reason, key=key, state=state_name(state))

    def force(
        self,
        state: str | Enum,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> Self:
        """Enter any state of the machine, without guards or callbacks; its job and timer start. Raises UnknownState."""
        return self._act(FORCE, actor=actor, reason=reason, key=key, state=state_name(state))

    def drop(
        self,
        event: int | str,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> Self:
        """Take away an event that is kept, or a message that this entity sent and that is not delivered: by the number
        that ``explain`` and ``fsmflow show`` give, or what is kept by its trigger. It is dropped or has taken effect,
        never both; whoever sent it is told. Raises DataError where there is none."""
        return self._act(DROP, actor=actor, reason=reason, key=key, event=event)

    def erase(self, *, reason: str, actor: Actor | str | None = None, key: str | None = None) -> Self:
        """Take away for good what the entity and all below it hold of people: data, payloads, items, results, the texts
        of failures, reasons, and the names of who acted, which become ``actor-1``, ``actor-2``. The id, and the bare
        history, stay, with a line that says who erased it and why. Raises TransitionNotAllowed where something is still
        under way, DataError without a reason."""
        return self._act(ERASE, actor=actor, reason=reason, key=key)

    def pause(self, *, actor: Actor | str | None = None, reason: str | None = None, key: str | None = None) -> Self:
        """Hold what comes next. A running attempt ends and commits; timers stand still. Raises TransitionNotAllowed."""
        return self._act(PAUSE, actor=actor, reason=reason, key=key)

    def resume(self, *, actor: Actor | str | None = None, reason: str | None = None, key: str | None = None) -> Self:
        """Go on: a paused entity is let go, a failed one retried, one whose job got stuck dispatched again."""
        return self._act(RESUME, actor=actor, reason=reason, key=key)

    def refresh(self) -> Self:
        """Look at the entity again. Raises EntityNotFound."""
        return self._shows(lookup.look(current(), self._root, self._id).snapshot)

    def wait(self, until: Until = None, timeout: float | timedelta | None = None) -> Self:
        """Wait until the entity has failed or finished, or until a state, one of several, a phase, or a function of
        the handle says so. Raises TimeoutError, with where it stands and why, after ``timeout`` (seconds, or a
        timedelta); ConfigurationError inside a transaction, which others would wait for."""
        for pause_s in self._pauses(until, timeout):
            current().idle(pause_s)
        return self

    def _pauses(self, until: Until, timeout: float | timedelta | None) -> Iterator[float]:
        """For how many seconds to let others go on before the next look, until one finds what is waited for."""
        self._acts("wait")
        reached, limit_s = self._until(until), _seconds(timeout)
        started, pause_s = clock.monotonic(), 0.005
        while not reached(self.refresh()):
            left = None if limit_s is None else limit_s - (clock.monotonic() - started)
            if left is not None and left <= 0:
                told = explain(current(), lookup.look(current(), self._root, self._id))
                raise TimeoutError(f"{self.address} is still in {self.state!r} after {limit_s:g} s: {told.why}")
            current().check_outside(f"{self.address} is waited for")
            yield pause_s if left is None else min(pause_s, left)
            pause_s = min(pause_s * 1.3, 0.25)

    def _fire(self, happening: Triggered) -> HistoryEntry:
        self._acts(happening.trigger)
        after, entry = requests.trigger(current(), self._root, self._id, happening)
        self._shows(after)
        return entry

    def _act(self, name: str, *, actor: Actor | str | None, **options: Any) -> Self:
        """Do what operators do, by the row of ``ACTIONS``; show what came of it."""
        self._acts(name)
        action = ACTIONS[name]
        asked = action.asks(actor=as_actor(actor), **options)
        return self._shows(requests.act(current(), self._root, self._id, action, asked))

    def _until(self, until: Until) -> Callable[[Any], bool]:
        if callable(until):
            return until
        if until is None:
            return lambda machine: machine.phase in (FAILED, FINISHED)
        if not isinstance(until, Collection | Enum):
            raise DataError(f"until is {shown(until)}; it is a state, several, a phase, or a function of the handle")
        names = set(map(plain_name, [until] if isinstance(until, str | Enum) else until))
        states = self._view.definition.states
        for name in names - set(PHASES):
            if name not in states:
                raise unknown_state(self._view.definition, name)
        return lambda machine: machine.state in names or machine.phase in names


def _seconds(timeout: float | timedelta | None) -> float | None:
    """How long to wait at most. Raises DataError."""
    if isinstance(timeout, timedelta):
        return timeout.total_seconds()
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or isnan(timeout)):
        raise DataError(f"timeout is {shown(timeout)}; it is seconds or a timedelta")
    return timeout
