"""Starting entities and firing triggers, through what users call."""

from __future__ import annotations

import traceback
from datetime import date
from enum import Enum
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

import fsmflow
from fsmflow import (
    Actor,
    DataError,
    EntityExists,
    EntityNotFound,
    GuardError,
    NotPermitted,
    TransitionConflict,
    TransitionNotAllowed,
    UnknownState,
)
from fsmflow.store.tables import ENTITY, EVENT, HISTORY
from tests.support.bench import Bench
from tests.support.concurrency import meanwhile
from tests.support.machines import Counter, Order

ALICE = Actor("alice", roles={"manager"})


def kinds(order: fsmflow.Machine) -> list[tuple[int, str, str | None, str]]:
    return [(entry.seq, entry.kind, entry.trigger, entry.dest) for entry in order.history]


def test_a_started_entity_stands_in_the_initial_state_with_its_data(bench: Bench) -> None:
    order = Order.start("1042", {"amount": 3, "day": date(2024, 5, 1)}, sku="x", amount=4)
    assert (order.entity_id, order.address, order.state, order.phase) == ("1042", "order:1042", "pending", "waiting")
    assert order.data == {"amount": 4, "day": date(2024, 5, 1), "sku": "x"}
    assert (order.epoch, order.paused, order.failure, order.attempt, order.progress) == (1, False, None, None, None)
    again = Order.get("1042")
    assert (again.state, again.data, again.epoch) == (order.state, order.data, order.epoch)
    (entry,) = order.history
    assert (entry.seq, entry.kind, entry.trigger, entry.source, entry.dest) == (1, "start", None, None, "pending")


@pytest.mark.parametrize("given", [7, "7", UUID(int=7), "Größe 🙂", " ", "a:b", "%", "x" * 200, "🙂" * 200, "\u3000"])
def test_ids_are_kept_as_text(bench: Bench, given: str | int | UUID) -> None:
    order = Order.start(given)
    assert order.entity_id == str(given)
    assert Order.get(given).address == f"order:{given}" == Order.get(str(given)).address


@pytest.mark.parametrize(
    "given", ["", "x" * 201, "a\nb", "a\x00", "\x7f", "a\x85", "a/b", "\ud800", None, 1.5, True, b"x"]
)
def test_what_is_no_id_is_refused_and_nothing_is_started(bench: Bench, given: Any) -> None:
    with pytest.raises(DataError):
        Order.start(given)
    # What is too long for an id of a user's, or has a '/', may be that of a branch.
    with pytest.raises((DataError, EntityNotFound)):
        Order.get(given)
    assert list(Order.find()) == []


def test_an_id_is_started_once(bench: Bench) -> None:
    Order.start("1", amount=1)
    with pytest.raises(EntityExists, match="order:1 exists already, in 'pending'") as refused:
        Order.start("1", amount=2)
    assert (refused.value.address, refused.value.state) == ("order:1", "pending")
    there = Order.start("1", amount=3, if_exists="return")
    assert there.data == {"amount": 1}
    assert len(there.history) == 1
    Counter.start("1")


def test_a_repeated_start_with_its_key_returns_what_was_started(bench: Bench) -> None:
    order = Order.start("1", amount=1, key="mail-7")
    order.submit()
    again = Order.start("1", amount=2, key="mail-7")
    assert (again.state, again.data) == ("charging", {"amount": 1})
    assert [entry.key for entry in again.history] == ["mail-7", None]
    for key in (None, "mail-8"):
        with pytest.raises(EntityExists):
            Order.start("1", key=key)


def test_a_key_that_a_later_trigger_used_is_not_the_key_of_the_start(bench: Bench) -> None:
    Order.start("1").trigger("submit", key="mail-7")
    with pytest.raises(EntityExists):
        Order.start("1", key="mail-7")


@pytest.mark.parametrize(
    "arguments",
    [
        {"if_exists": "replace"},
        {"key": ""},
        {"key": "x" * 201},
        {"key": 5},
        {"actor": ""},
        {"actor": "a\nb"},
        {"state": 5},
        {"x": object()},
        {"x": float("nan")},
        {"x": "x" * 270_000},
        {"x": {1: 2}},
    ],
)
def test_what_cannot_be_stored_starts_nothing(bench: Bench, arguments: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        Order.start("1", **arguments)
    with pytest.raises(EntityNotFound):
        Order.get("1")


@pytest.mark.parametrize("data", [[1], "text", [("a", 1)]])
def test_data_that_is_no_mapping_is_refused(bench: Bench, data: Any) -> None:
    with pytest.raises(DataError):
        Order.start("1", data)


def test_what_was_never_started_is_not_found(bench: Bench) -> None:
    Order.start("1")
    with pytest.raises(EntityNotFound, match="order:2 does not exist") as refused:
        Order.get("2")
    assert refused.value.address == "order:2"


def test_a_trigger_moves_the_entity_and_tells_what_it_wrote(bench: Bench) -> None:
    order = Order.start("1")
    entry = order.trigger("submit", actor="bob", reason="he called", key="k1", sku=7, at=date(2024, 1, 1))
    assert (order.state, order.phase, order.epoch) == ("charging", "working", 2)
    assert entry == order.history[-1]
    assert (entry.seq, entry.kind, entry.trigger, entry.source, entry.dest) == (
        2,
        "transition",
        "submit",
        "pending",
        "charging",
    )
    assert (entry.actor, entry.reason, entry.key, entry.epoch) == ("bob", "he called", "k1", 2)
    assert entry.payload == {"sku": 7, "at": date(2024, 1, 1)}
    assert (order.event.trigger, order.event.payload, order.event.actor) == ("submit", entry.payload, "bob")
    assert order.data == {}, "a payload is not merged into data"
    assert bench.queued() == [bench.take()]


def test_a_trigger_can_be_fired_by_its_name(bench: Bench) -> None:
    order = Order.start("1")
    assert order.note(text="a").kind == "internal"
    assert order.submit(actor="bob", self="payload").payload == {"self": "payload"}
    assert order.state == "charging"


def test_the_payload_decides_in_guards(bench: Bench) -> None:
    order = Order.start("1")
    with pytest.raises(GuardError, match="guard 'payload_says_so' of 'stop_if' raised KeyError: 'stop'"):
        order.stop_if()
    with pytest.raises(TransitionNotAllowed, match="guard 'payload_says_so' is false"):
        order.stop_if(stop=False)
    assert order.refresh().state == "pending"
    order.stop_if(stop=True)
    assert order.state == "rejected"


def test_what_a_callback_raises_says_which_callback_it_was(bench: Bench) -> None:
    order = Order.start("1", notes=5)
    with pytest.raises(TypeError) as raised:
        order.note()
    told = "before callback 'take_note' of 'note' in state 'pending' of machine 'order'"
    assert raised.value.__notes__ == [told]
    assert told in "".join(traceback.format_exception(raised.value))
    assert order.refresh().data == {"notes": 5}


def test_a_repeated_key_changes_nothing_and_returns_the_first_entry(bench: Bench) -> None:
    order = Order.start("1")
    first = order.trigger("note", key="event-1", text="a")
    order.submit()
    handle = Order.get("1")
    assert handle.trigger("note", key="event-1", text="b") == first
    assert handle.trigger("note", key="event-1", epoch=77) == first
    assert handle.data == {"notes": ["a"]}
    assert (handle.state, len(handle.history)) == ("charging", 3)
    assert Order.start("2").trigger("note", key="event-1").seq == 2


def test_a_refused_trigger_uses_up_no_key(bench: Bench) -> None:
    order = Order.start("1")
    with pytest.raises(TransitionNotAllowed):
        order.trigger("approve", key="event-1", actor=ALICE)
    with pytest.raises(TransitionConflict):
        order.trigger("submit", key="event-1", epoch=5)
    assert order.trigger("submit", key="event-1").trigger == "submit"


@pytest.mark.parametrize(
    "arguments", [{"key": ""}, {"key": "a\x00"}, {"reason": "a\x00"}, {"x": object()}, {"actor": 5}]
)
def test_what_cannot_be_stored_fires_nothing(bench: Bench, arguments: dict[str, Any]) -> None:
    order = Order.start("1")
    with pytest.raises(DataError):
        order.trigger("submit", **arguments)
    with pytest.raises(DataError):
        order.trigger("note", **arguments)
    assert len(order.refresh().history) == 1


def test_an_entity_that_moved_since_the_caller_looked_is_a_conflict(bench: Bench) -> None:
    order = Order.start("1")
    seen = order.epoch
    Order.get("1").submit()
    with pytest.raises(TransitionConflict, match="seen at epoch 1 and is now at epoch 2, in 'charging'"):
        order.trigger("cancel", epoch=seen)
    with pytest.raises(TransitionConflict):
        order.cancel(epoch=seen)
    order.trigger("note", epoch=2, text="internal transitions leave the epoch alone")
    assert order.cancel(epoch=2).state == "cancelled"


def test_a_stale_handle_decides_on_the_row_as_it_is_now_and_is_refreshed(bench: Bench) -> None:
    stale = Order.start("1")
    Order.get("1").submit()
    assert stale.state == "pending"
    stale.note(text="it is charging")
    assert (stale.state, stale.epoch, stale.data) == ("charging", 2, {"notes": ["it is charging"]})
    with pytest.raises(TransitionNotAllowed, match="order:1 is in 'charging'"):
        stale.submit()


def test_a_commit_that_somebody_else_came_before_is_decided_again(bench: Bench) -> None:
    order = Order.start("1")
    with meanwhile(bench.runtime.store.entities, "load", lambda: Order.get("1").note(text="theirs")):
        order.note(text="mine")
    assert order.data == {"notes": ["theirs", "mine"]}
    with (
        meanwhile(bench.runtime.store.entities, "load", lambda: Order.get("1").cancel()),
        pytest.raises(TransitionNotAllowed, match="is in 'cancelled'"),
    ):
        order.submit()
    assert [entry.seq for entry in order.history] == [1, 2, 3, 4]


def test_whoever_is_always_late_gets_a_conflict_after_five_tries(bench: Bench) -> None:
    order = Order.start("1")
    entities, tries = bench.runtime.store.entities, []
    original = entities.load

    def load(machine: str, entity_id: str) -> Any:
        found = original(machine, entity_id)
        tries.append(found)
        with patch.object(entities, "load", original):
            Order.get("1").note(text="theirs")
        return found

    with patch.object(entities, "load", load), pytest.raises(TransitionConflict, match="changed it 5 times"):
        order.submit()
    assert len(tries) == 5
    assert order.refresh().state == "pending"


def test_the_same_key_from_two_callers_at_the_same_moment_is_applied_once(bench: Bench) -> None:
    order = Order.start("1")
    theirs = []

    def they_come_first() -> None:
        theirs.append(Order.get("1").trigger("note", key="event-1", text="theirs"))

    with meanwhile(bench.runtime.store.entities, "seq_of_key", they_come_first):
        mine = order.trigger("note", key="event-1", text="mine")
    assert [mine] == theirs
    assert order.data == {"notes": ["theirs"]}


def test_roles_are_asked_for_after_the_guards(bench: Bench) -> None:
    order = Order.start("1", amount=2_000)
    order.submit()
    bench.step()
    for actor in (None, "alice", Actor("bob"), Actor("eve", roles=["clerk"])):
        with pytest.raises(
            NotPermitted, match="'approve' needs an actor with one of the roles boss, manager"
        ) as refused:
            order.approve(actor=actor)
        assert refused.value.roles == ("boss", "manager")
    assert "approve" in order.allowed_triggers(ALICE)
    assert "approve" not in order.allowed_triggers()
    assert order.approve(actor=ALICE).actor == "alice"
    assert order.state == "shipping"


def test_a_refusal_says_where_the_entity_is_what_was_asked_and_what_could_be(bench: Bench) -> None:
    order = Order.start("1")
    with pytest.raises(TransitionNotAllowed) as refused:
        order.approve(actor=ALICE)
    error = refused.value
    assert (error.address, error.state, error.trigger) == ("order:1", "pending", "approve")
    assert set(error.allowed) == {"submit", "cool", "check", "note", "cancel"}, "stop_if needs its payload"
    assert error.refusals == ()
    with pytest.raises(TransitionNotAllowed) as refused:
        order.stop_if(stop=False)
    assert refused.value.refusals == ("guard 'payload_says_so' is false (stop_if to 'rejected')",)


@pytest.mark.parametrize("trigger", ["sumbit", "", "no such", "submit\x00", "😀"])
def test_an_unknown_trigger_is_refused(bench: Bench, trigger: str) -> None:
    order = Order.start("1")
    with pytest.raises(TransitionNotAllowed, match="has no trigger"):
        order.trigger(trigger)
    assert len(order.history) == 1


def test_a_trigger_that_is_no_text_is_refused(bench: Bench) -> None:
    class Trigger(Enum):
        SUBMIT = "submit"

    with pytest.raises(DataError):
        Order.start("1").trigger(Trigger.SUBMIT)  # type: ignore[arg-type]


@pytest.mark.parametrize("trigger", ["done", "fail"])
def test_what_belongs_to_the_engine_cannot_be_fired_from_outside(bench: Bench, trigger: str) -> None:
    order = Order.start("1")
    order.submit()
    with pytest.raises(TransitionNotAllowed, match="belongs to the engine"):
        order.trigger(trigger)


def test_a_running_timeout_cannot_be_fired_from_outside(bench: Bench) -> None:
    order = Order.start("1", amount=2_000)
    order.submit()
    bench.step()
    with pytest.raises(TransitionNotAllowed, match="'timeout' belongs to the engine"):
        order.trigger("timeout")


def test_a_state_is_never_assigned_and_a_machine_never_constructed(bench: Bench) -> None:
    order = Order.start("1", amount=1)
    with pytest.raises(TransitionNotAllowed, match="entered by a transition, never assigned"):
        order.state = "shipped"
    with pytest.raises(TransitionNotAllowed, match="a handle only shows data"):
        order.data = {"amount": 2}
    with pytest.raises(DataError, match="data changes by a transition"):
        order.data["amount"] = 2
    assert order.refresh().data == {"amount": 1}
    with pytest.raises(TypeError, match=r"Order\.start\(id\) starts one and Order\.get\(id\) finds one"):
        Order()
    assert order.refresh().state == "pending"


def test_nothing_leads_out_of_a_final_state(bench: Bench) -> None:
    order = Order.start("1").cancel(reason="by mistake", actor="bob")
    assert (order.state, order.phase) == ("cancelled", "finished")
    assert (order.history[-1].reason, order.history[-1].actor) == ("by mistake", "bob")
    for trigger in ("cancel", "submit", "note", "retry"):
        with pytest.raises(TransitionNotAllowed, match="Allowed now: nothing"):
            order.trigger(trigger)
    with pytest.raises(TransitionNotAllowed):
        order.pause()
    assert order.resume().state == "cancelled"
    assert order.allowed_triggers() == []


def test_a_state_in_sql_that_the_definition_lacks_is_refused_and_left_untouched(bench: Bench) -> None:
    order = Order.start("1")
    order.submit()
    bench.runtime.store.link.execute(f"UPDATE {ENTITY} SET state = 'chargin', phase = 'working'")
    assert (order.refresh().state, order.phase) == ("chargin", "working")
    actions: list[Any] = [order.cancel, order.note, order.retry, order.pause, order.resume]
    for action in actions:
        with pytest.raises(UnknownState, match="stands in 'chargin'.* did you mean 'charging'"):
            action()
    assert order.allowed_triggers() == []
    assert "the definition has no state 'chargin'" in str(order.explain())
    assert (order.refresh().state, len(order.history)) == ("chargin", 2)


def test_everything_is_committed_or_nothing(bench: Bench) -> None:
    order = Order.start("1")
    link = bench.runtime.store.link
    original = link.execute

    def execute(sql: str, params: Any = ()) -> Any:
        if HISTORY in sql or EVENT in sql:
            raise RuntimeError("the process is in trouble")
        return original(sql, params)

    with patch.multiple(link, execute=execute, send=execute), pytest.raises(RuntimeError):
        order.trigger("submit", key="k")
    assert (order.refresh().state, len(order.history)) == ("pending", 1)
    assert bench.queued() == []
    order.trigger("submit", key="k")
