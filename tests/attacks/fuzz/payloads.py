"""Values as data, payloads and results, and the texts beside them: stored as they were, or refused without a trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fsmflow import DataError, EntityNotFound, FsmflowError, Machine, Outcome, State
from fsmflow.store.link import open_database
from fsmflow.testing import Sandbox, sandbox
from tests.attacks.fuzz.driver import ACCEPTED, Check, Servers, named
from tests.attacks.fuzz.inputs import build, faithful


class Parcel(Machine):
    """Its job returns what the test hands to it."""

    initial = "new"
    states = ["new", State("sending", job="send_it"), State("sent", final=True), State("declined", final=True)]
    transitions = [
        ["go", "new", "sending"],
        ["note", "*", None],
        ["done", "sending", "sent"],
        ["declined", "sending", "declined"],
    ]

    def send_it(self) -> Any:
        return _job[0](self)


_job: list[Callable[[Any], Any]] = [lambda machine: None]
#: Named too, and yet no answer to a value: the database has met what should have been refused before.
_OF_THE_DATABASE = ("ConfigurationError", "DatabaseUnavailable")
WAYS: tuple[str, ...] = (
    "start",
    "payload",
    "retry",
    "outcome",
    "result",
    "sent",
    "saved",
    "progress",
    "returned",
    "reason",
    "key",
)
WAYS += ("actor", "id", "trigger", "state", "whole")


#: So many keys are tried on one entity.
_KEYS = 20


def _plain(value: Any) -> Any:
    return int.__add__(value, 0) if isinstance(value, int) else value


@contextmanager
def payloads(servers: Servers) -> Iterator[Check]:
    """Values: stored and read back as they were, or a DataError and an entity that is as it was."""
    database = None if servers.database_url is None else open_database(servers.database_url)
    try:
        with sandbox([Parcel], database=database) as box:
            yield Desk(box, time.monotonic_ns()).take
    finally:
        if database is not None:
            database.close()


class Desk:
    """Hands values in by every way there is."""

    def __init__(self, box: Sandbox, first_id: int) -> None:
        self._box = box
        self._id = first_id
        self._keyed: Any = None

    def take(self, drawn: tuple[str, Any]) -> list[str]:
        way, value = drawn
        self._id += 1
        return [getattr(self, f"by_{way}")(build(value))]

    def by_start(self, value: Any) -> str:
        outcome = named(lambda: Parcel.start(self._id, {"v": value}), DataError)
        if outcome == ACCEPTED:
            self._same(Parcel.get(str(self._id)).data["v"], value)
        else:
            with pytest.raises(EntityNotFound):
                Parcel.get(str(self._id))
        return outcome

    def by_payload(self, value: Any) -> str:
        parcel = self._parcel()
        outcome = self._untouched(parcel, lambda: parcel.trigger("note", v=value))
        if outcome == ACCEPTED:
            self._same(parcel.history[-1].payload["v"], value)
        return outcome

    def by_retry(self, value: Any) -> str:
        parcel = self._failed()
        outcome = self._untouched(parcel, lambda: parcel.retry(data={"v": value}))
        if outcome == ACCEPTED:
            self._same(parcel.data["v"], value)
        return outcome

    def by_outcome(self, value: Any) -> str:
        return self._ran(
            lambda machine: Outcome("declined", v=value), "declined", lambda parcel: parcel.data["v"], value
        )

    def by_result(self, value: Any) -> str:
        return self._ran(lambda machine: {"v": value}, "sent", lambda parcel: parcel.data["v"], value)

    def by_sent(self, value: Any) -> str:
        def send(machine: Any) -> None:
            machine.send("note", v=value)

        return self._ran(send, "sent", lambda parcel: parcel.history[-1].payload["v"], value)

    def by_saved(self, value: Any) -> str:
        def save(machine: Any) -> None:
            machine.data["v"] = value
            machine.save()

        return self._ran(save, "sent", lambda parcel: parcel.data["v"], value)

    def by_progress(self, value: Any) -> str:
        return self._ran(lambda machine: machine.heartbeat(progress=value), "sent", lambda parcel: None, None)

    def by_returned(self, value: Any) -> str:
        """A result as it is: nothing, a mapping to be merged, or no result at all."""
        return self._ran(lambda machine: value, "sent", lambda parcel: None, None)

    def by_whole(self, value: Any) -> str:
        return named(lambda: Parcel.start(self._id, value), DataError)

    def by_state(self, value: Any) -> str:
        parcel = self._parcel()
        return self._untouched(parcel, lambda: parcel.force(value), FsmflowError)

    def by_reason(self, value: Any) -> str:
        parcel = self._parcel()
        outcome = self._untouched(parcel, lambda: parcel.trigger("note", reason=value))
        if outcome == ACCEPTED and value:
            self._same(parcel.history[-1].reason, value)
        return outcome

    def by_key(self, value: Any) -> str:
        """Keys that are only alike are keys of different requests."""
        if self._keyed is None or len(self._keyed.history) > _KEYS:
            self._keyed = self._parcel()
        keyed, entries = self._keyed, []
        outcome = self._untouched(keyed, lambda: entries.append(keyed.trigger("note", key=value)))
        if outcome == ACCEPTED:
            self._same(entries[0].key, value)
        return outcome

    def by_actor(self, value: Any) -> str:
        parcel = self._parcel()
        outcome = self._untouched(parcel, lambda: parcel.trigger("note", actor=value))
        if outcome == ACCEPTED and value is not None:
            self._same(parcel.history[-1].actor, value)
        return outcome

    def by_id(self, value: Any) -> str:
        """Ids that are only alike are ids of different entities."""
        outcome = named(lambda: Parcel.start(value, if_exists="return"), DataError)
        if outcome == ACCEPTED:
            assert Parcel.get(value).entity_id == (str.__str__(value) if isinstance(value, str) else str(_plain(value)))
        return outcome

    def by_trigger(self, value: Any) -> str:
        parcel = self._parcel()
        return self._untouched(parcel, lambda: parcel.trigger(value), FsmflowError)

    def _parcel(self) -> Any:
        return Parcel.start(str(self._id), {"kept": [1]})

    def _failed(self) -> Any:
        def fail(machine: Any) -> None:
            raise ValueError("no")

        _job[0] = fail
        parcel = self._parcel()
        parcel.trigger("go")
        self._box.run()
        assert parcel.refresh().state == "failed_from_sending"
        return parcel

    def _untouched(self, parcel: Any, act: Callable[[], object], *errors: type[BaseException]) -> str:
        """A refused one changes nothing."""
        before = (parcel.state, parcel.data, len(parcel.history))
        outcome = named(act, *(errors or (DataError,)))
        assert outcome not in _OF_THE_DATABASE, outcome
        parcel.refresh()
        if outcome != ACCEPTED:
            assert (parcel.state, parcel.data, len(parcel.history)) == before
        return outcome

    def _ran(self, job: Callable[[Any], Any], state: str, read: Callable[[Any], Any], value: Any) -> str:
        """A job's result is stored, or the attempt fails with a DataError."""
        _job[0] = job
        parcel = self._parcel()
        parcel.trigger("go")
        self._box.run()
        parcel.refresh()
        if parcel.state == state:
            self._same(read(parcel), value)
            return ACCEPTED
        assert (parcel.state, parcel.failure.error_type) == ("failed_from_sending", "DataError"), parcel.failure
        assert parcel.data == {"kept": [1]}
        return str(parcel.failure.error_type)

    def _same(self, stored: Any, given_one: Any) -> None:
        assert faithful(stored) == faithful(given_one), (stored, given_one)
