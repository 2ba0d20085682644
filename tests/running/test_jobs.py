"""Jobs: what they see, what they change, and whose result counts."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow import Cancelled, DataError, Outcome, TransitionNotAllowed
from fsmflow.errors import DatabaseUnavailable, FsmflowError
from fsmflow.store.tables import ENTITY, WORK
from tests.support.bench import Bench
from tests.support.concurrency import by_others, meanwhile
from tests.support.machines import Counter, Order, play


def charging(**data: Any) -> Any:
    order = Order.start("1", **data)
    order.submit()
    return order


def work_row(bench: Bench) -> list[Any]:
    return bench.runtime.store.link.rows(f"SELECT * FROM {WORK}")


def rows(bench: Bench) -> list[list[str]]:
    """All that is known of all entities."""
    link = bench.runtime.store.link
    return [
        sorted(map(str, link.rows(f"SELECT * FROM fsmflow_{name}"))) for name in ("entity", "work", "history", "event")
    ]


def test_a_job_runs_once_the_state_is_entered_and_its_return_moves_the_entity_on(bench: Bench) -> None:
    order = charging(amount=3)
    play["charging"] = lambda machine: {"charge_id": "ch_1"}
    bench.step()
    assert (order.refresh().state, order.data) == ("shipping", {"amount": 3, "charge_id": "ch_1"})
    assert bench.queued() == []
    bench.step("slow")
    assert (order.refresh().state, order.phase) == ("shipped", "finished")
    assert [(entry.trigger, entry.source, entry.dest, entry.attempt) for entry in order.history[2:]] == [
        ("done", "charging", "shipping", 1),
        ("done", "shipping", "shipped", 1),
    ]
    assert all(entry.duration is not None and entry.duration >= 0 for entry in order.history[2:])
    assert work_row(bench) == []


def test_what_a_job_held_is_let_go_as_it_ends(bench: Bench) -> None:
    charging(amount=3)
    held: list[weakref.ref[Any]] = []
    play["charging"] = lambda machine: held.extend(map(weakref.ref, (machine, machine._view)))
    gc.disable()
    try:
        bench.step()
        assert [ref() for ref in held] == [None, None]
    finally:
        gc.enable()


def test_a_job_sees_the_entity_the_event_of_its_step_and_a_key_for_it(bench: Bench) -> None:
    seen: list[Any] = []

    def look(machine: Any) -> None:
        seen.append((machine.entity_id, machine.address, machine.state, machine.epoch, machine.attempt))
        seen.append((machine.event.trigger, machine.event.payload, machine.event.actor, machine.idempotency_key))
        machine.log.info("it %s", "works")

    play["charging"] = look
    order = Order.start("1")
    order.submit(actor="bob", card="visa")
    bench.step()
    key = f"{bench.runtime.store.installation}:order:1:charging.1"
    assert seen == [("1", "order:1", "charging", 2, 1), ("submit", {"card": "visa"}, "bob", key)]


def test_an_async_job_is_awaited(bench: Bench) -> None:
    order = Order.start("1")
    order.check()
    play["checking"] = lambda machine: {"checked": machine.state}
    bench.step()
    assert (order.refresh().state, order.data) == ("shipped", {"checked": "checking"})


def test_a_job_may_ask_for_another_trigger_than_done(bench: Bench) -> None:
    order = charging()
    play["charging"] = lambda machine: Outcome("declined", code=51)
    bench.step()
    assert (order.refresh().state, order.data) == ("rejected", {"code": 51})
    assert order.history[-1].trigger == "declined"


def test_a_settling_job_writes_only_the_keys_that_it_changed_and_they_win(bench: Bench) -> None:
    order = charging(kept=1, changed=1, removed=1, nested={"a": [1]}, notes=[])

    def act(machine: Any) -> dict[str, Any]:
        by_others(Order.get("1")).note(text="written while it ran")
        by_others(Order.get("1")).note(text="and again")
        machine.data["changed"] = 2
        machine.data["nested"]["a"].append(2)
        del machine.data["removed"]
        return {"returned": 3}

    play["charging"] = act
    bench.step()
    assert order.refresh().data == {
        "kept": 1,
        "changed": 2,
        "returned": 3,
        "nested": {"a": [1, 2]},
        "notes": ["written while it ran", "and again"],
    }
    assert order.state == "shipping"


def test_internal_transitions_and_saves_cost_a_running_job_nothing(bench: Bench) -> None:
    order = charging()
    rows_seen: list[Any] = []

    def act(machine: Any) -> None:
        rows_seen.append(work_row(bench))
        by_others(Order.get("1")).note(text="a")
        machine.data["saved"] = 1
        machine.save()
        by_others(Order.get("1")).note(text="b")
        rows_seen.append(work_row(bench))
        assert Order.get("1").data == {"notes": ["a", "b"], "saved": 1}
        assert Order.get("1").epoch == machine.epoch

    play["charging"] = act
    bench.step()
    assert rows_seen[0] == rows_seen[1]
    assert (order.refresh().state, order.data) == ("shipping", {"notes": ["a", "b"], "saved": 1})
    assert [entry.kind for entry in order.history][2:] == ["internal", "saved", "internal", "transition"]


def test_what_a_job_saved_stays_when_it_fails(bench: Bench) -> None:
    order = charging()

    def act(machine: Any) -> None:
        machine.data["page"] = 7
        machine.save()
        machine.data["page"] = 8
        raise LookupError("page 8 is missing")

    play["charging"] = act
    bench.step()
    assert (order.refresh().state, order.data) == ("failed_from_charging", {"page": 7})


def test_a_heartbeat_tells_how_far_the_job_is(bench: Bench) -> None:
    order = charging()

    def act(machine: Any) -> None:
        machine.heartbeat(progress=0.4)
        assert order.refresh().progress == 0.4
        assert "attempt 1 of job 'act' is running, 40% done" in str(order.explain())
        with pytest.raises(DataError):
            machine.heartbeat(progress=float("nan"))

    play["charging"] = act
    bench.step()
    assert (order.refresh().state, order.progress) == ("shipping", None)


def test_a_human_transition_beats_a_running_step(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    order = charging()
    seen: list[Any] = []

    def act(machine: Any) -> dict[str, str]:
        by_others(Order.get("1")).reject(actor="alice")
        seen.append(rows(bench))
        return {"too": "late"}

    play["charging"] = act
    bench.step()
    assert rows(bench) == seen[0], "a late result changes nothing, history included"
    assert (order.refresh().state, order.data, len(order.history)) == ("rejected", {}, 3)
    assert any(record.message.startswith("result.discarded: order:1: attempt 1") for record in caplog.records)
    assert bench.queued() == []


@pytest.mark.parametrize("ending", ["returns", "fails", "asks", "saves", "beats"])
def test_a_step_that_is_no_longer_wanted_changes_nothing_however_it_ends(bench: Bench, ending: str) -> None:
    charging()
    seen: list[Any] = []

    def act(machine: Any) -> Any:
        by_others(Order.get("1")).trigger("again")
        seen.append(rows(bench))
        machine.data["too"] = "late"
        if ending == "fails":
            raise RuntimeError("too late")
        if ending == "saves":
            machine.save()
        if ending == "beats":
            machine.heartbeat()
        return Outcome("declined") if ending == "asks" else None

    play["charging"] = act
    bench.step()
    assert rows(bench) == seen[0]


def test_a_job_that_saves_or_beats_learns_that_its_step_is_no_longer_wanted(bench: Bench) -> None:
    charging()
    learned: list[str] = []

    def act(machine: Any) -> None:
        by_others(Order.get("1")).cancel()
        for ask in (machine.heartbeat, machine.save):
            with pytest.raises(Cancelled) as cancelled:
                ask()
            learned.append(str(cancelled.value))

    play["charging"] = act
    bench.step()
    assert len(learned) == 2
    assert not issubclass(Cancelled, Exception)
    assert "attempt 1 of 'charging' is no longer wanted" in learned[0]


def test_a_ticket_that_comes_twice_runs_once(bench: Bench) -> None:
    order = charging()
    runs: list[int] = []
    play["charging"] = lambda machine: runs.append(1)
    ticket = bench.take()
    bench.execute(ticket)
    there = rows(bench)
    bench.execute(ticket)
    assert runs == [1]
    assert rows(bench) == there
    assert order.refresh().state == "shipping"


def test_a_ticket_that_comes_while_the_job_runs_is_left_alone(bench: Bench) -> None:
    charging()
    runs: list[int] = []
    ticket = bench.take()

    def act(machine: Any) -> None:
        runs.append(1)
        if len(runs) == 1:
            bench.execute(ticket)

    play["charging"] = act
    bench.execute(ticket)
    assert runs == [1]


def test_a_handle_is_no_job(bench: Bench) -> None:
    order = charging()
    for action in (order.heartbeat, order.save, lambda: order.log):
        with pytest.raises(FsmflowError, match="inside a job only"):
            action()


def test_guards_and_callbacks_can_fire_nothing(bench: Bench) -> None:
    order = charging()
    refused: list[str] = []

    def guard(machine: Any) -> bool:
        for action in (machine.cancel, machine.pause, machine.resume, machine.retry, machine.wait, machine.note):
            with pytest.raises(TransitionNotAllowed, match="guards and callbacks cannot fire") as error:
                action()
            refused.append(error.value.trigger)
        return True

    play["is_small"] = guard
    bench.step()
    assert order.refresh().state == "shipping"
    assert refused == ["cancel", "pause", "resume", "retry", "wait", "note"]


def test_a_job_may_move_other_entities(bench: Bench) -> None:
    charging()
    Counter.start("1")

    def act(machine: Any) -> None:
        Counter.get("1").work()
        Order.start("2").submit()

    play["charging"] = act
    bench.step()
    assert Counter.get("1").state == "busy"
    assert [ticket.row for ticket in bench.queued()] == [
        Counter.get("1")._view.snapshot.row,
        Order.get("2")._view.snapshot.row,
    ]


def test_a_job_that_leaves_a_transaction_open_loses_what_it_wrote_there_and_nothing_else(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    order = charging()
    link = bench.runtime.store.link

    def act(machine: Any) -> dict[str, int]:
        link.db.begin()
        link.execute(f"UPDATE {ENTITY} SET state = 'pending'")
        return {"paid": 1}

    play["charging"] = act
    bench.step()
    assert (order.refresh().state, order.data) == ("shipping", {"paid": 1})
    assert any("left a transaction open; it was rolled back" in record.message for record in caplog.records)


def test_a_result_waits_for_a_database_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    order = charging()
    pauses: list[float] = []
    monkeypatch.setattr("fsmflow.running.executor.clock.pause", pauses.append)
    link = bench.runtime.store.link
    refusals = iter(range(12))

    def refusing(run: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(sql: str, params: Any = ()) -> Any:
            if f"UPDATE {ENTITY}" in sql and next(refusals, None) is not None:
                raise peewee.OperationalError("the disk is full")
            return run(sql, params)

        return refuse

    play["charging"] = lambda machine: {"paid": 1}
    with patch.multiple(link, execute=refusing(link.execute), send=refusing(link.send)):
        bench.step()
    assert (order.refresh().state, order.data) == ("shipping", {"paid": 1})
    assert len(pauses) == 12


def test_a_result_is_decided_again_where_others_keep_writing(bench: Bench) -> None:
    order = charging()
    entities = bench.runtime.store.entities

    def act(machine: Any) -> dict[str, int]:
        by_others(Order.get("1")).note(text="before the first try")
        return {"paid": 1}

    play["charging"] = act
    with meanwhile(entities, "load_row", lambda: Order.get("1").note(text="before the second try")):
        bench.step()
    assert order.refresh().data == {"paid": 1, "notes": ["before the first try", "before the second try"]}
    assert order.state == "shipping"


def test_a_claim_is_repeated_where_the_database_was_away_for_a_moment(bench: Bench) -> None:
    order = charging()
    work = bench.runtime.store.work
    original, calls = work.claim, []

    def claim(*args: Any, **kwargs: Any) -> Any:
        calls.append(original(*args, **kwargs))
        if len(calls) == 1:
            raise DatabaseUnavailable("its answer was lost")
        return calls[-1]

    with patch.object(work, "claim", claim):
        bench.step()
    assert (order.refresh().state, len(calls)) == ("shipping", 2)


def test_a_job_is_dispatched_once_per_commit(bench: Bench) -> None:
    rung: list[Any] = []
    with patch.object(bench.runtime.doorbell, "ring", rung.append):
        order = charging()
        order.note(text="internal")
        order.trigger("again")
        order.cancel()
    assert [(ticket.epoch, ticket.attempt) for rings in rung for ticket, _ in rings] == [(2, 1), (3, 1)]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (lambda machine: machine.id, "no attribute 'id'; did you mean 'entity_id'?"),
        (lambda machine: machine.attempts, "no attribute 'attempts'; did you mean 'attempt'?"),
        (lambda machine: machine.wombat, "no attribute 'wombat'"),
        (lambda machine: machine.data.id, "no attribute 'id'"),  # not the machine's
    ],
)
def test_an_attribute_that_a_machine_lacks_is_told_with_the_one_that_was_likely_meant(
    asked: Any, told: str, bench: Bench
) -> None:
    order = charging()
    play["charging"] = asked
    bench.step()
    failure = order.refresh().failure
    assert failure is not None
    assert (failure.error_type, failure.message.endswith(told)) == ("AttributeError", True), failure.message
