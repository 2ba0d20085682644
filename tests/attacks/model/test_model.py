"""The protocol, explored: every order of steps and faults within small bounds, and protocols that lack one thing.

``python -m tests.attacks.model --deep`` explores wider bounds and prints the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import pytest
from peewee import SqliteDatabase

from fsmflow.store.columns import GUARD_COLUMNS
from fsmflow.store.link import Link
from fsmflow.store.statements import Statements
from tests.attacks.model.catalogue import RIGHT, WRONG, Case
from tests.attacks.model.exploration import STUCK, Step, explore
from tests.attacks.model.rows import RIGHT as RIGHT_RULES
from tests.attacks.model.steps import Steps
from tests.support.paths import ROOT


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_whatever_fails_every_invariant_holds_and_an_end_can_be_reached(case: Case) -> None:
    report = explore(case.model())
    assert report.violation is None, str(report)
    assert report.is_whole


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_protocol_that_lacks_something_is_found_wrong(case: Case) -> None:
    report = explore(case.model())
    assert report.violation is not None, f"nothing was found: {report}"
    assert report.violation.invariant == case.breaks, str(report)


def test_the_page_says_how_many_are_found() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert f"{len(WRONG)} wrong protocols must be found" in page
    assert f"{len(WRONG)} of {len(WRONG)} wrong protocols found" in page


def test_the_model_asks_for_what_the_code_asks_for() -> None:
    assert {"entity", *RIGHT_RULES.guard} == set(GUARD_COLUMNS)
    assert RIGHT_RULES.claim_asks == ("epoch", "attempt", "free", "not held")
    claim = Statements(Link(SqliteDatabase(":memory:"), own=True)).claim
    for asked in ("epoch = ?", "attempt = ?", '"owner" IS NULL', "held IS NULL"):
        assert asked in claim


def test_a_violation_is_told_by_the_shortest_way_to_it_in_words() -> None:
    report = explore(Steps(RIGHT_RULES._replace(guard=("epoch", "attempt", "fence")), database_crashes=1))
    assert str(report.violation) == "\n".join(
        [
            "broken: 3: who has lost the claim changes nothing",
            "   1. a worker takes the doorbell of attempt 1 of epoch 1",
            "   2. a worker claims attempt 1 of epoch 1",
            "   3. the job returns",
            "   4. CRASH of the database, which loses what was not durable",
            "   5. the sweeper rings for attempt 1 of epoch 1",
            "   6. a worker takes the doorbell of attempt 1 of epoch 1",
            "   7. a worker claims attempt 1 of epoch 1",
            "   8. its job has returned: committed",
        ]
    )


class Hill:
    """Goes up by one or two at a time; from the top it falls, and whoever has fallen stays."""

    def __init__(self, top: int) -> None:
        self._top = top

    @property
    def invariants(self) -> Mapping[str, Callable[[int], bool]]:
        return {"nobody is above the clouds": lambda height: height < 7}

    def starts(self) -> Iterable[int]:
        return (0,)

    def steps(self, height: int) -> Iterator[Step[int]]:
        if 0 <= height < self._top:
            yield Step("one up", height + 1)
            yield Step("two up", height + 2)
        yield Step("a fall", -1, is_fault=True)
        if height == -1:
            yield Step("a rescue", self._top, is_fault=True)

    def has_ended(self, height: int) -> bool:
        return height >= self._top


def test_the_explorer_finds_the_shortest_way() -> None:
    report = explore(Hill(6))
    assert report.violation is not None
    assert report.violation.trace == ("one up", "two up", "two up", "two up")


def test_who_can_be_saved_by_a_fault_alone_is_stuck() -> None:
    report = explore(Hill(3))
    assert report.violation == (STUCK, ("a fall",))


def test_a_limit_that_was_reached_is_told() -> None:
    report = explore(Hill(5), limit=3)
    assert not report.is_whole
    assert "so far; the limit was reached" in str(report)
