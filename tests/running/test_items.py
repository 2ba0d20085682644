"""What a method gives for the branches of a step, and how it is told where that is no list of items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fsmflow import Fail, Failure, Machine, Retry, RetryAfter, State
from fsmflow.testing import sandbox


def packing(given: Callable[[], Any], **options: Any) -> type[Machine]:
    """A machine whose first state packs what ``given`` gives."""

    class Order(Machine):
        initial = "packing"
        states = [State("packing", job=lambda order, item: item, each="lines", **options), State("packed", final=True)]
        transitions = [["done", "packing", "packed"]]

        def lines(self) -> Any:
            return given()

    return Order


def failure_of(given: Callable[[], Any], **options: Any) -> Failure:
    """How an order ends whose lines are what ``given`` gives."""
    machine = packing(given, **options)
    with sandbox(machines=[machine]) as box:
        order = machine.start("1")
        box.run()
        assert order.refresh().state == "failed_from_packing"
        assert order.failure is not None
        return order.failure


async def _one_by_one() -> Any:
    yield 1


def _raising() -> Any:
    raise KeyError("lines")


def _breaking_off() -> Iterator[int]:
    yield 1
    raise ConnectionError("the shop is away")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "gave None; it gives a list of items, or yields them"),
        ("tea, milk", "gave 'tea, milk'; it gives a list of items"),
        (b"tea", "gave b'tea'; it gives a list of items"),
        (bytearray(b"tea"), "gave bytearray(b'tea'); it gives a list of items"),
        ({"tea": 1}, "gave {'tea': 1}; it gives a list of items"),
        ({"tea"}, "gave {'tea'}; a set has no order: it gives a list of items"),
        (frozenset({7}), "gave frozenset({7}); a set has no order"),
        (5, "gave 5; it gives a list of items"),
        (True, "gave True; it gives a list of items"),
        (_one_by_one, "it gives a list of items, or yields them"),
        ([1, {"box": object}], "gave an item that cannot be stored: item 1"),
        (lambda: (item for item in [1, {2}]), "gave an item that cannot be stored: item 1 is {2} (set)"),
    ],
)
def test_a_method_that_gives_no_items_is_named_with_what_it_gave(given: Any, told: str) -> None:
    failure = failure_of(given if callable(given) else lambda: given)
    assert failure.error_type == "MethodError"
    assert failure.message.startswith("order:1: each= of 'packing' asked 'lines', which ")
    assert told in failure.message


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        (_raising, "KeyError", "raised KeyError: 'lines'"),
        (_breaking_off, "ConnectionError", "raised ConnectionError: the shop is away"),
    ],
)
def test_a_method_that_raises_is_named_and_what_it_raised_is_recorded(
    given: Callable[[], Any], kind: str, told: str
) -> None:
    failure = failure_of(given)
    assert failure.error_type == kind
    assert failure.message == f"order:1: each= of 'packing' asked 'lines', which {told}"
    assert given.__name__ in failure.traceback


def test_what_a_method_raises_is_retried_as_the_policy_says() -> None:
    left = [ConnectionError("away"), RetryAfter(5)]

    def given() -> list[int]:
        if left:
            raise left.pop(0)
        return [1, 2]

    machine = packing(given, retry=Retry(1, 5, on=ConnectionError))
    with sandbox(machines=[machine]) as box:
        order = machine.start("1")
        box.advance(minutes=1)
        assert order.refresh().state == "packed"


def test_a_method_that_fails_for_good_says_so_in_its_own_words() -> None:
    def given() -> Any:
        raise Fail("nothing was ordered")

    failure = failure_of(given, retry=Retry(3, 1))
    assert (failure.error_type, failure.message, failure.attempts) == ("Fail", "nothing was ordered", 1)
