"""What is told is how things stand: entities, work, failures, attempts, workers."""

from __future__ import annotations

import queue
import threading
from typing import Any
from unittest.mock import patch

from prometheus_client.parser import text_string_to_metric_families

from fsmflow import Limit, Machine, RetryAfter, State, __version__, failures, holds
from fsmflow.dispatch import listeners
from fsmflow.errors import SearchStopped
from fsmflow.metrics.exposition import Numbers
from fsmflow.metrics.sources import read
from fsmflow.running.claim import claim_attempt, new_owner
from fsmflow.running.meters import Counts, Metering
from fsmflow.running.presence import listener_of
from fsmflow.store.groups import Groups
from fsmflow.store.link import Link
from fsmflow.store.meters import Meter
from tests.support.bench import Bench, bench_on
from tests.support.families import Batch
from tests.support.machines import Counter, Order, play
from tests.support.traces import failing


def told(bench: Bench) -> dict[str, float]:
    """Each sample as it would be written, with its labels in their order."""
    numbers = Numbers()
    read(bench.runtime, numbers)
    samples = [each for family in text_string_to_metric_families(numbers.text()) for each in family.samples]
    return {" ".join((each.name.removeprefix("fsmflow_"), *each.labels.values())): each.value for each in samples}


class Payment(Machine):
    initial = "new"
    states = ["new", State("paying", job="pay", limits=[Limit("gateway", running=1)]), State("paid", final=True)]
    transitions = [["go", "new", "paying"], ["done", "paying", "paid"]]

    def pay(self) -> None: ...


def raised(error: BaseException) -> Any:
    def act(machine: Any) -> None:
        raise error

    return act


def test_entities_and_work_are_told_as_they_stand(bench: Bench) -> None:
    Order.start("cold").cool()
    Order.start("paused").cool()
    Order.get("paused").pause()
    play["busy"] = raised(RetryAfter(300))
    Counter.start("puts off").work()
    bench.step()
    bench.clock.ms += 90_000
    Counter.start("waits").work()
    Counter.start("runs").work()
    bench.take()
    ticket = bench.take()
    assert bench.runtime.store.work.claim(ticket, "somebody", lease_until=bench.clock.now() + 15_000) is not None
    bench.clock.ms += 2_500
    holds.hold("order", state="shipping", reason="no van")
    found = told(bench)
    assert found["entities order cooling root"] == 2
    assert found["oldest_entity_seconds order cooling root"] == 92.5
    assert found["entities counter busy root"] == 3
    assert (found["due default"], found["oldest_due_seconds default"]) == (1, 2.5)
    assert (found["due slow"], found["oldest_due_seconds slow"]) == (0, 0)
    assert found["running counter busy default"] == 1
    assert found["waiting default"] == 1
    assert (found["timers_due"], found["oldest_timer_due_seconds"]) == (1, 32.5)
    assert (found["held pause"], found["held hold"], found["held limit"], found["holds"]) == (1, 0, 0, 1)
    assert (found["stuck"], found["work_cut"], found["series_folded"]) == (0, 0, 0)
    assert found[f"info {__version__} {bench.runtime.release.name} {bench.runtime.store.link.dialect.name}"] == 1


def test_what_waits_in_the_line_of_a_limit_is_told(database_url: str, redis_url: str) -> None:
    with bench_on(redis_url, database_url=database_url, machines=(Payment,)) as bench:
        for number in range(3):
            Payment.start(number).trigger("go")
        for _ in range(3):
            claim_attempt(bench.runtime, bench.take(), new_owner())
        assert told(bench)["held limit"] == 2


def test_failures_are_told_by_what_was_said_of_their_group_and_go_on_being_counted(bench: Bench) -> None:
    play["charging"] = raised(LookupError("no card"))
    for number in range(3):
        Order.start(str(number)).submit()
        bench.step()
    play["busy"] = raised(ValueError("odd"))
    Counter.start("1").work()
    bench.step()
    bench.clock.ms += 60_000
    (group,) = failures.groups("counter")
    failures.ignore(group.id, actor="ada")
    found = told(bench)
    place = "order failed_from_charging open"
    assert (found[f"failures_resting {place}"], found[f"failure_groups {place}"]) == (3, 1)
    assert found[f"oldest_failure_seconds {place}"] == 60
    assert found["failures_resting counter failed_from_busy ignored"] == 1
    play.clear()
    Order.get("0").retry()
    bench.step()
    found = told(bench)
    assert found[f"failures_resting {place}"] == 2
    assert found["failures_total order failed_from_charging"] == 3


def test_branches_that_failed_are_told_until_their_parent_rests_for_them(database_url: str, redis_url: str) -> None:
    with bench_on(redis_url, database_url=database_url, machines=(Batch,)) as bench:
        failing.add("vase")
        Batch.start("1", lines=["vase", "book"]).go()
        for _ in range(2):
            bench.step()
        found = told(bench)
        assert found["failures_resting batch failed_from_packing open"] == 1
        assert found["entities batch packing root"] == 1
        assert found["entities batch failed_from_packing branch"] == 1
        bench.run()
        found = told(bench)
        assert found["entities batch failed_from_packing root"] == 1
        assert found["failures_resting batch failed_from_packing open"] == 1


def test_meters_are_told_as_counters_and_histograms_and_those_of_other_releases_are_left_out(bench: Bench) -> None:
    counts = Counts()
    bench.runtime.counting = Metering(counts.take)
    Counter.start("1").work()
    bench.clock.ms += 700
    bench.step()
    counts.keep(bench.runtime.store.meters)
    bench.runtime.store.meters.add({Meter("of_tomorrow", "counter"): 7})
    found = told(bench)
    assert found["attempts_total counter busy done"] == 1
    assert found["attempt_seconds_count counter busy"] == 1
    assert found["attempt_seconds_bucket counter busy +Inf"] == 1
    buckets = ("0.5", "1", "5", "+Inf")
    assert [found[f"wait_seconds_bucket default {edge}"] for edge in buckets] == [0, 1, 1, 1]
    assert found["wait_seconds_sum default"] == 0.7
    assert not [name for name in found if "tomorrow" in name]


def test_workers_are_told_by_release_and_what_redis_would_say_is_left_out_while_that_is_away(bench: Bench) -> None:
    doorbell = bench.runtime.doorbell
    for supervisor, process in (("a" * 32, 1), ("a" * 32, 2), ("b" * 32, 1)):
        doorbell.appear(supervisor)
        listener = listener_of(bench.runtime, f"{supervisor}.{process}", ["default", "slow"][:process])
        listeners.present(doorbell.client(), doorbell.installation, listener)
    found = told(bench)
    assert (found["redis_up"], found["supervisors"]) == (1, 2)
    assert found[f"workers {bench.runtime.release.name}"] == 3
    assert (found["queue_workers default"], found["queue_workers slow"]) == (3, 1)
    with patch.object(type(doorbell), "listeners", side_effect=ConnectionError("away")):
        found = told(bench)
    assert found["redis_up"] == 0
    assert not [name for name in found if name.startswith(("workers", "queue_workers", "supervisors"))]
    assert found["part_up work"] == 1


def test_a_part_that_takes_too_long_is_left_out_and_the_rest_is_told(bench: Bench) -> None:
    Counter.start("1")
    with patch.object(Groups, "counted", side_effect=SearchStopped("it took more than 10 s")):
        found = told(bench)
    assert (found["part_up failures"], found["part_up entities"]) == (0, 1)
    assert found["entities counter open root"] == 1
    assert not [name for name in found if name.startswith("fail")]


def test_steps_go_on_in_the_middle_of_each_query_of_a_scrape(bench: Bench) -> None:
    ended, reached, go_on = threading.Event(), queue.SimpleQueue[str](), queue.SimpleQueue[None]()
    rows = Link.rows

    def held(link: Link, sql: str, params: Any = ()) -> list[Any]:
        found = rows(link, sql, params)
        if threading.current_thread() is not threading.main_thread():
            reached.put(sql)
            go_on.get(timeout=30)
        return found

    def scrape() -> None:
        read(bench.runtime, Numbers())
        bench.runtime.store.link.forget_connection()
        ended.set()
        reached.put("")

    Counter.start("first")
    with patch.object(Link, "rows", held):
        thread = threading.Thread(target=scrape)
        thread.start()
        asked = 0
        while reached.get(timeout=30):
            counter = Counter.start(asked)
            counter.work()
            bench.step()
            assert counter.refresh().state == "over"
            asked += 1
            go_on.put(None)
        thread.join()
    assert ended.is_set()
    assert asked > 10
