"""Sagas, and what operators do by hand: undo, skip, rewind, force, adoption. With virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import Fail, Machine, Retry, State, TransitionNotAllowed, UnknownState
from tests.support.concurrency import by_others
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

done: list[Any] = []
failing: set[str] = set()


__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()
    failing.clear()


class Trip(Machine):
    """Car, hotel and flight; where one fails, what was booked is cancelled."""

    initial = "new"
    on_failure = "undo"
    on_cancel = "undo"
    states = [
        "new",
        State("booking_car", job="book", undo="unbook"),
        State("booking_hotel", job="book", undo="unbook", retry=Retry(max=1, interval=60, jitter=0)),
        State("checking", job="check"),
        State("booking_flight", job="book", undo="unbook"),
        State("booked", final=True),
    ]
    transitions = [
        ["go", "new", "booking_car"],
        ["done", "booking_car", "booking_hotel"],
        ["done", "booking_hotel", "checking"],
        ["done", "checking", "booking_flight"],
        ["done", "booking_flight", "booked"],
    ]
    go: Trigger
    look: Trigger

    def book(self) -> dict[str, Any]:
        what = self.state.removeprefix("booking_")
        done.append(f"book {what}")
        if what in failing:
            raise Fail(f"no {what}")
        return {what: f"{what}-1"}

    def unbook(self) -> None:
        undoing = self.undoing
        what = undoing.state.removeprefix("booking_")
        if f"un{what}" in failing:
            raise RuntimeError(f"cannot cancel {what}")
        done.append(f"cancel {what} {(undoing.result or {}).get(what)} {undoing.completed}")

    def check(self) -> None: ...


def test_what_was_booked_is_cancelled_in_reverse_order_the_failed_one_too() -> None:
    with sandbox(machines=[Trip]) as box:
        failing.add("flight")
        trip = Trip.start("1")
        trip.go()
        box.run()
        assert trip.refresh().state == "undone"
        assert done[3:] == ["cancel flight None False", "cancel hotel hotel-1 True", "cancel car car-1 True"]
        states = [entry.dest for entry in trip.history if entry.kind == "transition"]
        assert states[-4:] == ["undoing_booking_flight", "undoing_booking_hotel", "undoing_booking_car", "undone"]
        assert [entry.trigger for entry in trip.history[-4:]] == ["fail", "done", "done", "undone"]
        assert trip.phase == "finished"
        assert trip.failure is not None
        assert trip.failure.message == "no flight"


def test_an_undo_that_fails_rests_and_goes_on_from_there() -> None:
    with sandbox(machines=[Trip]) as box:
        failing.update({"flight", "unhotel"})
        trip = Trip.start("1")
        trip.go()
        box.advance(minutes=5)
        assert trip.refresh().state == "failed_from_undoing_booking_hotel"
        assert trip.failure is not None
        assert (trip.failure.attempts, trip.failure.message) == (2, "cannot cancel hotel")
        failing.clear()
        done.clear()
        trip.resume()
        box.run()
        assert trip.refresh().state == "undone"
        assert done == ["cancel hotel hotel-1 True", "cancel car car-1 True"]


def test_a_cancel_of_an_undo_that_has_failed_goes_on_with_it() -> None:
    with sandbox(machines=[Trip]) as box:
        failing.update({"flight", "unhotel"})
        trip = Trip.start("1")
        trip.go()
        box.advance(minutes=5)
        assert trip.refresh().state == "failed_from_undoing_booking_hotel"
        failing.clear()
        trip.cancel()
        box.run()
        assert trip.refresh().state == "undone"


def test_a_broken_undo_is_skipped() -> None:
    with sandbox(machines=[Trip]) as box:
        failing.update({"flight", "unhotel", "uncar"})
        trip = Trip.start("1")
        trip.go()
        box.advance(minutes=5)
        trip.skip(actor="alice", reason="by phone")
        assert trip.state == "undoing_booking_car"
        entry = trip.history[-1]
        assert (entry.kind, entry.actor, entry.reason) == ("skipped", "alice", "by phone")
        box.advance(minutes=5)
        trip.skip()
        assert trip.refresh().state == "undone"


def test_a_failure_before_anything_was_done_rests_where_it_failed() -> None:
    class Early(Trip):
        name = "early"
        transitions = [*Trip.transitions, ["look", "new", "checking"]]

        def check(self) -> None:
            raise Fail("no")

    with sandbox(machines=[Early]) as box:
        early = Early.start("1")
        early.look()
        box.run()
        assert early.refresh().state == "failed_from_checking"


def test_cancel_undoes_where_it_is_asked_for_and_cancels_where_nothing_is_to_be_undone() -> None:
    with sandbox(machines=[Trip]) as box:
        trip = Trip.start("1")
        trip.cancel()
        assert trip.state == "cancelled"
        other = Trip.start("2")
        other.go()
        box.fail("check", Fail("later"))
        failing.add("flight")
        box.run()
        assert other.refresh().state == "undone"


def test_a_cancel_that_was_kept_does_not_stop_the_undoing_that_comes_first() -> None:
    class Patient(Trip):
        name = "patient"
        states = [
            *Trip.states[:-2],
            State("booking_flight", job="book", undo="unbook", defer=["cancel"]),
            State("booked", final=True),
        ]

        def book(self) -> dict[str, Any]:
            if self.state == "booking_flight":
                cancelled = by_others(Patient.get(self.entity_id)).cancel()
                assert cancelled.history[-1].kind == "deferred"
            return super().book()

    with sandbox(machines=[Patient]) as box:
        failing.add("flight")
        trip = Patient.start("1")
        trip.go()
        box.run()
        assert trip.refresh().state == "undone"
        assert len([line for line in done if line.startswith("cancel")]) == 3


def test_a_second_cancel_does_not_stop_the_undoing() -> None:
    with sandbox(machines=[Trip]) as box:
        trip = Trip.start("1")
        trip.force("booking_hotel")
        trip.cancel()
        assert trip.state == "undoing_booking_hotel"
        trip.cancel()
        assert trip.history[-1].kind == "ignored"
        box.run()
        assert trip.refresh().state == "undone"


def test_undo_is_asked_for_in_a_final_state_and_not_twice() -> None:
    with sandbox(machines=[Trip]) as box:
        trip = Trip.start("1")
        trip.go()
        box.run()
        assert trip.refresh().state == "booked"
        assert trip.allowed_triggers() == ["undo"]
        done.clear()
        trip.undo(actor="bob")
        box.run()
        assert trip.refresh().state == "undone"
        assert done == ["cancel flight flight-1 True", "cancel hotel hotel-1 True", "cancel car car-1 True"]
        with pytest.raises(TransitionNotAllowed, match="undo"):
            trip.undo()


def test_the_users_own_transition_takes_undone_elsewhere() -> None:
    class Again(Trip):
        name = "again"
        transitions = [*Trip.transitions, ["undone", "*", "new"]]

    with sandbox(machines=[Again]) as box:
        failing.add("flight")
        trip = Again.start("1")
        trip.go()
        box.run()
        assert trip.refresh().state == "new"
        failing.clear()
        done.clear()
        trip.go()
        box.run()
        assert trip.refresh().state == "booked"
        failing.add("nothing")
        trip.undo()
        box.run()
        assert trip.refresh().state == "new"
        # What was undone the first time is not undone again.
        assert [line for line in done if line.startswith("cancel")] == [
            "cancel flight flight-1 True",
            "cancel hotel hotel-1 True",
            "cancel car car-1 True",
        ]


def test_an_undo_of_a_fan_out_undoes_each_branch() -> None:
    class Tour(Machine):
        initial = "booking"
        states = [
            State("booking", job="book", each="cities", undo="unbook", on_failure="undo"),
            State("booked", final=True),
        ]
        transitions = [["done", "booking", "booked"]]

        def book(self, city: str) -> dict[str, Any]:
            if city in failing:
                raise Fail(city)
            return {"ticket": city.upper()}

        def unbook(self) -> None:
            done.append((self.undoing.item, self.undoing.completed, self.undoing.result))

    with sandbox(machines=[Tour]) as box:
        failing.add("oslo")
        tour = Tour.start("1", cities=["rome", "oslo", "bonn"])
        box.run()
        assert tour.refresh().state == "undone"
        assert sorted(done) == [
            ("bonn", True, {"ticket": "BONN"}),
            ("oslo", False, None),
            ("rome", True, {"ticket": "ROME"}),
        ]


def test_an_undo_of_a_fan_out_may_take_the_item_as_its_job_does() -> None:
    class Crates(Machine):
        initial = "packing"
        states = [State("packing", job="pack", each="crates", undo="unpack"), State("packed", final=True)]
        transitions = [["done", "packing", "packed"]]

        def pack(self, crate: str) -> str:
            return crate.upper()

        def unpack(self, crate: str) -> None:
            done.append((crate, self.item, self.undoing.result))

    with sandbox(machines=[Crates]) as box:
        crates = Crates.start("1", crates=["a", "b"])
        box.run()
        crates.refresh().undo()
        box.run()
        assert crates.refresh().state == "undone"
        assert sorted(done) == [("a", "a", "A"), ("b", "b", "B")]


def test_an_undo_whose_worker_dies_runs_again() -> None:
    with sandbox(machines=[Trip]) as box:
        failing.add("flight")
        box.crash("unbook")
        trip = Trip.start("1")
        trip.go()
        box.run()
        assert trip.refresh().state == "undone"
        assert done[3:] == ["cancel flight None False", "cancel hotel hotel-1 True", "cancel car car-1 True"]


def test_skip_takes_the_way_of_done() -> None:
    with sandbox(machines=[Trip]) as box:
        trip = Trip.start("1")
        with pytest.raises(TransitionNotAllowed, match="only a step that has failed can be skipped") as refused:
            trip.skip()
        assert refused.value.allowed == ("go", "cancel")
        trip.force("failed_from_checking", reason="drill")
        assert trip.phase == "failed"
        trip.skip(actor="alice")
        assert trip.state == "booking_flight"
        box.run()
        assert trip.refresh().state == "booked"
        assert [entry.kind for entry in trip.history[1:3]] == ["forced", "skipped"]


def test_rewind_goes_to_where_it_has_been_with_a_new_key() -> None:
    keys: list[str] = []

    class Keyed(Trip):
        name = "keyed"

        def check(self) -> None:
            keys.append(self.idempotency_key)

    with sandbox(machines=[Keyed]) as box:
        trip = Keyed.start("1")
        with pytest.raises(TransitionNotAllowed, match="it has not been in 'checking'"):
            trip.rewind("checking")
        with pytest.raises(UnknownState):
            trip.force("chekcing")
        trip.go()
        box.run()
        assert trip.refresh().state == "booked"
        trip.rewind("checking", actor="alice", reason="once more")
        entry = trip.history[-1]
        assert (entry.kind, entry.source, entry.dest, entry.actor) == ("rewound", "booked", "checking", "alice")
        box.run()
        assert trip.refresh().state == "booked"
        assert len(set(keys)) == 2
        with pytest.raises(TransitionNotAllowed, match="a state that fsmflow makes"):
            trip.force("failed_from_checking").rewind("failed_from_checking")


def test_force_enters_any_state_and_starts_its_job() -> None:
    with sandbox(machines=[Trip]) as box:
        trip = Trip.start("1")
        trip.cancel()
        trip.force("checking", reason="was a mistake")
        box.run()
        assert trip.refresh().state == "booked"
        assert trip.history[2].reason == "was a mistake"


def test_adoption_runs_no_job_until_it_is_resumed() -> None:
    with sandbox(machines=[Trip]) as box:
        trip = Trip.start("1", state="booking_flight", car="c")
        box.run()
        assert (trip.refresh().state, trip.phase, done) == ("booking_flight", "waiting", [])
        trip.resume()
        box.run()
        assert trip.refresh().state == "booked"
        failed = Trip.start("2", state="failed_from_checking")
        assert failed.phase == "failed"
        failed.retry()
        box.run()
        assert failed.refresh().state == "booked"
        with pytest.raises(UnknownState):
            Trip.start("3", state="flying")


def test_retry_with_edited_data_or_a_new_key() -> None:
    keys: list[tuple[str, Any]] = []

    class Paying(Machine):
        initial = "paying"
        states = [State("paying", job="pay"), State("paid", final=True)]
        transitions = [["done", "paying", "paid"]]

        def pay(self) -> None:
            keys.append((self.idempotency_key, self.data["card"]))
            raise Fail("declined")

    with sandbox(machines=[Paying]) as box:
        paying = Paying.start("1", card="a")
        box.run()
        paying.refresh().retry(data={"card": "b"})
        box.run()
        paying.refresh().retry(new_key=True)
        box.run()
        first, second, third = keys
        assert (first[0], second) == (second[0], (first[0], "b"))
        assert third[0] != first[0]
