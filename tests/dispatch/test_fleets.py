"""Redis behind sentinels, and in a cluster: whoever takes over is found, and nothing is lost with the one before."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from fsmflow.dispatch.client import connect
from fsmflow.engine.runtime import current
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.fleets import Cluster, Sentinels, cluster, sentinels
from tests.support.paths import ROOT
from tests.support.process_flows import Chain
from tests.support.processes import World, installation
from tests.support.terminal import Terminal

CHAINS = 60
#: Between two steps, whatever server ends meanwhile.
MOST_S = 10


#: A program that starts those that it is told of.
STARTS = """
import sys
from tests.support.paths import ROOT
from tests.support.process_flows import Chain
for line in sys.stdin:
    for number in range(*map(int, line.split())):
        Chain.start(str(number)).trigger("go")
"""


def start(first: int, last: int) -> None:
    for number in range(first, last):
        Chain.start(str(number)).trigger("go")


def check_arrivals(town: World) -> None:
    """All have arrived, each step done once, with no long gap between two steps; and the checker finds nothing."""
    for number in range(CHAINS):
        Chain.get(str(number)).wait("ended", timeout=30)
    moments = sorted(effect.at for number in range(CHAINS) for effect in town.effects(str(number)))
    assert len(moments) == CHAINS * 3
    assert max(after - before for before, after in itertools.pairwise(moments)) < MOST_S
    runtime = current()
    assert verify(runtime.store, runtime.machines.all()).violations == []


def arrived() -> int:
    return Chain.counts().get("ended", 0)


@pytest.fixture
def guarded() -> Iterator[Sentinels]:
    with sentinels() as made:
        yield made


@pytest.fixture(scope="module")
def spread() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


def test_a_replica_is_found_out_as_the_tables_are_made(
    guarded: Sentinels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replica = f"redis://:ses%40me@127.0.0.1:{guarded.replica.port}/0"
    monkeypatch.setenv("FSMFLOW_MACHINES", "tests.support.process_flows")
    terminal = Terminal(capsys, monkeypatch)
    with installation(tmp_path, monkeypatch, database_url=f"sqlite:///{tmp_path}/f.db", redis_url=replica):
        assert "Redis takes no jobs (redis://:***@127.0.0.1:" in terminal.ok("init")
        for told in (terminal.ok("init"), terminal.ok("info")):
            assert "READONLY: this server is a replica; name the master" in told
            assert "redis+sentinel://host:26379/name" in told
    with installation(tmp_path, monkeypatch, database_url=f"sqlite:///{tmp_path}/f.db", redis_url=guarded.url):
        told = terminal.ok("init") + terminal.ok("info")
        assert "Redis answers (redis+sentinel://:***@127.0.0.1:" in told
        assert not any(word in told for word in ("READONLY", "ses", "open%3F"))


def test_a_master_that_is_killed_under_load_loses_nothing(
    guarded: Sentinels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/fsmflow.db"
    with installation(tmp_path, monkeypatch, database_url=url, redis_url=guarded.url) as town:
        town.supervisor(processes=1)
        start(0, 30)
        eventually(lambda: arrived() > 5, what="the first chains")
        guarded.master.kill()
        start(30, 50)
        eventually(lambda: arrived() == 50, what="all chains that are on their way")
        assert guarded.has_changed()
        # It only waits for a job by now; the one that stands by takes its place.
        os.kill(town.effects("49", "three")[-1].pid, signal.SIGTERM)
        start(50, CHAINS)
        check_arrivals(town)
        assert len({effect.pid for number in range(CHAINS) for effect in town.effects(str(number))}) == 2


@contextlib.contextmanager
def program(town: World) -> Iterator[Callable[[int, int], None]]:
    """A program that starts and triggers the chains that it is told of: RQ's prefix is that of a whole process."""
    command = [sys.executable, "-c", STARTS]
    with subprocess.Popen(command, env=town.environment, cwd=ROOT, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        words = process.stdin
        yield lambda first, last: print(first, last, file=words, flush=True)


def test_a_node_of_a_cluster_says_what_would_be_right(spread: Cluster) -> None:
    node = spread.nodes[2]
    with contextlib.closing(connect(f"redis://127.0.0.1:{node.port}", timeout_s=5)) as client:
        with pytest.raises(ResponseError, match=r"MOVED: .* redis\+cluster://host:port as its URL"):
            client.hdel("{rq}:x", "x")
        with pytest.raises(ResponseError, match="CROSSSLOT: .* set RQ_KEY_PREFIX={rq} for all"):
            client.execute_command("DEL", "rq:x", "rq:y")
        with pytest.raises(ResponseError, match="Redis Cluster"):
            client.eval("return redis.call('GET', 'rq:x')", 0)


def test_a_slot_that_moves_and_a_node_that_is_killed_under_load_lose_nothing(
    spread: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/fsmflow.db"
    with installation(tmp_path, monkeypatch, database_url=url, redis_url=spread.url) as town:
        supervisor = town.supervisor(processes=1)
        source, target = spread.nodes[0], spread.nodes[1]
        with program(town) as starts:
            starts(0, 25)
            eventually(lambda: arrived() > 5, what="the first chains")
            spread.move(source, target)
            starts(25, 40)
            eventually(lambda: arrived() > 30, what="chains at the other node")
            target.kill()
            starts(40, CHAINS)
        print(supervisor.log)
        check_arrivals(town)
        assert spread.owner(spread.nodes[2]) is spread.nodes[4]
