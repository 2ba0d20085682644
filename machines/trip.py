"""A trip of a car, a hotel and a flight: all are booked, or none (a saga).

Try it:

    fsmflow worker &
    fsmflow start trip rome budget:=500
    fsmflow start trip oslo budget:=100  # too little for the flight: hotel and car are cancelled
    fsmflow history trip:oslo
    fsmflow cancel trip:rome  # while it is booked: all three are cancelled
    ls .fsmflow/bookings/*  # the bookings that stand
"""

from pathlib import Path

from fsmflow import Fail, Machine, Retry, State

from .gateway import home

RETRY = Retry(max=2, interval=2)
FLIGHT_COSTS = 200


class Trip(Machine):
    """Book a car, a hotel and a flight; if one cannot be had, or the trip is cancelled, take back what was booked."""

    name = "trip"
    initial = "booking_car"
    on_failure = "undo"
    on_cancel = "undo"
    states = [
        State("booking_car", job="book_car", undo="cancel_car", retry=RETRY),
        State("booking_hotel", job="book_hotel", undo="cancel_hotel", retry=RETRY),
        State("booking_flight", job="book_flight", undo="cancel_flight", retry=RETRY),
        State("booked"),
        State("travelled", final=True),
    ]
    transitions = [
        ["done", "booking_car", "booking_hotel"],
        ["done", "booking_hotel", "booking_flight"],
        ["done", "booking_flight", "booked"],
        ["depart", "booked", "travelled"],
    ]

    def book_car(self) -> None:
        self.book("car")

    def cancel_car(self) -> None:
        self.call_off("car")

    def book_hotel(self) -> None:
        self.book("hotel")

    def cancel_hotel(self) -> None:
        self.call_off("hotel")

    def book_flight(self) -> None:
        if self.data["budget"] < FLIGHT_COSTS:
            raise Fail(f"a flight costs {FLIGHT_COSTS}, the budget is {self.data['budget']}")
        self.book("flight")

    def cancel_flight(self) -> None:
        self.call_off("flight")

    def booking(self, what: str) -> Path:
        return home() / "bookings" / f"trip-{self.entity_id}" / what

    def book(self, what: str) -> None:
        """A rerun books the same again: the agency tells it by the key."""
        self.booking(what).parent.mkdir(parents=True, exist_ok=True)
        self.booking(what).write_text(f"{self.idempotency_key}\n", encoding="utf-8")

    def call_off(self, what: str) -> None:
        """The step that failed is undone as well, as it may have booked: so there may be nothing to call off."""
        self.booking(what).unlink(missing_ok=True)
