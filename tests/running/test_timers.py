"""Deadlines, delays and pauses; and doorbells that are rung again until they are answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import Actor, DataError, Machine, RetryAfter, State, TransitionNotAllowed
from fsmflow.decision.work import GRACE_MS
from fsmflow.running.lease import LEASE_MS
from fsmflow.store.tables import WORK
from fsmflow.verify import verify
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import by_others, meanwhile
from tests.support.machines import Order, play
from tests.support.sandbox import sandbox

ALICE = Actor("alice", roles={"manager"})
GRACE_S = GRACE_MS / 1000
HOUR_S = 3_600


def started(trigger: str | None = None, **data: Any) -> Any:
    order = Order.start("1", **data)
    if trigger:
        order.trigger(trigger)
    return order


def in_approval(bench: Bench) -> Any:
    order = started("submit", amount=2_000)
    bench.step()
    assert order.refresh().state == "approval"
    return order


def raising(machine: Any) -> None:
    raise ConnectionError("down")


def test_a_deadline_fires_when_it_is_over_and_not_before(bench: Bench) -> None:
    order = in_approval(bench)
    bench.advance(HOUR_S - 0.001)
    assert order.refresh().state == "approval"
    bench.advance(0.001)
    assert (order.refresh().state, order.phase) == ("rejected", "finished")
    assert (order.history[-1].trigger, order.history[-1].actor) == ("timeout", None)
    bench.advance(HOUR_S)
    assert len(order.history) == 4


def test_a_deadline_that_was_met_never_fires(bench: Bench) -> None:
    order = in_approval(bench)
    order.approve(actor=ALICE)
    bench.advance(HOUR_S)
    assert order.refresh().state == "shipping"


@pytest.mark.parametrize("after_s", [6, 11, 14])
def test_a_deadline_soon_after_a_look_at_the_branches_is_not_overlooked(after_s: int) -> None:
    """Who looks at them, and finds nothing, puts the next look off."""

    class Visit(Machine):
        initial = "inside"
        states = [State("inside"), State("over", final=True)]
        transitions = [["leave", "inside", "over"]]

    class Asking(Machine):
        initial = "asking"
        states = [
            State("asking", job="ask", each="whom", within=after_s),
            State("receiving", machine="visit", timeout=after_s),
            State("closed", final=True),
        ]
        transitions = [
            ["done", "asking", "closed"],
            ["timeout", "asking", "receiving"],
            ["done", "receiving", "closed"],
            ["timeout", "receiving", "closed"],
        ]

        def ask(self, whom: str) -> None:
            raise RetryAfter(60)

    with sandbox(machines=[Asking, Visit]) as box:
        asking = Asking.start("1", whom=["a", "b"])
        states = []
        for _ in range(2):
            box.advance(seconds=after_s + 1)
            states.append(asking.refresh().state)
        assert states == ["receiving", "closed"]


class Claim(Machine):
    """The deadline of what it asks is refused as long as it is disputed."""

    initial = "asking"
    states = [State("asking", job="ask", wait=True, timeout=60), State("over", final=True)]
    transitions = [
        {"trigger": "timeout", "source": "asking", "dest": "over", "unless": "is_disputed"},
        ["answer", "asking", "over"],
        {"trigger": "settle", "source": "asking", "dest": None, "before": "agree"},
    ]

    def ask(self) -> None:
        raise AssertionError("its time is over")

    def is_disputed(self) -> bool:
        return bool(self.data.get("disputed"))

    def agree(self) -> None:
        self.data["disputed"] = False


@pytest.mark.parametrize("action", ["resume", "retry"])
def test_a_deadline_that_was_refused_beside_a_job_is_tried_by_whoever_asks(
    action: str, database_url: str, redis_url: str
) -> None:
    with bench_on(redis_url, machines=(Claim,), database_url=database_url) as bench:
        claim: Any = Claim.start("1", disputed=True)
        bench.advance(60)
        for _ in range(3):  # it is rung for meanwhile
            bench.advance(5)
            assert [stuck.what for stuck in claim.explain().stuck] == ["timer 'timeout'"]
        with pytest.raises(TransitionNotAllowed, match="was tried now, and is refused still"):
            getattr(claim, action)()
        claim.settle()
        getattr(claim, action)(actor=ALICE)
        assert (claim.state, claim.explain().stuck) == ("over", ())
        assert [entry.kind for entry in claim.history] == ["start", "internal", "hurried", "transition"]
        for ticket in bench.queued():
            bench.execute(ticket)
        assert claim.refresh().state == "over"
        found = verify(bench.runtime.store, bench.runtime.machines.all(), strict=True)
        assert found.violations == []


def test_internal_transitions_leave_a_deadline_alone(bench: Bench) -> None:
    order = in_approval(bench)
    bench.advance(HOUR_S / 2)
    order.note(text="still thinking")
    bench.advance(HOUR_S / 2)
    assert order.refresh().state == "rejected"


def test_a_delay_fires_done_after_its_time_and_accepts_triggers_meanwhile(bench: Bench) -> None:
    order = started("cool", cooling=90)
    assert order.phase == "waiting"
    order.note(text="meanwhile")
    bench.advance(89)
    assert order.refresh().state == "cooling"
    bench.advance(1)
    assert order.refresh().state == "approval"
    assert order.history[-1].trigger == "done"
    bench.advance(HOUR_S)
    assert order.refresh().state == "rejected"


def test_a_delay_of_no_time_is_over_at_the_next_sweep(bench: Bench) -> None:
    order = started("cool", cooling=0)
    bench.advance(0)
    assert order.refresh().state == "approval"


@pytest.mark.parametrize("cooling", ["soon", -5, None, True, float("inf"), float("nan"), datetime(2024, 1, 1)])
def test_a_delay_that_is_no_time_is_refused_with_the_trigger_that_leads_there(bench: Bench, cooling: Any) -> None:
    order = started()
    play["cooling_time"] = lambda machine: cooling
    with pytest.raises((ValueError, OverflowError, DataError)):
        order.cool()
    assert (order.refresh().state, len(order.history)) == ("pending", 1)


@pytest.mark.parametrize("ahead", [timedelta(seconds=90), timedelta(seconds=-90)])
def test_a_delay_may_be_a_moment(bench: Bench, ahead: timedelta) -> None:
    play["cooling_time"] = lambda machine: datetime.fromtimestamp(bench.clock.now() / 1000, tz=UTC) + ahead
    order = started("cool")
    bench.advance(89.9 if ahead > timedelta() else 0)
    assert order.refresh().state == ("cooling" if ahead > timedelta() else "approval")
    bench.advance(0.1)
    assert order.refresh().state == "approval"


def test_a_timer_is_fired_by_one_of_two_sweepers(bench: Bench) -> None:
    order = in_approval(bench)
    bench.clock.ms += HOUR_S * 1000
    with meanwhile(bench.runtime.store.work, "due", bench.sweep):
        bench.sweep()
    assert order.refresh().state == "rejected"
    assert len(order.history) == 4


def test_a_timer_that_somebody_moves_on_from_at_the_last_moment_is_dropped(bench: Bench) -> None:
    order = in_approval(bench)
    bench.clock.ms += HOUR_S * 1000
    with meanwhile(bench.runtime.store.work, "due", lambda: Order.get("1").approve(actor=ALICE)):
        bench.sweep()
    assert order.refresh().state == "shipping"


def test_a_timer_whose_guards_raise_keeps_no_other_from_firing(bench: Bench) -> None:
    broken, fine = started("cool", cooling=1), Order.start("2")
    fine.cool()
    with patch("fsmflow.running.maintenance.timers.TimerFired", side_effect=[RuntimeError("broken"), None]):
        bench.advance(1)
    assert broken.refresh().state == "cooling"
    bench.advance(60)
    assert (broken.refresh().state, fine.refresh().state) == ("approval", "approval")


def test_pausing_holds_a_timer_and_resuming_gives_it_its_remaining_time_back(bench: Bench) -> None:
    order = in_approval(bench)
    bench.advance(HOUR_S - 100)
    assert order.pause(actor="bob", reason="holidays") is order
    assert order.paused
    bench.advance(10 * HOUR_S)
    assert order.refresh().state == "approval"
    assert not order.resume(actor="bob").paused
    bench.advance(99)
    assert order.refresh().state == "approval"
    bench.advance(1)
    assert order.refresh().state == "rejected"
    assert [(entry.kind, entry.actor, entry.reason, entry.dest) for entry in order.history[3:5]] == [
        ("paused", "bob", "holidays", "approval"),
        ("resumed", "bob", None, "approval"),
    ]


def test_pausing_changes_neither_epoch_nor_data_and_a_second_pause_nothing_at_all(bench: Bench) -> None:
    order = in_approval(bench)
    epoch = order.epoch
    order.pause().pause()
    assert (order.epoch, len(order.history)) == (epoch, 4)
    order.resume().resume()
    assert (order.epoch, order.refresh().paused, len(order.history)) == (epoch, False, 5)


def test_a_paused_entity_runs_nothing_until_it_is_resumed(bench: Bench) -> None:
    order = started("submit").pause()
    bench.step()
    bench.advance(1_000)
    assert (order.refresh().state, bench.queued()) == ("charging", [])
    order.resume()
    bench.step()
    assert order.refresh().state == "shipping"


def test_a_running_attempt_ends_and_commits_and_what_comes_next_is_held(bench: Bench) -> None:
    order = started("submit")

    def act(machine: Any) -> dict[str, int]:
        by_others(Order.get("1")).pause()
        machine.heartbeat(progress=0.5)
        machine.save()
        return {"paid": 1}

    play["charging"] = act
    bench.step()
    assert (order.refresh().state, order.data, order.paused) == ("shipping", {"paid": 1}, True)
    bench.advance(1_000)
    assert bench.queued("slow") == []
    order.resume()
    bench.step("slow")
    assert order.refresh().state == "shipped"


def test_triggers_are_committed_while_paused_and_what_they_lead_to_is_held(bench: Bench) -> None:
    order = started().pause()
    order.submit()
    assert (order.state, order.paused, bench.queued()) == ("charging", True, [])
    bench.advance(1_000)
    order.note(text="paused")
    order.resume()
    assert len(bench.queued()) == 1


def test_a_pause_holds_a_retry_for_the_time_that_was_left(bench: Bench) -> None:
    order = started("submit")
    play["charging"] = raising
    bench.step()
    bench.advance(4)
    order.pause()
    bench.advance(100)
    order.resume()
    bench.advance(5.9)
    assert bench.queued() == []
    bench.advance(0.1)
    assert len(bench.queued()) == 1


@pytest.mark.parametrize("ending", ["fails", "crashes"])
def test_an_attempt_that_ends_badly_while_paused_is_not_run_again_before_it_is_resumed(
    bench: Bench, ending: str
) -> None:
    order = started("submit")

    def act(machine: Any) -> None:
        by_others(Order.get("1")).pause()
        raise ConnectionError("down")

    play["charging"] = act
    if ending == "crashes":
        ticket = bench.take()
        lease_until = bench.clock.now() + LEASE_MS
        assert bench.runtime.store.work.claim(ticket, "lost", lease_until=lease_until) is not None
        order.pause()
        bench.advance(LEASE_MS / 1000)
    else:
        bench.step()
    assert (order.refresh().attempt, order.paused) == (2, True)
    bench.advance(1_000)
    assert bench.queued() == []
    order.resume()
    bench.advance(10)
    assert [ticket.attempt for ticket in bench.queued()] == [2]


def test_a_paused_entity_that_failed_can_be_retried_and_waits_for_resume(bench: Bench) -> None:
    order = started("submit")
    play["charging"] = lambda machine: 5
    bench.step()
    order.pause()
    order.retry()
    assert (order.state, order.paused, bench.queued()) == ("charging", True, [])
    order.resume()
    assert len(bench.queued()) == 1


def test_a_paused_entity_can_be_cancelled_and_nothing_is_left(bench: Bench) -> None:
    order = started("submit").pause().cancel()
    assert order.state == "cancelled"
    assert bench.runtime.store.link.rows(f"SELECT * FROM {WORK}") == []
    with pytest.raises(TransitionNotAllowed, match="nothing is left to hold"):
        Order.start("2").cancel().pause()


def test_resuming_what_waits_for_a_worker_rings_a_fresh_doorbell(bench: Bench) -> None:
    order = started("submit")
    bench.redis.flushall()
    assert order.resume().state == "charging"
    (ticket,) = bench.queued()
    assert ticket.dispatch == 1
    order.resume()
    assert [ticket.dispatch for ticket in bench.queued()] == [1, 2], "an id is never used twice"
    bench.step()
    bench.step()
    assert (order.refresh().state, len(order.history)) == ("shipping", 3)


def test_resuming_what_runs_or_waits_for_a_person_does_nothing(bench: Bench) -> None:
    order = started()
    assert order.resume().state == "pending"
    order.submit()
    seen: list[Any] = []
    play["charging"] = lambda machine: seen.append(by_others(Order.get("1")).resume().history)
    bench.step()
    assert len(seen[0]) == 2
    assert bench.queued() == []


def test_a_doorbell_that_is_lost_is_rung_again_after_its_grace(bench: Bench) -> None:
    order = started("submit")
    bench.take()
    bench.advance(GRACE_S - 0.1)
    assert bench.queued() == []
    bench.advance(0.1)
    assert [ticket.dispatch for ticket in bench.queued()] == [1]
    bench.step()
    assert order.refresh().state == "shipping"


def test_a_doorbell_that_still_waits_in_its_queue_is_not_rung_again(bench: Bench) -> None:
    started("submit")
    for _ in range(10):
        bench.advance(60)
    assert [ticket.dispatch for ticket in bench.queued()] == [0]


def test_all_jobs_are_rung_again_at_once_when_redis_lost_what_it_had(bench: Bench) -> None:
    orders = [Order.start(number) for number in range(5)]
    for order in orders:
        order.submit()
    bench.sweep()
    bench.redis.flushall()
    bench.sweep()
    assert sorted(ticket.row for ticket in bench.queued()) == [order._view.snapshot.row for order in orders]
    bench.sweep()
    assert len(bench.queued()) == 5
    for _ in orders:
        bench.step()
    assert {order.refresh().state for order in orders} == {"shipping"}
