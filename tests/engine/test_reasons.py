"""Why an entity does not go on: who listens, with which code, and how much is before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from fsmflow.dispatch import listeners
from fsmflow.dispatch.listeners import Abilities, Listener
from fsmflow.engine.explain import Explanation
from fsmflow.engine.reasons import Reasons
from fsmflow.running.presence import abilities_of, listener_of
from tests.support.bench import Bench
from tests.support.deployments import Parcel, Renamed, Second, deploy
from tests.support.machines import Counter, Order, play
from tests.support.servers import on_sqlite

pytestmark = on_sqlite


def working(bench: Bench, name: str, **fields: object) -> Listener:
    """A worker process of host ``web1``, of which its supervisor tells; like this one but for ``fields``."""
    doorbell = bench.runtime.doorbell
    like_here = replace(listener_of(bench.runtime, f"{name}.1", ("default",)), host="web1", pid=41, since=0)
    listener = replace(like_here, **fields)  # type: ignore[arg-type]
    listeners.present(doorbell.client(), doorbell.installation, listener)
    doorbell.announce(listener.queues)
    doorbell.appear(name)
    return listener


def machines_with(**others: Abilities | None) -> Mapping[str, Abilities]:
    here: dict[str, Abilities | None] = {kind.name: abilities_of(kind._definition) for kind in (Order, Counter)}
    return {name: found for name, found in {**here, **others}.items() if found is not None}


def failing(machine: Order) -> None:
    raise LookupError("no such card")


def submitted(entity_id: str = "1") -> Order:
    order = Order.start(entity_id)
    order.submit()
    return order


def told(bench: Bench, **fields: object) -> Explanation:
    order = submitted()
    working(bench, "boss", **fields)
    return order.explain()


def test_nothing_is_said_of_workers_that_run_what_is_here(bench: Bench) -> None:
    explained = told(bench)
    assert (explained.blocked_by, explained.workers) == (None, None)


def test_workers_that_listen_elsewhere_are_told_of(bench: Bench) -> None:
    assert told(bench, queues=("slow",)).blocked_by == (
        "no worker listens on queue 'default'; workers listen on 'slow'; start one with "
        "'fsmflow worker --queues default'"
    )


def test_a_worker_whose_code_lacks_the_machine_is_named(bench: Bench) -> None:
    assert told(bench, release="2030-01", machines=machines_with(order=None)).blocked_by == (
        "the worker on queue 'default' cannot run it, as its code has no machine 'order': process 41 of web1 (release "
        "2030-01, since 1970-01-01 00:00:00 UTC); restart it with newer code"
    )


def test_workers_whose_code_lacks_the_state_are_named_and_counted(bench: Bench) -> None:
    older = machines_with(order=Abilities(version=1, runs=frozenset({"packing"})))
    order = submitted()
    for number in range(3):
        working(bench, f"boss{number}", machines=older, since=number, release=None)
    explained = str(order.explain().blocked_by)
    assert explained.startswith(
        "none of the 3 workers on queue 'default' can run it, as their code has no job for 'charging' of machine "
        "'order': process 41 of web1 (a release that has no name, since 1970-01-01 00:00:00 UTC), "
    )
    assert explained.endswith(" and 1 more; restart them with newer code")
    working(bench, "new")
    assert order.explain().blocked_by is None


def test_a_worker_of_an_older_version_is_told_of_for_an_entity_of_a_newer_one(bench: Bench) -> None:
    runs = abilities_of(Order._definition).runs
    blocked = told(bench, machines=machines_with(order=Abilities(version=0, runs=runs))).blocked_by
    assert "has version 0 of machine 'order', and this entity is of 1" in str(blocked)


def test_workers_that_have_all_loaded_other_code_are_named(bench: Bench) -> None:
    explained = told(bench, release="2030-01")
    assert explained.blocked_by is None
    assert explained.workers == (
        f"the worker that listens has loaded other code than there is here (release {bench.runtime.release.name}): "
        "process 41 of web1 (release 2030-01, since 1970-01-01 00:00:00 UTC); if that is older, "
        "restart 'fsmflow worker'"
    )
    assert "\nworkers:     the worker that listens" in str(explained)


def test_the_same_is_told_of_what_rests_in_a_failure_as_a_retry_would_meet_it(bench: Bench) -> None:
    play["charging"] = failing
    order = submitted()
    bench.step()
    assert order.refresh().state == "failed_from_charging"
    working(bench, "idle", queues=("slow",), release="2030-01")
    assert order.explain().workers is None, "it does not listen there"
    working(bench, "boss", release="2030-01")
    explained = order.explain()
    assert "the worker that listens has loaded other code" in str(explained.workers)
    snapshot = bench.runtime.store.entities.load("order", "1")
    assert snapshot is not None
    assert Reasons(bench.runtime).told(snapshot.row)["workers"] == explained.workers
    working(bench, "new")
    assert order.explain().workers is None


def test_of_several_queues_each_is_looked_at_for_itself(bench: Bench) -> None:
    submitted()
    working(bench, "boss", queues=("slow",), release="2030-01", since=1)
    working(bench, "both", queues=("slow", "default"), release="2030-02", since=2)
    working(bench, "new", queues=("default",), since=3)
    told = Reasons(bench.runtime).other_code_on(["default", "slow"])
    assert str(told).startswith("all workers that listen have loaded other code than there is here (release ")
    assert "(release 2030-01, since" in str(told)
    assert "(release 2030-02, since" in str(told)
    assert Reasons(bench.runtime).other_code_on(["default"]) is None
    assert Reasons(bench.runtime).other_code_on(["nobody"]) is None


def test_those_with_other_code_are_named_beside_others_by_who_starts_another_worker(bench: Bench) -> None:
    working(bench, "new")
    assert Reasons(bench.runtime).others_on(["default", "slow"]) is None
    working(bench, "boss", queues=("slow", "default"), release="2030-01", since=1_000)
    assert Reasons(bench.runtime).others_on(["default", "slow"]) == (
        "process 41 of web1 (release 2030-01, since 1970-01-01 00:00:01 UTC)"
    )
    assert Reasons(bench.runtime).others_on(["elsewhere"]) is None


def test_an_edit_since_the_commit_is_seen_where_the_same_machines_are_loaded(bench: Bench) -> None:
    assert "has loaded other code than there is here: process" in str(told(bench, source="0" * 12).workers)


def test_code_is_not_compared_where_other_modules_are_loaded(bench: Bench) -> None:
    assert told(bench, source="0" * 12, machines=machines_with(counter=None)).workers is None


def test_a_long_queue_is_told_by_how_many_jobs_are_before(bench: Bench) -> None:
    for number in (1, 2, 3):
        submitted(str(number))
    assert str(Order.get("1").explain().waiting_for).endswith("from queue 'default'")
    assert str(Order.get("2").explain().waiting_for).endswith("from queue 'default', where 1 job is before it")
    assert str(Order.get("3").explain().waiting_for).endswith("from queue 'default', where 2 jobs are before it")
    third = bench.runtime.store.entities.load("order", "3")
    assert third is not None
    assert Reasons(bench.runtime).told(third.row)["queued"] == "2 jobs are before it"


def test_a_timer_that_is_overdue_is_blocked_where_no_worker_runs(bench: Bench) -> None:
    order = Order.start("1", amount=2_000)
    order.submit()
    bench.step()
    assert order.explain().blocked_by is None
    bench.clock.ms += 3_700_000
    assert order.explain().blocked_by == (
        "no worker runs, and timers are looked after by workers; start one with 'fsmflow worker'"
    )
    working(bench, "boss")
    assert order.explain().blocked_by is None


def test_a_retry_that_is_overdue_is_blocked_by_what_keeps_workers_from_it(bench: Bench) -> None:
    order = submitted()
    bench.take()
    assert "no worker listens" in str(order.explain().blocked_by)


def test_waiting_in_vain_says_why(bench: Bench) -> None:
    order = submitted()
    with pytest.raises(TimeoutError) as raised:
        order.wait(timeout=0)
    assert str(raised.value) == (
        "order:1 is still in 'charging' after 0 s: it waits for a worker to run attempt 1 of job 'act' from queue "
        "'default'; blocked by: no worker listens on queue 'default'; start one with 'fsmflow worker'"
    )


def test_a_worker_of_the_time_before_a_deployment_runs_what_is_stored_as_it_knows_it(bench: Bench) -> None:
    deploy(bench, Parcel)
    Parcel.start("1", weight=2).trigger("begin")
    working(bench, "boss", machines={"parcel": abilities_of(Parcel._definition)}, release="2030-01")
    deploy(bench, Second)
    reasons = Reasons(bench.runtime)
    snapshot = bench.runtime.store.entities.load("parcel", "1")
    assert snapshot is not None
    assert (snapshot.version, Second.get("1").explain().blocked_by) == (1, None)
    told = reasons.told(snapshot.row)
    assert told["blocked"] is None
    assert "release 2030-01" in str(told["workers"])
    deploy(bench, Renamed)
    assert Renamed.get("1").state == "wrapping"
    assert Renamed.get("1").explain().blocked_by is None, "the worker knows it under its old name"


def test_nothing_blocks_what_has_come_to_its_end(bench: Bench) -> None:
    order = submitted()
    order.cancel()
    snapshot = bench.runtime.store.entities.load("order", "1")
    assert snapshot is not None
    assert Reasons(bench.runtime).told(snapshot.row) == dict.fromkeys(("queued", "blocked", "workers"))
    assert Reasons(bench.runtime).told(snapshot.row + 1) == dict.fromkeys(("queued", "blocked", "workers"))
