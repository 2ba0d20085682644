"""A worker takes doorbells of short steps ahead, and claims the next one in the commit that ends the one before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow import Machine, State
from fsmflow.dispatch.reserve import Reserve
from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.running.executor import Executor
from fsmflow.running.slot import Slot
from fsmflow.running.successor import Successor
from fsmflow.store.bundles import Bundles
from fsmflow.store.link import open_database
from fsmflow.verify.checker import verify
from tests.running.test_committer import calls, check_all_arrived
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import by_others
from tests.support.eventually import eventually
from tests.support.loop_flows import Call
from tests.support.processes import World
from tests.support.traces import ran

#: Where a worker is killed, and after how many passes.
DEATHS = {
    "take.after": 30,
    "claim.before": 55,
    "claim.after": 65,
    "job.before": 45,
    "settle.before": 50,
    "commit.before": 80,
    "commit.after": 75,
    "settle.after": 90,
}
COUNT = 50
SHORT = 20


class Parcel(Machine):
    """Two short steps."""

    initial = "new"
    states = ["new", State("packing", job="pack"), State("driving", job="drive"), State("over", final=True)]
    transitions = [["go", "new", "packing"], ["done", "packing", "driving"], ["done", "driving", "over"]]

    def pack(self) -> None:
        self._do("pack")

    def drive(self) -> None:
        self._do("drive")

    def _do(self, what: str) -> None:
        ran.append(f"{what} {self.entity_id}")
        action = actions.pop(f"{what} {self.entity_id}", None)
        if action is not None:
            action()


proxy = peewee.DatabaseProxy()


class Row(peewee.Model):
    status = peewee.CharField(null=True)

    class Meta:
        database = proxy


class Stamped(Machine):
    """It writes its state to a row of the user's."""

    initial = "new"
    status_field = Row.status
    states = ["new", State("stamping", job="stamp"), State("over", final=True)]
    transitions = [
        ["go", "new", "stamping"],
        {"trigger": "done", "source": "stamping", "dest": "over", "conditions": "is_dry"},
    ]

    def stamp(self) -> None:
        return None

    def is_dry(self) -> bool:
        ran.append(f"asked {self.entity_id}")
        return True


#: What a job does besides.
actions: dict[str, Any] = {}


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Parcel,)) as bench:
        yield bench
    actions.clear()


class Staff:
    """A worker in this process, and what it writes together."""

    def __init__(self, bench: Bench, *, run_on: bool = False) -> None:
        self.slot = Slot.create(1)
        self.reserve = Reserve()
        self.stopping = False
        self.successor = Successor(bench.runtime, self.reserve, self.slot.successor)
        self.executor = Executor(
            bench.runtime,
            self.slot,
            goes_on=lambda ran: not self.stopping,
            run_on=run_on,
            successor=self.successor,
        )
        self.worker = StepWorker(
            ["default"],
            bench.runtime.doorbell,
            self.executor.execute,
            lambda: self.stopping,
            reserve=self.reserve,
        )
        for _ in range(SHORT):
            self.reserve.ran(0.001)

    def work(self) -> int:
        """Take what there is; how many ends were written with a claim."""
        together: list[int] = []
        real = Bundles.commit

        def counted(bundles: Bundles, commits: Any, token: str, bids: Any = ()) -> Any:
            found = real(bundles, commits, token, bids)
            together.append(len(bids) if found is not None else 0)
            return found

        with patch.object(Bundles, "commit", counted):
            while not self.stopping and self.worker.work_once(block=False):
                pass
        return sum(together)


def sent(count: int) -> list[Parcel]:
    found = [Parcel.start(f"{number}") for number in range(count)]
    for parcel in found:
        parcel.trigger("go")
    return found


def check(bench: Bench, parcels: list[Parcel], state: str = "over") -> None:
    assert {parcel.refresh().state for parcel in parcels} == {state}
    assert len(ran) == len(set(ran))
    assert not verify(bench.runtime.store, bench.runtime.machines.all(), strict=True).violations


def test_a_step_and_the_claim_of_the_next_take_one_commit(bench: Bench) -> None:
    parcels = sent(6)
    staff = Staff(bench)
    together = staff.work()
    assert together >= 9, "all but the first, and those that others might have taken"
    check(bench, parcels)
    assert ran[:6] == [f"pack {number}" for number in range(6)], "the first come first"
    assert not bench.queued()


def test_who_goes_on_to_the_end_of_an_entity_claims_the_next_one_with_it(bench: Bench) -> None:
    parcels = sent(6)
    together = Staff(bench, run_on=True).work()
    assert together == 4, "all but the first, and the last one, that others might have taken"
    check(bench, parcels)
    assert ran[:4] == ["pack 0", "drive 0", "pack 1", "drive 1"], "one entity after the other"
    assert not bench.queued()


def test_the_last_that_waits_in_a_queue_is_left_to_others(bench: Bench) -> None:
    sent(2)
    staff = Staff(bench)
    actions["pack 0"] = lambda: ran.append(f"{len(bench.queued())} queued")
    staff.work()
    assert ran[:2] == ["pack 0", "1 queued"]


def test_what_takes_long_keeps_nothing_from_others(bench: Bench) -> None:
    parcels = sent(4)
    staff = Staff(bench)
    actions["pack 0"] = lambda: eventually(lambda: len(bench.queued()) == 3, within=30, what="all are in the queue")
    staff.worker.work_once(block=False)
    assert parcels[0].refresh().state == "driving", "its job has seen all the others in the queue"
    assert staff.reserve.room == 0, "after a long one none is taken ahead"
    assert [ticket.row for ticket in bench.queued()][:3] == sorted(ticket.row for ticket in bench.queued()[:3])


def test_a_claim_that_comes_in_vain_leaves_the_end_before_it_as_it_is(bench: Bench) -> None:
    parcels = sent(4)
    staff = Staff(bench)
    actions["pack 0"] = by_others(parcels[1]).pause
    staff.work()
    assert parcels[1].refresh().state == "packing"
    parcels[1].resume()
    staff.work()
    check(bench, parcels)


def test_an_end_that_does_not_count_any_more_does_not_keep_the_next_from_running(bench: Bench) -> None:
    parcels = sent(4)
    staff = Staff(bench)
    actions["pack 0"] = lambda: by_others(parcels[0]).force("over", reason="handed over at the door")
    staff.work()
    check(bench, parcels)
    assert "drive 0" not in ran


def test_what_is_claimed_when_the_worker_is_told_to_end_is_left_to_others(bench: Bench) -> None:
    parcels = sent(5)
    staff = Staff(bench)
    real = staff.worker._go_on

    def told() -> bool:
        staff.stopping = True
        return real()

    with patch.object(staff.worker, "_go_on", told):
        staff.work()
    staff.worker.leave()
    assert ran == ["pack 0"]
    waiting = {ticket.row for ticket in bench.queued()}
    bench.clock.ms += 1
    bench.sweep()
    assert len(waiting | {ticket.row for ticket in bench.queued()}) == 5
    Staff(bench).work()
    check(bench, parcels)


def test_what_is_claimed_runs_though_redis_goes_away(bench: Bench) -> None:
    parcels = sent(5)
    staff = Staff(bench)
    turn = staff.worker._turn

    def fails(*arguments: Any, **options: Any) -> Any:
        if ran:
            raise ConnectionError("nobody answers")
        return turn(*arguments, **options)

    with patch.object(staff.worker, "_turn", fails), pytest.raises(ConnectionError):
        staff.work()
    assert ran == ["pack 0", "pack 1"]
    assert {parcel.refresh().state for parcel in parcels[:2]} == {"driving"}


def test_what_cannot_be_written_with_others_is_decided_once(tmp_path: Path, redis_url: str) -> None:
    proxy.initialize(open_database(f"sqlite:///{tmp_path}/rows.db"))
    proxy.create_tables([Row])
    with bench_on(redis_url, database=proxy.obj, machines=(Stamped,)) as bench:
        stamped = [Stamped.start(f"{Row.create().get_id()}") for _ in range(4)]
        for each in stamped:
            each.trigger("go")
        Staff(bench).work()
        assert {each.refresh().state for each in stamped} == {"over"}
        assert sorted(ran) == [f"asked {each.entity_id}" for each in stamped]


def test_nothing_is_lost_or_done_twice_wherever_the_process_is_killed(any_place: World) -> None:
    any_place.environment["DIES_AT"] = ",".join(f"{point}~{nth}" for point, nth in DEATHS.items())
    found = calls(COUNT)
    supervisor = any_place.supervisor()
    check_all_arrived(any_place, found)
    passed = {point: (any_place.folder / f"passed-{point}").stat().st_size for point in DEATHS}
    assert all(passed[point] >= nth for point, nth in DEATHS.items()), passed
    assert supervisor.log.count("worker.lost") == len(DEATHS)


def test_what_was_taken_ahead_when_it_is_told_to_end_is_left_to_others(place: World) -> None:
    found = calls(80)
    first = place.supervisor(processes=2)
    eventually(lambda: Call.counts().get("ended", 0) > 10, within=60, what="some have come to their end")
    first.terminate()
    assert first.ended() == 0
    assert "attempt.crashed" not in first.log
    assert "WARNING" not in first.log
    place.supervisor(processes=2)
    check_all_arrived(place, found)
