"""A server that is away is told once as that begins and once as it ends."""

from __future__ import annotations

import logging
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow.errors import DatabaseUnavailable
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.outage import DATABASE, Outage
from tests.support.bench import Bench
from tests.support.machines import Order
from tests.support.servers import Valkey


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The names of the events that an operator sees, in order."""
    told = [record for record in caplog.records if record.name == "fsmflow" and record.levelno >= logging.INFO]
    return [record.getMessage().partition(":")[0] for record in told]


def test_redis_that_goes_and_comes_back_is_two_lines(
    bench: Bench, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    maintenance = Maintenance(bench.runtime, ("default",), "host")
    maintenance.sweep(in_turn=False)
    Order.start("1").submit()
    valkey.stop()
    for _ in range(3):
        maintenance.sweep(in_turn=False)
    valkey.start()
    for _ in range(3):
        maintenance.sweep(in_turn=False)
    assert events(caplog) == ["redis.lost", "redis.back", "redis.empty"]


def test_a_redis_that_is_empty_as_a_worker_starts_is_not_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    Order.start("1").submit()
    bench.redis.flushall()
    Maintenance(bench.runtime, ("default",), "host").sweep(in_turn=False)
    assert len(bench.queued()) == 1
    assert events(caplog) == []


def test_what_waits_in_redis_as_the_first_worker_begins_is_not_rung_again(bench: Bench) -> None:
    """A client may have started thousands before there is a worker: each would be claimed twice, once in vain."""
    bench.redis.delete(bench.runtime.doorbell._marker_key)
    for number in range(3):
        Order.start(str(number)).submit()
    waiting = bench.queued()
    for _ in range(2):
        Maintenance(bench.runtime, ("default",), "host").sweep(in_turn=False)
        assert bench.queued() == waiting
    assert len(waiting) == 3
    bench.redis.flushall()
    Maintenance(bench.runtime, ("default",), "host").sweep(in_turn=False)
    assert len(bench.queued()) == 3, "what has been lost since is rung at once"


def test_who_goes_on_calling_while_redis_is_away_is_told_once(
    bench: Bench, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    valkey.stop()
    for number in range(3):
        bench.runtime.doorbell._quiet_until = float("-inf")
        Order.start(str(number)).submit()
    valkey.start()
    bench.runtime.doorbell._quiet_until = float("-inf")
    Order.start("3").submit()
    assert events(caplog) == ["dispatch.failed", "dispatch.back"]
    assert bench.runtime.doorbell.failures == 3


def test_an_outage_is_told_again_only_after_it_was_over(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(DATABASE)
    with caplog.at_level(logging.INFO, "fsmflow"):
        outage.over()
        for error in (OSError("no route"), OSError("no answer")):
            outage.met(error)
        outage.over()
        outage.over()
        outage.met(OSError("gone"))
    assert events(caplog) == ["database.lost", "database.back", "database.lost"]
    assert caplog.messages[0] == "database.lost: no route; it is tried again until it answers"


def test_a_result_whose_commit_got_no_answer_counts_once_it_is_found_and_what_follows_is_rung_for(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a standby takes over that had the commit."""
    Order.start("1").submit()
    commits = type(bench.runtime.store.commits)
    original = commits.commit
    cut: list[str] = []

    def commit(self: Any, what: Any, on_commit: Any) -> Any:
        if cut:
            return original(self, what, on_commit)
        after = original(self, what, lambda after: None)
        sql = f"SELECT token FROM fsmflow_history WHERE entity = {bench.runtime.store.link.mark} ORDER BY seq DESC"
        cut.append(bench.runtime.store.link.rows(sql, (after.row,))[0][0])
        raise DatabaseUnavailable("it went away with the answer, and stayed away", in_doubt=True, token=cut[0])

    with patch.object(commits, "commit", commit):
        bench.step()
    assert Order.counts() == {"shipping": 1}
    assert len(bench.queued("slow")) == 1
    assert events(caplog) == ["settle.waits", "commit.in_doubt"]
