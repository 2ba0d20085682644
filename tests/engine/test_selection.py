"""``Machine.find`` and the selections of the command line: one implementation, on every kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from fsmflow import DataError, Fail, Machine, State, UnknownState
from fsmflow.decision.terms import same
from fsmflow.engine.selection import Selection, filter_of, select
from fsmflow.store import listing
from tests.support.bench import Bench
from tests.support.machines import Trigger
from tests.support.terminal import Terminal

HOUR = 3_600


class Case(Machine):
    """Fails as its data says."""

    initial = "new"
    states = [
        "new",
        State("checking", job="check"),
        State("packing", job="pack", each="lines"),
        State("closed", final=True),
    ]
    transitions = [
        ["go", "new", "checking"],
        ["spread", "new", "packing"],
        ["done", "checking", "closed"],
        ["done", "packing", "closed"],
    ]
    go: Trigger
    spread: Trigger

    def check(self) -> None:
        raise Fail(self.data["error"]) if self.data["error"] != "slow" else TimeoutError("slow")

    def pack(self, item: Any) -> None:
        raise ValueError(f"no box for {item}")


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    bench = Bench(redis_url, machines=(Case,), database_url=database_url)
    yield bench
    bench.close()


@pytest.fixture
def cases(bench: Bench) -> Bench:
    """1 and 2 failed an hour before 3; 4 is new; 5 has failed in its two branches."""
    for number, error in (("1", "slow"), ("2", "declined"), ("3", "slow")):
        if number == "3":
            bench.advance(HOUR)
        Case.start(number, error=error, amount=int(number) * 500, customer={"city": "Ulm", "no": number}).go()
        bench.step()
    Case.start("4", amount=500)
    Case.start("5", lines=["a", "b"]).spread()
    for _ in range(3):
        bench.step()
    bench.sweep()
    assert Case.counts() == {"failed_from_checking": 3, "failed_from_packing": 1, "new": 1}
    return bench


def found(**wanted: Any) -> list[str]:
    return [case.entity_id for case in Case.find(**wanted)]


def test_find_takes_states_as_globs_and_the_newest_first(cases: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    assert found(state="failed_from_*") == ["1", "2", "3", "5"]
    assert found(state=["new", "*_checking"]) == ["1", "2", "3", "4"]
    assert found(newest=True) == ["5", "4", "3", "2", "1"]
    assert found(newest=True, phase="failed", limit=3) == ["5", "3", "2"]
    assert found(limit=0) == found(state=[]) == []
    with pytest.raises(UnknownState, match="did you mean 'failed_from_checking'"):
        Case.find(state="failed_from_chcking")


def test_find_takes_an_error_pattern(cases: Bench) -> None:
    assert found(error="Timeout*") == ["1", "3"]
    assert found(error="Fail: declined") == ["2"]
    assert found(error="timeout*") == []
    assert found(error="*", newest=True, limit=1) == ["5"]


def test_find_takes_an_age(cases: Bench) -> None:
    assert found(older=HOUR, state="failed_*") == ["1", "2"]
    assert found(older=timedelta(hours=2)) == []
    assert len(found(older=0)) == 5


def test_find_takes_values_of_data_at_any_depth(cases: Bench) -> None:
    assert found(data={"amount": 500}) == ["1", "4"]
    assert found(data={"amount": 500, "error": "slow"}) == ["1"]
    assert found(data={"amount": "500"}) == []
    assert found(data={"customer.city": "Ulm"}) == ["1", "2", "3"]
    assert found(data={"customer.no": "3", "customer.city": "Ulm"}) == ["3"]
    assert found(data={"customer": {"city": "Ulm", "no": "2"}}) == ["2"]
    assert found(data={"customer.city.name": "Ulm"}) == []
    assert found(data={"lines": ["a", "b"]}) == ["5"]


def test_find_leaves_out_branches_unless_asked(cases: Bench) -> None:
    assert found(error="ValueError*") == []
    assert found(error="ValueError*", branches=True) == ["5/packing/0", "5/packing/1"]
    branch = next(Case.find(state="failed_from_packing", branches=True, newest=True))
    assert (branch.address, branch.item) == ("case:5/packing/1", "b")
    assert len(found(branches=True)) == 7


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"older": "2h"}, "older is '2h'"),
        ({"older": -1}, "older is -1"),
        ({"phase": "workin"}, "did you mean 'working'"),
        ({"error": 5}, "error is 5"),
        ({"data": ["amount"]}, "data is"),
        ({"state": 5}, "a state is named by text"),
    ],
)
def test_find_names_what_it_cannot_take(redis_url: str, tmp_path: Any, wrong: dict[str, Any], why: str) -> None:
    bench = Bench(redis_url, machines=(Case,), database_url=f"sqlite:///{tmp_path}/x.db")
    try:
        with pytest.raises(DataError, match=why):
            Case.find(**wrong)
    finally:
        bench.close()


def test_the_command_line_selects_and_acts_on_every_database(
    cases: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Terminal(capsys, monkeypatch)
    wanted = Selection(machine="case", phase="failed", older_ms=HOUR * 1000)
    assert cases.runtime.store.listing.count(filter_of(cases.runtime, wanted)) == 2
    assert [item["entity_id"] for item in shell.json("list", "--newest", "--limit", "2")] == ["5", "4"]
    selection = ("--machine", "case", "--older", "1h", "--error", "Timeout*", "--where", "amount:=500")
    assert [item["state"] for item in shell.json("retry", *selection, "--dry-run")] == ["checking"]
    assert shell.ok("skip", *selection) == "case:1  failed_from_checking -> closed\n"
    assert shell.json("skip", *selection) == []
    assert shell.ok("force", "case:1", "checking") == "case:1  closed -> checking\n"
    assert shell.ok("rewind", "case:1", "new") == "case:1  checking -> new\n"
    assert shell.json("show", "5")["progress"] == {
        "done": 0,
        "failed": 2,
        "cancelled": 0,
        "running": 0,
        "total": 2,
    }
    assert [group["count"] for group in shell.json("failures")] == [1] * 3


def test_what_is_changed_while_it_is_read_is_met_once(cases: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 1)
    seen = []
    for snapshot in select(cases.runtime, Selection(machine="case", phase="failed")):
        seen.append(snapshot.entity_id)
        Case.get(snapshot.entity_id).cancel()
    assert seen == ["1", "2", "3", "5"]


@pytest.mark.parametrize(
    ("value", "wanted", "is_same"),
    [
        (1500, 1500.0, True),
        (1, True, False),
        (True, True, True),
        (0, False, False),
        ("1", 1, False),
        (None, None, True),
        ([1, True], [1, 1], False),
        ({"a": [1]}, {"a": [1.0]}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        (Decimal("1.50"), "1.50", True),
        (Decimal("1.50"), Decimal("1.5"), True),
        (date(2030, 1, 1), "2030-01-01", True),
        (datetime(2030, 1, 1, tzinfo=UTC), "2030-01-01T00:00:00+00:00", True),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001", True),
    ],
)
def test_values_are_compared_exactly(value: Any, wanted: Any, is_same: bool) -> None:
    assert same(value, wanted) is is_same
