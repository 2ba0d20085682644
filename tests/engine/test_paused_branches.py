"""A branch that failed while its parent was paused, and is retried by its address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow import Machine, State
from fsmflow.testing import Sandbox, sandbox
from tests.support.concurrency import by_others
from tests.support.traces import failing, ran


class Parcel(Machine):
    initial = "packing"
    states = [State("packing", job="pack", each="lines"), State("packed", final=True)]
    transitions = [["done", "packing", "packed"]]

    def pack(self, line: int) -> None:
        if "pause" in failing:
            failing.discard("pause")
            by_others(Parcel.get("1")).pause()
        if line in failing:
            raise ValueError(f"line {line} is torn")
        ran.append(line)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Parcel]) as made:
        yield made


@pytest.fixture
def parcel(box: Sandbox) -> Parcel:
    """Paused by somebody while the first of its branches ran, which has failed since."""
    failing.update(("pause", 0))
    made = Parcel.start("1", lines=[0, 1])
    box.run()
    failing.clear()
    assert [branch.state for branch in made.branches] == ["failed_from_packing", "packing"]
    return made


def test_it_waits_for_the_end_of_the_pause_and_goes_on_with_the_others(box: Sandbox, parcel: Parcel) -> None:
    Parcel.get("1/packing/0").retry()
    box.run()
    assert ran == []
    parcel.resume()
    box.run()
    assert (parcel.refresh().state, sorted(ran)) == ("packed", [0, 1])


def test_it_goes_on_where_the_pause_has_ended_while_it_rested(box: Sandbox, parcel: Parcel) -> None:
    parcel.resume()
    box.run()
    assert (parcel.refresh().state, ran) == ("failed_from_packing", [1])
    Parcel.get("1/packing/0").retry()
    box.run()
    assert (parcel.refresh().state, ran) == ("packed", [1, 0])
