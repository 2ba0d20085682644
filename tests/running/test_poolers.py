"""Behind a PgBouncer that gives each transaction another connection: nothing relies on what one remembers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import peewee
import pytest

from fsmflow import Machine, State
from fsmflow.engine.runtime import current
from tests.support.bench import bench_on
from tests.support.concurrency import in_threads
from tests.support.loop_flows import Call
from tests.support.machines import Order
from tests.support.pgbouncer import keeps_prepared, pooled
from tests.support.process_flows import Chain
from tests.support.processes import World, installation
from tests.support.terminal import Terminal

pytestmark = pytest.mark.postgres

CHAINS = 40
_OTHERS = 8


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    with pooled(postgres_url) as url:
        yield url


@pytest.mark.parametrize("settings", ["", "?prepare_threshold=0", "?prepare_threshold=2"])
def test_workers_lose_nothing_and_crash_nowhere(
    pooled_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str
) -> None:
    url = f"{pooled_url}{settings}"
    with installation(tmp_path, monkeypatch, database_url=url, redis_url=redis_url) as place:
        check_work(place)
        assert current().store.link.is_pooled


def check_work(place: World) -> None:
    supervisors = [place.supervisor(processes=2) for _ in range(2)]
    chains = [Chain.start(str(number), saves=number % 2 == 0) for number in range(CHAINS)]
    for chain in chains:
        chain.trigger("go")
    for chain in chains:
        assert chain.wait("ended", timeout=60).state == "ended"
        assert [entry.kind for entry in chain.history if entry.kind != "saved"] == ["start"] + ["transition"] * 4
        assert [effect.attempt for effect in place.effects(chain.entity_id)] == [1, 1, 1]
    for supervisor in supervisors:
        assert "worker.lost" not in supervisor.log
        assert "Traceback" not in supervisor.log


def test_what_is_claimed_and_committed_together_counts_once(
    pooled_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installation(tmp_path, monkeypatch, database_url=pooled_url, redis_url=redis_url) as place:
        supervisors = [place.supervisor("--concurrency", "20") for _ in range(2)]
        calls = [Call.start(str(number)) for number in range(CHAINS)]
        for call in calls:
            call.trigger("go")
        for call in calls:
            call.wait("ended", timeout=60)
            assert [effect.attempt for effect in place.effects(call.entity_id)] == [1, 1]
        for supervisor in supervisors:
            assert "worker.lost" not in supervisor.log
            assert "Traceback" not in supervisor.log


@pytest.mark.parametrize("threshold", [0, 1, 5])
def test_what_is_prepared_is_so_no_more_once_it_is_not_there_unless_the_pooler_keeps_it(
    pooled_url: str, redis_url: str, threshold: int
) -> None:
    """The programs of users, whose calls are answered and raise nothing."""
    with bench_on(redis_url, database_url=f"{pooled_url}?prepare_threshold={threshold}") as bench:
        link = bench.runtime.store.link

        def run(number: int) -> None:
            for turn in range(10):
                order = Order.start(f"{number}-{turn}")
                order.submit()
                order.note(text="and a commit")

        in_threads(8, link, run)
        bench.run("default", "slow")
        assert Order.counts() == {"shipped": 80}
        assert (link.db.connect_params["prepare_threshold"] is None) is not keeps_prepared()


class Payment(Machine):
    initial = "new"
    states = ["new", State("paying", job="pay", transactional=True), State("paid", final=True)]
    transitions = [["pay_now", "new", "paying"], ["done", "paying", "paid"]]

    def pay(self) -> dict[str, int]:
        db = current().store.link.db
        return {"paid": int(db.execute_sql("SELECT 1").fetchone()[0])}


def test_a_transactional_job_in_a_database_of_the_users_own_costs_no_crash(pooled_url: str, redis_url: str) -> None:
    parts = urlsplit(pooled_url)
    db = peewee.PostgresqlDatabase(
        parts.path[1:], host=parts.hostname, port=parts.port, user="anybody", prefer_psycopg3=True, prepare_threshold=0
    )
    with bench_on(redis_url, database=db, machines=(Payment,)) as bench:
        in_threads(_OTHERS, bench.runtime.store.link, lambda number: Payment.start(number).trigger("pay_now"))
        bench.run()
        bench.advance(1)
        bench.run()
        assert Payment.counts() == {"paid": _OTHERS}
        for number in range(_OTHERS):
            assert "crashed" not in [entry.kind for entry in Payment.get(number).history]


def test_init_and_check_tell_of_a_pooler(
    pooled_url: str,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for url, is_pooled in ((pooled_url, True), (postgres_url, False)):
        with installation(tmp_path, monkeypatch, database_url=url, redis_url=redis_url):
            for command in (["init"], ["check", "--database"]):
                told = Terminal(capsys, monkeypatch).run(*command)
                assert ("a pooler of connections stands in front of the database" in told.out) is is_pooled


@pytest.mark.parametrize("settings", ["", "?prepare_threshold=1"])
def test_commands_do_what_they_do_without_a_pooler(
    pooled_url: str,
    redis_url: str,
    settings: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"{pooled_url}{settings}"
    with installation(tmp_path, monkeypatch, database_url=url, redis_url=redis_url):
        terminal = Terminal(capsys, monkeypatch)
        chains = [Chain.start(str(number)) for number in range(_OTHERS)]
        in_threads(_OTHERS, current().store.link, lambda number: chains[number].trigger("go"))
        assert "PostgreSQL" in terminal.ok("info")
        for words in (["verify"], ["check", "--database"], ["stats"], ["list"], ["history", "chain:1"]):
            for _ in range(2):
                terminal.ok(*words)
        assert "one" in terminal.ok("explain", "chain:1")
