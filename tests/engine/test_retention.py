"""What is finished goes once it was kept long enough: as a whole tree, and never what somebody still waits for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar
from unittest.mock import patch

import pytest

from fsmflow import Actor, DatabaseUnavailable, DataError, DefinitionError, Machine, NotPermitted, State
from fsmflow.engine.retention import Pruned, forget_keys, prune
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, WORK
from fsmflow.testing import Sandbox
from fsmflow.verify import verify
from tests.support.families import Batch, Child, Family
from tests.support.interruptions import after_nth
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing

__all__ = ["every_database"]  # a fixture

pytestmark = pytest.mark.usefixtures("every_database")
DAYS = timedelta(days=30)


class Short(Machine):
    """It is finished at once, asks others, and may be told."""

    initial = "new"
    retention: ClassVar[Any] = DAYS
    key_retention: ClassVar[Any] = timedelta(days=7)
    states = ["new", State("over", final=True)]
    transitions = [
        ["end", "new", "over"],
        {"trigger": "note", "source": "new", "dest": None},
        {"trigger": "tell", "source": "new", "dest": "over", "before": "send_out"},
    ]

    def send_out(self) -> None:
        self.send("note", to=self.event.payload["to"], after=self.event.payload.get("after"))


class KeptBatch(Batch):
    retention = DAYS


class KeptFamily(Family):
    name = "kept_family"
    retention = DAYS


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Short, Batch, KeptBatch, KeptFamily, Child]) as box:
        yield box
        report = verify(box._runtime.store, box._runtime.machines.all(), strict=True)
        assert report.holds, str(report)


def counts(box: Sandbox) -> dict[str, int]:
    """How many rows there are of each table."""
    link = box._runtime.store.link
    return {name: int(link.query(f"SELECT COUNT(*) FROM {name}")[0][0]) for name in (ENTITY, HISTORY, EVENT, WORK)}


def advance(box: Sandbox, **units: float) -> None:
    """Let time pass; then maintenance deletes a little at each sweep, until it has nothing more to do."""
    box.advance(**units)
    for _ in range(200):
        box.run()
        if box._maintenance._retention._pass is None:
            return
    raise AssertionError("a pass over some rows does not end")


def passed(box: Sandbox, machine: type[Machine], **kept: timedelta) -> Pruned:
    """What one pass deletes."""
    found = prune(
        box._runtime,
        box._runtime.machines.get(machine.name),
        {state: round(span.total_seconds() * 1000) for state, span in kept.items()},
    )
    return sum(found, Pruned())


def test_what_is_finished_goes_after_its_retention_and_not_before(box: Sandbox) -> None:
    Short.start("a").trigger("end", key="k")
    Short.start("b")
    advance(box, days=29)
    Short.start("c").trigger("end")
    assert [one.entity_id for one in Short.find()] == ["a", "b", "c"]
    advance(box, days=2)
    assert [one.entity_id for one in Short.find()] == ["b", "c"]
    assert box._runtime.store.retention.accounts()["short"].entities == 1


def test_a_tree_goes_with_all_of_its_branches_and_children(box: Sandbox) -> None:
    KeptBatch.start("a", lines=["x", "y", "z"]).trigger("go")
    KeptFamily.start("f", children=[{"item": 1}, {"item": 2}])
    box.run()
    assert counts(box)[ENTITY] == 7
    advance(box, days=31)
    assert counts(box) == {ENTITY: 0, HISTORY: 0, EVENT: 0, WORK: 0}
    accounts = box._runtime.store.retention.accounts()
    assert (accounts["kept_batch"].trees, accounts["kept_batch"].entities) == (1, 4)
    assert (accounts["kept_family"].trees, accounts["kept_family"].entities) == (1, 3)


def test_a_child_goes_with_its_root_only(box: Sandbox) -> None:
    KeptFamily.start("f", children=[{"item": 1}])
    box.run()
    assert passed(box, Child, over=timedelta()) == Pruned()
    advance(box, days=10)
    assert passed(box, KeptFamily, raised=timedelta(days=9)) == Pruned(trees=1, entities=2)


def test_what_has_failed_stays_and_so_does_the_tree_that_it_belongs_to(box: Sandbox) -> None:
    failing.add("y")
    KeptBatch.start("a", lines=["x", "y"]).trigger("go")
    box.run()
    assert KeptBatch.get("a").phase == "failed"
    advance(box, days=400)
    assert counts(box)[ENTITY] == 3


def test_a_root_whose_child_goes_by_itself_waits_for_that(box: Sandbox) -> None:
    KeptFamily.start("f", children=[{"item": 1}])
    box.run()
    child = next(Child.find(branches=True))
    child.force("busy")
    failing.add(1)
    box.run()
    assert child.refresh().phase == "failed"
    advance(box, days=31)
    assert counts(box)[ENTITY] == 2
    child.cancel()
    advance(box, days=29)
    assert counts(box)[ENTITY] == 2
    advance(box, days=2)
    assert counts(box)[ENTITY] == 0


def test_what_has_sent_something_that_is_on_its_way_stays_until_that_has_arrived(box: Sandbox) -> None:
    Short.start("addressee")
    Short.start("sender").trigger("tell", to="short:addressee", after=timedelta(days=60).total_seconds())
    advance(box, days=59)
    assert [one.entity_id for one in Short.find()] == ["addressee", "sender"]
    advance(box, days=2)
    assert [one.entity_id for one in Short.find()] == ["addressee"]
    assert Short.get("addressee").history[-1].trigger == "note"


def test_one_that_is_brought_back_to_life_meanwhile_survives_whole(box: Sandbox) -> None:
    KeptBatch.start("a", lines=["x", "y"]).trigger("go")
    KeptBatch.start("b", lines=["x"]).trigger("go")
    box.run()
    advance(box, days=10)
    store = box._runtime.store.retention
    with after_nth(store, "trees", 1, lambda: KeptBatch.get("a").rewind("packing")):
        assert passed(box, KeptBatch, shipped=timedelta(days=9)) == Pruned(trees=1, entities=2)
    assert [one.entity_id for one in KeptBatch.find()] == ["a"]
    box.run()
    assert KeptBatch.get("a").state == "shipped"


def test_a_branch_that_an_operator_places_meanwhile_keeps_its_tree(box: Sandbox) -> None:
    KeptFamily.start("f", children=[{"item": 1}, {"item": 2}])
    box.run()
    advance(box, days=10)
    child = next(Child.find(branches=True))
    with after_nth(box._runtime.store.retention, "trees", 1, lambda: child.force("busy")):
        assert passed(box, KeptFamily, raised=timedelta(days=9)) == Pruned()
    assert counts(box)[ENTITY] == 3
    box.run()


def test_a_key_goes_after_its_retention_and_the_request_counts_as_new_then(box: Sandbox) -> None:
    one = Short.start("a")
    one.trigger("note", key="first")
    advance(box, days=6)
    assert one.trigger("note", key="first").repeated
    one.trigger("note", key="second")
    advance(box, days=2)
    assert not one.trigger("note", key="first").repeated
    assert one.trigger("note", key="second").repeated


def test_a_key_that_is_not_noted_is_a_fault_where_it_was_not_old_enough_to_go(box: Sandbox) -> None:
    one = Short.start("a")
    one.trigger("note", key="first")
    advance(box, days=8)
    one.trigger("note", key="second")
    runtime = box._runtime
    assert sum(forget_keys(runtime, {"short": 86_400_000})) == 0
    link = runtime.store.link
    sql = f"DELETE FROM {EVENT} WHERE kind = 'key'"
    assert len(link.query(f"SELECT id FROM {EVENT}")) == 1
    kept = link.query(f"SELECT * FROM {EVENT}")[0]
    link.write(lambda: link.execute(sql))
    report = verify(runtime.store, runtime.machines.all(), strict=True)
    assert [violation.invariant for violation in report.violations] == ["key-recorded"]
    assert "second" in report.violations[0].what
    marks = ", ".join([link.mark] * len(kept))
    link.write(lambda: link.execute(f"INSERT INTO {EVENT} VALUES ({marks})", kept))


def test_an_id_that_is_used_again_stands_for_the_same_thing(box: Sandbox) -> None:
    """Its keys are those of the one that is gone: the outside takes them for the same, as decision 26 says."""
    first = KeptBatch.start("a", lines=["x"])
    first.trigger("go")
    name = first.refresh()._view.snapshot.step_name
    advance(box, days=31)
    second = KeptBatch.start("a", lines=["x"])
    second.trigger("go")
    assert second.refresh()._view.snapshot.step_name == name
    assert [entry.seq for entry in second.history] == [1, 2]


def test_no_row_gets_the_number_of_one_that_is_gone(box: Sandbox) -> None:
    link = box._runtime.store.link
    Short.start("a").trigger("end")
    ((row,),) = link.query(f"SELECT id FROM {ENTITY}")
    advance(box, days=31)
    Short.start("b")
    ((other,),) = link.query(f"SELECT id FROM {ENTITY}")
    assert other > row


def test_each_final_state_may_have_its_own(box: Sandbox) -> None:
    class Own(Machine):
        initial = "new"
        retention: ClassVar[Any] = {"rejected": timedelta(days=7), "cancelled": 86_400}
        states = ["new", State("rejected", final=True), State("paid", final=True)]
        transitions = [["reject", "new", "rejected"], ["pay", "new", "paid"]]

    with sandbox(machines=[Own]) as own:
        Own.start("a").trigger("reject")
        Own.start("b").trigger("pay")
        Own.start("c").cancel()
        advance(own, days=2)
        assert [one.entity_id for one in Own.find()] == ["a", "b"]
        advance(own, days=6)
        assert [one.entity_id for one in Own.find()] == ["b"]


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"retention": "90d"}, "retention='90d'; it takes seconds or a timedelta of at least 1 s"),
        ({"retention": 0}, "retention=0; it takes seconds"),
        ({"retention": {"new": 90}}, "'new' is not final"),
        ({"retention": {"ovr": 90}}, "unknown state 'ovr'; did you mean 'over'?"),
        ({"retention": {"over": -1}}, "retention['over']=-1"),
        ({"key_retention": timedelta()}, "key_retention="),
    ],
)
def test_what_is_no_retention_is_refused(declared: dict[str, Any], told: str) -> None:
    body = {"states": ["new", State("over", final=True)], "transitions": [["end", "new", "over"]], "initial": "new"}
    with pytest.raises(DefinitionError) as caught:
        type("Wrong", (Machine,), {**body, **declared})
    assert told in str(caught.value)


def test_a_failure_group_has_no_sample_of_what_is_gone(box: Sandbox) -> None:
    failing.add("x")
    for id_ in ("a", "b"):
        Batch.start(id_, lines=["x"]).trigger("go")
        box.run()
    store = box._runtime.store
    assert {group.sample for group in store.groups.all()} == {"batch:a", "batch:a/packing/0"}
    Batch.get("a").cancel()
    box.advance(days=2)
    assert Batch.prune(older=timedelta(days=1)) == 1
    assert {group.sample for group in store.groups.all()} == {"batch:b", "batch:b/packing/0"}
    Batch.get("b").cancel()
    box.advance(days=2)
    assert Batch.prune(older=timedelta(days=1)) == 1
    assert {(group.sample, group.message) for group in store.groups.all()} == {("", "(its sample was deleted)")}


def test_a_machine_prunes_on_demand_and_says_how_many_went(box: Sandbox) -> None:
    Batch.start("a", lines=["x", "y"]).trigger("go")
    Batch.start("b", lines=["x"]).trigger("go")
    box.run()
    advance(box, days=2)
    assert Batch.prune(older=timedelta(days=3)) == 0
    assert Batch.prune(older=timedelta(days=1), dry_run=True) == 2
    assert counts(box)[ENTITY] == 5
    assert Batch.prune(older=86_400) == 2
    assert counts(box) == {ENTITY: 0, HISTORY: 0, EVENT: 0, WORK: 0}
    with pytest.raises(DataError, match="says no retention"):
        Batch.prune()
    with pytest.raises(DataError, match="older is '1d'"):
        Batch.prune(older="1d")  # type: ignore[arg-type]


def test_what_goes_wrong_is_logged_and_tried_again(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    Short.start("a").trigger("end")
    with patch.object(box._runtime.store.retention, "finished", side_effect=DatabaseUnavailable("a deadlock")):
        box.advance(days=31)
    assert "retention.failed: DatabaseUnavailable: a deadlock; it is tried again" in caplog.text
    assert counts(box)[ENTITY] == 1
    advance(box, minutes=2)
    assert counts(box)[ENTITY] == 0


def test_pruning_is_open_to_whom_the_machine_says(box: Sandbox) -> None:
    class Closed(Batch):
        operators: ClassVar[Any] = {"prune": "lead"}

    with sandbox(machines=[Closed]) as closed:
        Closed.start("1").cancel()
        advance(closed, days=2)
        with pytest.raises(NotPermitted, match="'prune' needs an actor with one of the roles lead"):
            Closed.prune(older=1, actor="ann")
        assert Closed.prune(older=1, actor="ann", dry_run=True) == 1
        assert Closed.prune(older=1, actor=Actor("ann", {"lead"})) == 1


def test_ticks_whose_entities_may_have_been_pruned_are_not_made_up_for(box: Sandbox) -> None:
    class Hourly(Machine):
        initial = "new"
        schedule: ClassVar[Any] = "0 * * * *"
        states = [State("new", delay=60), State("over", final=True)]
        transitions = [["done", "new", "over"]]

    with sandbox(machines=[Hourly]) as hourly:
        begin = hourly.now
        advance(hourly, hours=5)
        assert Hourly.prune(older=timedelta(hours=3)) > 0
        with pytest.raises(DataError, match="have been pruned"):
            Hourly.backfill_schedule(begin)
        assert Hourly.backfill_schedule(hourly.now - timedelta(hours=2)) == []
