"""What an event loop awaits: the loop goes on, connections stay few and heal, and nothing stays open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from contextvars import ContextVar
from typing import Any, Final

import pytest
import sqlalchemy
from sqlalchemy import column, insert, table, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import fsmflow
from fsmflow import ConfigurationError, EntityExists, Machine, State, joining, points
from fsmflow.engine import threads
from fsmflow.settings import Settings
from tests.support.bench import Bench, bench_on
from tests.support.eventually import eventually
from tests.support.paths import ROOT
from tests.support.servers import on_sqlite
from tests.support.shops import DRIVERS, Purchase, Shop, place

SIZE: Final = Settings.async_threads
#: For which entities a guard was asked, and whether it may answer.
guards: Final[list[str]] = []
free: Final = threading.Event()
free.set()
whose: ContextVar[str] = ContextVar("whose", default="nobody")


class Errand(Machine):
    """Its guard looks who runs it, and where."""

    initial = "new"
    states = [State("new"), State("done", final=True)]
    transitions = [["run", "new", "done", "is_known"], {"trigger": "note", "source": "new", "dest": None}]

    def is_known(self) -> bool:
        guards.append(self.entity_id)
        free.wait(20)
        return whose.get() == "Ada" and threads.in_pool()


class Hasty(Machine):
    """Its job awaits longer than it may."""

    initial = "asking"
    states = [State("asking", job="ask", timeout=0.3), State("asked", final=True)]
    transitions = [["done", "asking", "asked"]]

    async def ask(self) -> None:
        whose.set("Ada")
        await (await Errand.aget(1)).atrigger("run")


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Purchase, Errand, Hasty)) as bench:
        yield bench


@pytest.fixture
def shop(bench: Bench, database_url: str) -> Iterator[Shop]:
    with closing(Shop(database_url)) as shop:
        shop.open()
        yield shop


def awaited(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run this in a loop of its own; no thread is left after it."""

    async def whole() -> None:
        try:
            await main()
        finally:
            await fsmflow.aclose()

    asyncio.run(whole())


def test_the_loop_goes_on_while_a_lock_is_waited_for_and_who_is_cancelled_leaves_nothing_open(
    bench: Bench, shop: Shop
) -> None:
    async def main() -> None:
        whose.set("Ada")
        errand = await Errand.astart(1)
        guards.clear()
        with Session(shop.engine) as session, session.begin():
            Errand.get(1).trigger("note", within=session)
            held = asyncio.create_task(errand.atrigger("run"))
            while not guards:
                await asyncio.sleep(0.01)
            for _ in range(5):
                await asyncio.sleep(0.01)
            assert not held.done()
            held.cancel()
            with pytest.raises(asyncio.CancelledError):
                await held
        # It goes on to its end, without its caller, on a connection that has nothing open afterwards.
        await (await Errand.aget(1)).until("done", timeout=20)
        two = await Errand.astart(2)
        await asyncio.gather(*(two.arefresh() for _ in range(SIZE)), two.atrigger("run"))

    awaited(main)
    assert Errand.counts() == {"done": 2}


@on_sqlite
def test_who_is_cancelled_before_a_thread_is_free_has_asked_for_nothing(bench: Bench) -> None:
    async def main() -> None:
        whose.set("Ada")
        Errand.start_many((number, None) for number in range(SIZE + 3))
        free.clear()
        guards.clear()
        tasks = [asyncio.create_task(errand.atrigger("run")) for errand in Errand.find()]
        while len(guards) < SIZE:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        free.set()

    try:
        awaited(main)
    finally:
        free.set()
    assert Errand.counts() == {"done": SIZE, "new": 3}


@on_sqlite
def test_the_context_goes_along_and_errors_come_back(bench: Bench) -> None:
    async def main() -> None:
        errand = await Errand.astart(1)
        whose.set("Ada")
        await errand.atrigger("run")
        assert errand.state == "done"
        with pytest.raises(EntityExists):
            await Errand.astart(1)

    awaited(main)


@on_sqlite
def test_inside_an_open_transaction_it_is_part_of_that(bench: Bench, shop: Shop) -> None:
    async def main() -> None:
        await Purchase.astart(1)
        with Session(shop.engine) as session:
            with joining(session):
                await Purchase.astart(2)
            await Purchase.astart(3, within=session)
            assert await Purchase.acounts() == {"new": 1}
            session.commit()
        with contextlib.suppress(LookupError), bench.runtime.store.link.db.atomic():
            await Purchase.astart(4)
            raise LookupError
        assert await Purchase.acounts() == {"new": 3}
        with (
            Session(shop.engine) as session,
            joining(session),
            pytest.raises(ConfigurationError, match="one thread uses"),
        ):
            await asyncio.to_thread(lambda: asyncio.run(started(5)))

    async def started(number: int) -> None:
        await Purchase.astart(number)

    awaited(main)


@on_sqlite
def test_a_task_that_outlives_the_block_it_was_begun_in_is_told_and_starts_nothing(bench: Bench, shop: Shop) -> None:
    async def main() -> None:
        async def later() -> None:
            await ended.wait()
            with pytest.raises(ConfigurationError, match="is over; this task was begun inside it"):
                await Purchase.astart(3)
            with Session(shop.engine) as own, own.begin():
                await Purchase.astart(4, within=own)

        ended = asyncio.Event()
        with Session(shop.engine) as session:
            with session.begin(), joining(session):
                await asyncio.wait_for(Purchase.astart(1), 20)
                await asyncio.gather(Purchase.astart(2))
                task = asyncio.create_task(later())
            ended.set()
            await task
            assert not session.in_transaction()

    awaited(main)
    assert sorted(purchase.entity_id for purchase in Purchase.find()) == ["1", "2", "4"]


def test_within_an_async_session_it_is_one_transaction(bench: Bench, shop: Shop) -> None:
    async def main() -> None:
        engine = create_async_engine(shop.url.set(drivername=DRIVERS[shop.kind][1]))
        points.listen(lambda name, about: rang.add((name, threads.in_pool())))
        async with AsyncSession(engine) as session, session.begin():
            await session.run_sync(place, shop, 1)
            purchase = await Purchase.astart(2, within=session)
            await purchase.atrigger("submit", within=session)
        with contextlib.suppress(LookupError):
            async with engine.begin() as connection:
                await connection.execute(text("INSERT INTO shop_row (id) VALUES (3)"))
                await Purchase.astart(3, within=connection)
                raise LookupError
        async with AsyncSession(engine) as session:
            await session.execute(insert(table("shop_row", column("id"))).values(id=4))
            with pytest.raises(ConfigurationError, match="within=session"):
                await Purchase.astart(4)
            assert (await Purchase.aget(2)).state == "charging"
        await engine.dispose()

    rang: set[tuple[str, bool]] = set()
    try:
        awaited(main)
    finally:
        points.listen(None)
    # What follows the commit waits for a connection of fsmflow's own, and for Redis.
    assert {where for name, where in rang if name.startswith("ring.")} == {True}
    assert (shop.rows(), Purchase.counts(), len(bench.queued())) == ([1], {"charging": 2}, 2)


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_connections_stay_few_heal_and_are_closed(bench: Bench, database_url: str) -> None:
    engine = sqlalchemy.create_engine(
        database_url.replace("postgresql", "postgresql+psycopg"), poolclass=sqlalchemy.NullPool
    )
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def seen(what: str) -> list[Any]:
        with engine.connect() as connection:
            return list(connection.execute(text(f"SELECT {what} {others}")).scalars())

    async def main() -> None:
        before = len(seen("pid"))
        purchases = await asyncio.gather(*(Purchase.astart(number) for number in range(60)))
        assert 1 <= len(seen("pid")) - before <= SIZE
        seen("pg_terminate_backend(pid)")
        await asyncio.gather(*(purchase.atrigger("submit") for purchase in purchases))
        assert await Purchase.acounts() == {"charging": 60}
        assert seen("pid") != []
        seen("pg_terminate_backend(pid)")
        assert len([purchase async for purchase in Purchase.afind()]) == 60
        assert set(seen("state")) == {"idle"}

    awaited(main)
    bench.runtime.store.link.forget_connection()
    eventually(lambda: seen("pid") == [], what="all connections are closed")


@on_sqlite
def test_a_job_is_ended_by_its_limit_while_what_it_awaits_goes_on(bench: Bench) -> None:
    Errand.start(1)
    hasty = Hasty.start(1)
    free.clear()
    try:
        bench.step()
        failure = hasty.refresh().failure
        assert failure is not None
        assert failure.error_type == "StepTimeout"
        assert Errand.get(1).state == "new"
    finally:
        free.set()
    eventually(lambda: Errand.get(1).state == "done", what="the errand is done")
    asyncio.run(fsmflow.aclose())


PROGRAM = """
import asyncio, os, sys, threading
import fsmflow
from fsmflow import Machine, State, points

class Errand(Machine):
    initial = "new"
    states = [State("new"), State("done", final=True)]
    transitions = [["run", "new", "done"]]

fsmflow.configure(database_url=sys.argv[1], redis_url="redis://127.0.0.1:1", machines=[Errand])

async def three(prefix):
    await asyncio.gather(*(Errand.astart(f"{prefix}{number}") for number in range(3)))

async def one_more(prefix):
    begun = threading.Event()
    points.listen(lambda name, about: begun.set())
    asyncio.ensure_future(Errand.astart(prefix))
    await asyncio.to_thread(begun.wait)

asyncio.run(three("parent"))
pid = os.fork()
if pid == 0:
    asyncio.run(three("child"))
else:
    os.waitpid(pid, 0)
asyncio.run(one_more("child" if pid == 0 else "parent"))
"""


@on_sqlite
def test_a_fork_has_threads_of_its_own_and_at_exit_what_was_begun_is_done(bench: Bench, database_url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), database_url]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
    assert Errand.counts() == {"new": 8}
