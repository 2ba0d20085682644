"""What handles show: history, listings, counts, waiting and explanations. And how the engine is opened."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import Any
from unittest.mock import patch

import pytest

import fsmflow
from fsmflow import Actor, ConfigurationError, DataError, DefinitionError, Machine, UnknownState
from fsmflow.decision.work import GRACE_MS
from fsmflow.engine import runtime as runtime_of
from fsmflow.store import entities
from tests.support.bench import Bench
from tests.support.concurrency import meanwhile
from tests.support.machines import Counter, Order, play
from tests.support.paths import ROOT

ALICE = Actor("alice", roles={"manager"})

FORKS = """
import os, sys
import fsmflow
from tests.support.bench import Counter
fsmflow.configure(database_url=sys.argv[1], redis_url=sys.argv[2], machines=[Counter])
order = Counter.start("1")
order.add()
for number in range(4):
    if os.fork() == 0:
        for _ in range(5):
            while True:
                try:
                    order.add()
                    break
                except fsmflow.TransitionConflict:
                    pass
        os._exit(0)
statuses = [os.wait()[1] for _ in range(4)]
order.add()
print(statuses, order.data["n"], len(order.history))
"""


def test_history_is_read_in_pages_and_in_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsmflow.machine.attributes.PAGE", 3)
    history = entities.Entities.history
    monkeypatch.setattr(
        entities.Entities, "history", lambda self, row, after=0: history(self, row, after=after, limit=3)
    )
    for count in (0, 2, 3, 8):
        order = Order.start(f"with {count}")
        for number in range(count):
            order.note(text=str(number))
        found = order.history
        assert [entry.seq for entry in found] == list(range(1, count + 2))
        assert [entry.payload.get("text") for entry in found[1:]] == [str(number) for number in range(count)]


def test_history_entries_cannot_be_changed(bench: Bench) -> None:
    entry = Order.start("1").history[0]
    with pytest.raises(FrozenInstanceError):
        entry.kind = "forced"  # type: ignore[misc, assignment]


def test_listings_find_by_state_and_phase_the_oldest_first(bench: Bench) -> None:
    for number in range(6):
        Order.start(number)
    Counter.start("another machine")
    for number in (1, 4):
        Order.get(number).submit()
    Order.get(2).cancel()
    found = Order.find(state="charging")
    assert iter(found) is found
    assert [(order.entity_id, order.state) for order in found] == [("1", "charging"), ("4", "charging")]
    assert [order.entity_id for order in Order.find(state={"charging", "cancelled"})] == ["1", "2", "4"]
    assert [order.entity_id for order in Order.find(phase="waiting", limit=2)] == ["0", "3"]
    assert [order.entity_id for order in Order.find()] == ["0", "1", "2", "3", "4", "5"]
    assert list(Order.find(state=[])) == list(Order.find(limit=0)) == []
    next(Order.find(phase="finished")).refresh()
    assert Order.counts() == {"pending": 3, "charging": 2, "cancelled": 1}
    assert Counter.counts() == {"open": 1}


def test_listings_refuse_states_and_phases_that_there_are_not(bench: Bench) -> None:
    with pytest.raises(UnknownState, match="has no state 'chargin'; did you mean 'charging'"):
        Order.find(state="chargin")
    with pytest.raises(UnknownState):
        Order.find(state=["charging", "paid"])
    with pytest.raises(DataError, match="did you mean 'working'"):
        Order.find(phase="workin")


def test_waiting_ends_when_the_entity_has_failed_or_finished(bench: Bench) -> None:
    order = Order.start("1")
    order.submit()
    play["charging"] = lambda machine: 5
    with meanwhile(order, "refresh", bench.step):
        assert order.wait(timeout=30) is order
    assert order.state == "failed_from_charging"
    assert Order.start("2").cancel().wait(timeout=0).state == "cancelled"


@pytest.mark.parametrize(
    "until",
    ["charging", "working", ["charging", "shipped"], {"failed", "charging"}, lambda order: order.state == "charging"],
)
def test_waiting_ends_at_a_state_a_phase_or_where_a_function_says_so(bench: Bench, until: Any) -> None:
    order = Order.start("1")
    with meanwhile(order, "refresh", lambda: Order.get("1").submit()):
        assert order.wait(until, timeout=30).state == "charging"


def test_waiting_gives_up_after_its_time_and_says_where_the_entity_stands(bench: Bench) -> None:
    order = Order.start("1")
    with pytest.raises(TimeoutError, match=r"order:1 is still in 'pending' after 0.05 s"):
        order.wait(timeout=0.05)
    with pytest.raises(UnknownState):
        order.wait("shiped")


def test_triggers_that_an_actor_could_fire_are_told_from_the_row_as_it_is_now(bench: Bench) -> None:
    stale = Order.start("1", amount=2_000)
    order = Order.get("1")
    order.submit()
    bench.step()
    assert stale.state == "pending"
    assert set(stale.allowed_triggers()) == {"reject", "note", "cancel"}
    assert set(stale.allowed_triggers(ALICE)) == {"approve", "reject", "note", "cancel"}
    order.approve(actor=ALICE)
    play["shipping"] = lambda machine: 5
    bench.step("slow")
    assert set(order.allowed_triggers()) == {"retry", "note", "cancel"}


def test_an_explanation_says_what_is_being_done_and_waited_for(bench: Bench) -> None:
    order = Order.start("1", amount=2_000)
    waiting = order.explain()
    assert (waiting.state, waiting.phase, waiting.doing, waiting.next_at) == ("pending", "waiting", None, None)
    assert waiting.waiting_for == "a trigger: submit, cool, check, note, stop_if, cancel"
    assert waiting.allowed == ("submit", "cool", "check", "note", "cancel")
    order.submit()
    told = order.explain()
    assert told.waiting_for == "a worker to run attempt 1 of job 'act' from queue 'default'"
    assert told.blocked_by == "no worker listens on queue 'default'; start one with 'fsmflow worker'"
    bench.sweep()
    assert order.explain().blocked_by is None
    order.pause()
    assert order.explain().blocked_by == "a pause; resume lets it go on"
    order.resume()
    bench.take()
    bench.step()
    approval = order.explain()
    assert approval.waiting_for == (
        "a trigger: approve (needs role boss or manager), reject, note, cancel; or 'timeout' by itself"
    )
    assert approval.next_at is not None
    assert (approval.next_at.timestamp() - approval.since.timestamp()) == pytest.approx(3_600)
    assert "next at:" in str(approval)
    order.cancel()
    final = order.explain()
    assert (final.waiting_for, final.allowed, final.blocked_by) == (None, (), None)
    assert "allowed now: nothing" in str(final)


def test_an_explanation_names_the_failure_and_the_next_attempt(bench: Bench) -> None:
    def act(machine: Any) -> None:
        raise ConnectionError("no route")

    order = Order.start("1")
    order.submit()
    play["charging"] = act
    bench.step()
    told = order.explain()
    at = f"{told.next_at:%Y-%m-%d %H:%M:%S} UTC"
    assert told.waiting_for == f"its time to run attempt 2 of job 'act', at {at}; 'retry' runs it now"
    place = rf"\(([^ ]*/)?test_attributes.py:{act.__code__.co_firstlineno + 1}, attempt 1 of 'charging'\)"
    assert re.fullmatch(f"ConnectionError: no route {place}", told.blocked_by or "")
    assert told.next_at is not None
    assert told.next_at.timestamp() * 1000 == pytest.approx(bench.clock.now() + 10_000)
    for wait in (10, 30):
        bench.advance(wait)
        bench.step()
    told = order.explain()
    assert (told.state, told.phase) == ("failed_from_charging", "failed")
    assert told.waiting_for == "somebody to retry it, once the cause is mended"


def test_an_explanation_works_without_redis(bench: Bench) -> None:
    order = Order.start("1")
    order.submit()
    with patch.object(bench.runtime.doorbell, "listened", side_effect=OSError("nobody there")):
        assert "Redis, which does not answer (nobody there)" in str(order.explain())


def test_a_trigger_is_durable_even_when_whatever_goes_wrong_on_the_way_to_redis(bench: Bench) -> None:
    order = Order.start("1")
    with patch.object(bench.runtime.doorbell, "ring", side_effect=RuntimeError("a fault of ours")):
        assert order.submit().dest == "charging"
    assert order.refresh().state == "charging"
    bench.advance(GRACE_MS / 1000)
    bench.step()
    assert order.refresh().state == "shipping"


def test_a_class_without_states_is_only_a_base(bench: Bench) -> None:
    class Base(Machine):
        pass

    for ask in (lambda: Base.start("1"), lambda: Base.get("1"), lambda: list(Base.find()), Base.counts):
        with pytest.raises(DefinitionError, match="only a base of machines"):
            ask()


def test_two_machines_of_one_name_are_refused_when_the_machines_are_looked_for(bench: Bench) -> None:
    class Twin(Machine):
        name = "order"
        initial = "a"
        states = ["a", fsmflow.State("b", final=True)]
        transitions = [["go", "a", "b"]]

    fsmflow.configure(machines=[Order, Twin], **_same(bench))
    with pytest.raises(ConfigurationError, match="two machines are called 'order'"):
        runtime_of.current().machines.all()


def test_configuring_again_opens_anew_and_the_same_settings_do_not(bench: Bench) -> None:
    first = runtime_of.current()
    assert runtime_of.current() is first
    fsmflow.configure(machines=[Order], **_same(bench))
    assert runtime_of.current() is not first
    Order.start("1")
    with pytest.raises(ConfigurationError, match="not both"):
        fsmflow.configure(database_url="sqlite:///x", database=first.store.link.db)
    with pytest.raises(
        ConfigurationError, match=r"'postgresql://ann:\*\*\*@host/shop'\): that is a URL: database_url="
    ):
        fsmflow.configure(database="postgresql://ann:sesame@host/shop")


def _same(bench: Bench) -> dict[str, Any]:
    chosen = bench.runtime.settings
    return {"database_url": chosen.database_url, "redis_url": chosen.redis_url}


def test_a_process_that_forks_and_its_children_go_on_each_for_itself(bench: Bench) -> None:
    chosen = bench.runtime.settings
    assert chosen.database_url is not None
    assert chosen.redis_url is not None
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, chosen.database_url, chosen.redis_url],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.strip(), done.stderr) == ("[0, 0, 0, 0] 22 23", "")
