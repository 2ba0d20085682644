"""A deadline as people are told of it: when it comes, what a pause leaves of it, and which branches it has ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Machine, Progress, Retry, RetryAfter, State, TransitionNotAllowed
from tests.support.deployments import Dated, Parcel, deploy
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Trip(Machine):
    """Booked within a minute; of what is booked side by side one is done, one fails, and one waits."""

    initial = "new"
    states = [
        "new",
        State("booking", jobs=["hotel", "flight", "car"], within=60, branch_failure="wait"),
        State("asking", timeout=timedelta(days=2)),
        State("over", final=True),
    ]
    transitions = [
        ["go", "new", "booking"],
        ["done", "booking", "asking"],
        ["ask", "new", "asking"],
        ["timeout", "asking", "over"],
    ]
    go: Trigger
    ask: Trigger

    def hotel(self) -> None: ...

    def flight(self) -> None:
        if not self.data.get("flies"):
            raise ConnectionError("no flight")

    def car(self) -> None:
        if not self.data.get("drives"):
            raise RetryAfter(3_600)


class Letter(Machine):
    """One reader cannot be reached; the others are then not written to any more."""

    initial = "sending"
    states = [
        State("sending", each="readers", job="mail", branch_failure="stop"),
        State("sent", final=True),
    ]
    transitions = [["done", "sending", "sent"]]

    def mail(self, item: str) -> None:
        if item == "bob":
            raise ConnectionError("no mail goes to bob")
        raise RetryAfter(60)


class Refund(Machine):
    initial = "refunding"
    states = [State("refunding", job="refund", within="patience", retry=Retry(9, [40], jitter=0)), State("over")]
    transitions = [["done", "refunding", "over"], ["timeout", "refunding", "over"], ["again", "over", "refunding"]]

    def patience(self) -> int:
        return 60

    def refund(self) -> None:
        raise ConnectionError("the bank is away")


def failure_of(machine: Machine) -> str:
    failure = machine.refresh().failure
    assert failure is not None
    return failure.message


def lines(machine: Machine) -> list[str]:
    return str(machine.explain()).splitlines()


def test_explain_says_when_a_deadline_comes_and_what_a_pause_leaves_of_it() -> None:
    with sandbox(machines=[Trip, Refund]) as box:
        trip, asking, refund = Trip.start("1"), Trip.start("2"), Refund.start("1")
        trip.go()
        asking.ask()
        box.run()

        def at(**after: float) -> str:
            return f"{box.now + timedelta(**after):%Y-%m-%d %H:%M:%S} UTC"

        fails = "(within= of 1 min); then the step fails with StepTimeout"
        fires = "(timeout= of 2 d); then 'timeout' fires"
        by_method = "(within= by 'patience'); then 'timeout' fires"
        assert f"deadline:    {at(minutes=1)} {fails}" in lines(trip)
        assert f"deadline:    {at(days=2)} {fires}" in lines(asking)
        assert f"deadline:    {at(minutes=1)} {by_method}" in lines(refund)
        box.advance(seconds=20)
        for one in (trip, asking, refund):
            one.pause()
        box.advance(days=10)
        assert f"deadline:    held by the pause with 40 s left {fails}" in lines(trip)
        assert f"deadline:    held by the pause with 1 d 23 h left {fires}" in lines(asking)
        assert f"deadline:    held by the pause with 40 s left {by_method}" in lines(refund)
        for one in (trip, asking, refund):
            one.resume()
        assert f"deadline:    {at(seconds=40)} {fails}" in lines(trip)
        assert f"deadline:    {at(days=2, seconds=-20)} {fires}" in lines(asking)
        assert "or the end of its time" in str(trip.explain().waiting_for)
        assert "or 'timeout' by itself" in str(refund.explain().waiting_for)


def test_explain_says_where_a_time_was_deployed_after_the_entity_came() -> None:
    with sandbox(machines=[Parcel]) as box:
        Parcel.start("1", state="resting")
        deploy(box, Dated)
        early = Dated.get("1")
        none = (
            "deadline:    none runs, as it was in 'resting' before timeout= of 1 h was deployed; 'force' it there anew"
        )
        assert f"{none} to begin one" in lines(early)
        assert "waiting for: a trigger: release, note, timeout, cancel" in lines(early)
        early.force("resting", reason="from now on there is a limit")
        assert any("(timeout= of 1 h); then 'timeout' fires" in line for line in lines(early))


def test_a_failure_of_time_names_the_limit_and_no_time_that_a_pause_has_taken() -> None:
    with sandbox(machines=[Trip]) as box:
        trip = Trip.start("1")
        trip.go()
        box.run()
        trip.pause()
        box.advance(hours=10)
        trip.resume()
        box.advance(minutes=1)
        assert failure_of(trip) == "the step was not done in the time that it has, within= of 1 min"


def test_what_a_deadline_ends_has_not_failed_and_is_run_again_with_its_parent() -> None:
    with sandbox(machines=[Trip]) as box:
        trip = Trip.start("1", flies=False)
        trip.go()
        box.advance(minutes=1)
        assert trip.refresh().progress == Progress(done=1, failed=1, cancelled=1, running=0, total=3)
        assert str(trip.progress) == "1 of 3 done, 1 failed, 1 cancelled, 0 running"
        told = str(trip.explain().waiting_for)
        assert told.endswith("that runs the 2 of 3 branches that failed or were cancelled")
        why = "it was cancelled; its parent rests after StepTimeout, and 'retry' of trip:1 runs this one again, too"
        for act in (Trip.get("1/booking/car").retry, Trip.get("1/booking/car").skip):
            with pytest.raises(TransitionNotAllowed) as caught:
                act()
            assert caught.value.why == why
        trip.retry(data={"flies": True, "drives": True})
        box.run()
        assert trip.refresh().state == "asking"


def test_a_branch_that_was_cancelled_says_when_it_may_run_again_while_its_parent_goes_on() -> None:
    with sandbox(machines=[Trip]) as box:
        trip = Trip.start("1", flies=True)
        trip.go()
        box.run()
        car = Trip.get("1/booking/car")
        trip.pause()
        car.cancel()
        with pytest.raises(TransitionNotAllowed, match="where it comes to rest in 'failed_from_booking', its 'retry'"):
            car.retry()
        trip.resume()
        box.run()
        assert failure_of(trip) == "1 branch was cancelled (trip:1/booking/car)"


@pytest.mark.parametrize("count", [1, 6])
def test_a_parent_tells_those_that_failed_from_those_that_were_ended_for_it(count: int) -> None:
    with sandbox(machines=[Letter]) as box:
        readers: list[Any] = [f"reader {number}" for number in range(count)]
        letter = Letter.start("1", readers=[*readers, "bob"])
        box.run()
        ended = f"{count} more {'was' if count == 1 else 'were'} cancelled"
        assert failure_of(letter) == (
            f"ConnectionError: no mail goes to bob (1 branch failed: letter:1/sending/{count}; {ended})"
        )
        assert letter.progress == Progress(done=0, failed=1, cancelled=count, running=0, total=count + 1)
