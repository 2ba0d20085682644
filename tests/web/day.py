"""A day of the bakery, as it stands when somebody on call looks: what has arrived, what failed in two groups, what
waits for people, and what is held. Made by the real engine, whose clock the bench moves on to now."""

from __future__ import annotations

from fsmflow import Actor, holds, repairs
from fsmflow.definition.names import OPERATIONS
from tests.support.bench import Bench
from tests.web.bakery import Closing, Order, Payout

MANAGER = Actor("mia", ("manager", "operator"), teams="*")
NAMES = ("Ada Byron", "Grace Hopper", "Alan Kay", "Barbara Liskov", "Tony Hoare", "Edsger Dijkstra")
HOUR = 3600


def live_through(bench: Bench) -> None:
    """Nine hours, of which the last minute is now."""
    now = bench.clock.ms
    bench.clock.ms -= 9 * HOUR * 1000
    _orders(bench)
    _failures(bench)
    _late(bench)
    bench.clock.ms = max(bench.clock.ms, now)
    bench.sweep()


def order(number: int, /, **data: object) -> Order:
    """An order that is submitted."""
    named = {"customer": NAMES[number % len(NAMES)], "amount": 18 + 7 * (number % 9), "card": f"tok_{number}"}
    made: Order = Order.start(str(number), named | data)
    made.trigger("submit")
    return made


def _orders(bench: Bench) -> None:
    """Some that have arrived, one that was rejected, and some that wait for a manager."""
    for number in range(1001, 1013):
        order(number)
    bench.run()
    for number in range(1001, 1009):
        Order.get(str(number)).trigger("approve", actor=MANAGER)
    bench.run()
    Order.get("1009").trigger("reject", actor=MANAGER, reason="the address is a car park")
    Closing.run_schedule()
    bench.run()
    bench.advance(2 * HOUR)


def _failures(bench: Bench) -> None:
    """Ten in two groups, and one of whose branches one failed."""
    for number in range(1021, 1027):
        order(number, bank="closed")
    bench.run()
    bench.advance(3 * HOUR)
    for number in range(1031, 1035):
        order(number, card=None)
    order(1041, oven="cold", customer="The tea rooms at the old harbour wall", note="ring twice; the bell is slow")
    bench.run()
    Order.get("1041").trigger("approve", actor=MANAGER, reason="they always pay")
    bench.run()
    bench.advance(2 * HOUR)


def _late(bench: Bench) -> None:
    """A repair that stopped by itself, payouts to decide on, a hold, and orders that it keeps back."""
    repair = repairs.start(
        machine="order",
        phase="failed",
        error="ConnectionError",
        canary=2,
        actor=MANAGER,
        reason="the bank is open again",
    )
    for _ in range(6):
        bench.run("default", OPERATIONS)
        bench.advance(5)
        if repair.refresh().state == "stopped":
            break
    Payout.start("mill-11", {"supplier": "The mill", "amount": 940, "iban": "AT61 1904 3002 3457 3201"})
    bench.advance(HOUR)
    Payout.start("dairy-4", {"supplier": "Dairy on the hill", "amount": 318, "iban": "AT48 3200 0000 1234 5864"})
    order(1051, amount=240)
    bench.run()
    holds.hold(machine="order", state="delivery", where={"amount": 39}, actor=MANAGER, reason="van in the workshop")
    for number in (1010, 1011):
        Order.get(str(number)).trigger("approve", actor=MANAGER)
    bench.run()
    Order.get("1012").pause(actor=MANAGER, reason="the customer has a question")
    Order.start("1061", {"customer": NAMES[0], "amount": 31})
