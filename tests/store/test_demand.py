"""How much there is for the workers of some queues, as what starts and ends them asks."""

from __future__ import annotations

import pytest

from fsmflow.objects.counts import demand_object
from tests.support.bench import Bench
from tests.support.machines import Order, play
from tests.support.servers import on_sqlite
from tests.support.terminal import Terminal


def wanted(bench: Bench, queue: str) -> tuple[int, int, int]:
    found = demand_object(bench.runtime, [queue])
    assert found["wanted"] == found["due"] + found["running"] + found["timers"]
    return found["due"], found["running"], found["timers"]


def test_what_waits_or_runs_is_wanted_where_it_waits_and_what_is_over_is_not(bench: Bench) -> None:
    assert wanted(bench, "default") == (0, 0, 0)
    order = Order.start("1", amount=5)
    order.trigger("submit")
    assert (wanted(bench, "default"), wanted(bench, "slow")) == ((1, 0, 0), (0, 0, 0))
    seen = []
    play["charging"] = lambda machine: seen.append(wanted(bench, "default"))
    bench.step()
    assert seen == [(0, 1, 0)]
    assert (wanted(bench, "default"), wanted(bench, "slow")) == ((0, 0, 0), (1, 0, 0))
    order.pause()
    assert wanted(bench, "slow") == (0, 0, 0)


def test_a_timer_is_wanted_by_any_worker_once_it_is_due_and_told_before(bench: Bench) -> None:
    order = Order.start("1", amount=5_000)
    order.trigger("submit")
    bench.step()
    assert order.refresh().state == "approval"
    found = demand_object(bench.runtime, ["slow"])
    assert (found["wanted"], found["next_at"] is not None) == (0, True)
    bench.clock.ms += 3_600_000
    assert wanted(bench, "slow") == (0, 0, 1)
    bench.sweep()
    assert (order.refresh().state, wanted(bench, "slow")) == ("rejected", (0, 0, 0))


def test_a_message_is_wanted_once_it_is_to_be_delivered(bench: Bench) -> None:
    play["charging"] = lambda machine: machine.send("note", after=60)
    order = Order.start("1", amount=5_000)
    order.trigger("submit")
    bench.step()
    assert wanted(bench, "default") == (0, 0, 0)
    bench.clock.ms += 60_000
    assert wanted(bench, "default") == (0, 0, 1)


@on_sqlite
def test_the_command_tells_it_and_where_in_redis_the_doorbells_are(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(capsys, monkeypatch)
    Order.start("1", amount=5).trigger("submit")
    found = terminal.json("stats", "--queue", "default")
    (list_,) = found["lists"]
    assert (found["wanted"], bench.redis.llen(list_)) == (1, 1)
    first, second = terminal.ok("stats", "--queue", "default").splitlines()
    assert first == "queue default: 1 due, 0 running, 0 timers or messages due"
    assert second == f"wanted: 1; next: {found['next_at']}"
