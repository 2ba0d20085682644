"""Many that begin together begin as each would by itself."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import Actor, DataError, Machine, State, Tell
from fsmflow.decision.cohort import Cohort, begins_alike
from fsmflow.decision.entity import Place, Standing
from fsmflow.decision.start import begin
from tests.support.walk import NOW, definition_of

PLAIN = ["waits", "busy", "timed", "undone_later", "over", "fans"]
ASKED = ["asks_queue", "asks_priority", "asks_delay", "calls"]

_REACHED = ["timed", "undone_later", "fans", *ASKED]


class Crowd(Machine):
    """Each state has something that might differ between two entities."""

    initial = "waits"
    search = ["n"]
    redact = ["card"]
    states = [
        State("waits", timeout=60),
        State("busy", job="work", queue="slow", priority="high"),
        State("timed", job="work", within=90),
        State("undone_later", job="work", undo="work"),
        State("fans", job="work", each="n"),
        State("asks_queue", job="work", queue="place_of"),
        State("asks_priority", job="work", priority="rank_of"),
        State("asks_delay", delay="time_of"),
        State("calls", on_enter="count"),
        State("over", final=True),
    ]
    transitions = [["timeout", "waits", "busy"], *[[name, "waits", name] for name in _REACHED], ["done", "*", "over"]]

    def work(self, *parts: Any) -> None:
        """Nothing is done here."""

    def place_of(self) -> str:
        return f"q{self.data['n']}"

    def rank_of(self) -> str:
        return "low" if self.data["n"] else "high"

    def time_of(self) -> int:
        return 5 + int(self.data["n"])

    def count(self) -> None:
        self.data["n"] += 1


class Told(Machine):
    """Somebody is told of each that begins."""

    initial = "new"
    states = ["new", State("over", final=True)]
    transitions = [["end", "new", "over"]]
    tell = {"new": Tell("shop", fields=["n"])}


def born(number: int, card: str = "1") -> tuple[str, dict[str, Any]]:
    return f"ä{number}", {"n": number, "card": card}


@pytest.mark.parametrize("state", [None, *PLAIN, *ASKED])
def test_each_of_a_cohort_begins_as_it_would_by_itself(state: str | None) -> None:
    definition, actor = definition_of(Crowd), Actor("import")
    cohort = Cohort(definition, actor, state=state)
    for number in range(3):
        alone = begin(definition, *born(number), actor, None, NOW, state=state)
        assert cohort.begin(*born(number), NOW) == alone


def test_callbacks_are_called_for_each() -> None:
    class Called(Machine):
        initial = "calls"
        states = [State("calls", on_enter="count"), State("over", final=True)]
        transitions = [["end", "calls", "over"]]

        def count(self) -> None:
            self.data["n"] += 1

    cohort = Cohort(definition_of(Called))
    assert [cohort.begin(*born(number), NOW).after.data["n"] for number in range(3)] == [1, 2, 3]


def test_each_is_told_of_with_its_own_data() -> None:
    definition = definition_of(Told)
    cohort = Cohort(definition)
    for number in range(3):
        assert cohort.begin(*born(number), NOW) == begin(definition, *born(number), None, None, NOW)


def test_what_asks_nobody_is_decided_once() -> None:
    definition = definition_of(Crowd)
    assert [name for name in [*PLAIN, *ASKED] if begins_alike(definition, name)] == PLAIN
    assert not begins_alike(definition_of(Told), None)


def test_branches_begin_each_in_its_place() -> None:
    definition = definition_of(Crowd).branches["fans"]
    cohort = Cohort(definition)
    for index, standing in enumerate([*[Standing.ACTIVE] * 3, *[Standing.QUEUED] * 3]):
        place = Place(
            parent=5, parent_step=2, parent_index=index, branch_of="fans", item_text=str(index), standing=standing
        )
        alone = begin(definition, f"1/fans/{index}", {}, None, None, NOW, place=place)
        assert cohort.begin(f"1/fans/{index}", {}, NOW, place) == alone


def test_a_later_moment_is_a_moment_of_its_own() -> None:
    cohort = Cohort(definition_of(Crowd))
    found = [cohort.begin(*born(1), NOW + later).after.created_at - NOW for later in (0, 99, 100, 150, 50)]
    assert found == [0, 0, 100, 100, 50]


def test_a_later_one_is_refused_for_its_data_in_the_same_words() -> None:
    definition = definition_of(Crowd)
    cohort = Cohort(definition)
    cohort.begin(*born(0), NOW)
    bad = ("1", {"n": {1}, "card": "4711"})
    with pytest.raises(DataError) as alone:
        begin(definition, *bad, None, None, NOW)
    with pytest.raises(DataError) as among:
        cohort.begin(*bad, NOW)
    assert str(among.value) == str(alone.value)
