"""Jobs that ask for something, and the answer that their state waits for."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from fsmflow import Machine, Retry, State, clock
from fsmflow.testing import sandbox
from tests.support.machines import Trigger
from tests.support.traces import ran


class Asking(Machine):
    initial = "new"
    states = [
        "new",
        State("asking", job="ask", wait=True, timeout=3_600, undo="withdraw"),
        State("answered", final=True),
        State("late", final=True),
    ]
    transitions = [
        ["go", "new", "asking"],
        ["answer", "asking", "answered"],
        ["timeout", "asking", "late", "is_patient"],
        ["timeout", "asking", "failed_from_asking"],
    ]
    go: Trigger

    def is_patient(self) -> bool:
        return not self.data.get("strict")

    def ask(self) -> dict[str, Any]:
        ran.append("ask")
        return {"asked": True}

    def withdraw(self) -> None:
        ran.append("withdraw")


def test_a_deadline_outlives_a_pause_and_a_worker_that_is_stopped_at_once() -> None:
    with sandbox(machines=[Asking]) as box:
        asking = Asking.start("1")
        asking.go()
        ticket = box._doorbell.take()
        assert ticket is not None
        work = box._runtime.store.work
        assert work.claim(ticket, "owner", lease_until=box._clock.now() + 15_000)
        asking.pause()
        box._maintenance.released(ticket.row, "owner")
        asking.resume()
        box.advance(hours=2)
        assert (asking.refresh().state, ran) == ("late", ["ask"])


def test_a_step_that_asks_again_after_a_retry_settles_and_can_be_undone() -> None:
    with sandbox(machines=[Asking]) as box:
        asking = Asking.start("1", strict=True)
        asking.go()
        box.advance(hours=2)
        assert asking.refresh().state == "failed_from_asking"
        asking.retry()
        with patch.object(clock, "pause", _never):
            box.run()
        assert (asking.refresh().phase, ran) == ("waiting", ["ask", "ask"])


def _never(seconds: float) -> None:
    raise AssertionError("it waits")


def test_a_job_that_asks_is_retried_where_its_timeout_is_refused() -> None:
    class Guarded(Machine):
        name = "guarded"
        initial = "asking"
        states = [
            State("asking", job="ask", wait=True, timeout=60, retry=Retry(max=5, interval=40, backoff=1, jitter=0)),
            State("late", final=True),
        ]
        transitions = [["timeout", "asking", "late", "is_open"], ["answer", "asking", "late"]]

        def is_open(self) -> bool:
            return False

        def ask(self) -> None:
            ran.append("ask")
            if len(ran) < 4:
                raise ConnectionError

    with sandbox(machines=[Guarded]) as box:
        Guarded.start("1")
        box.advance(hours=1)
        assert len(ran) == 4


def test_an_adopted_entity_that_waits_for_an_answer_keeps_its_deadline() -> None:
    with sandbox(machines=[Asking]) as box:
        asking = Asking.start("1", state="asking")
        asking.resume()
        box.advance(hours=2)
        assert asking.refresh().state == "late"
