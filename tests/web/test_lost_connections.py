"""The shop of FastAPI and SQLAlchemy, whose connections are cut again and again while many order: no order is lost, and
none is there twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx2
import psycopg
import pytest

from fsmflow.settings import Settings
from tests.support.bench import bench_on
from tests.support.projects import machine_of, served
from tests.support.servers import WHOLE, Valkey

Order = machine_of("fastapi_shop")
ORDERS: Final = 1_000 if WHOLE else 40
CLIENTS: Final = 20
AFTER: Final = 10
#: Those of SQLAlchemy's pool, those of fsmflow's, and one with which FastAPI's thread may have looked.
CONNECTIONS: Final = 5 + Settings.async_threads + 1
OTHERS: Final = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Cutter:
    """Somebody who ends all connections to a database, and counts them before."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.most = self.cut = 0

    def __call__(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            self.most = max(self.most, len(connection.execute(f"SELECT pid {OTHERS}").fetchall()))
            self.cut += len(connection.execute(f"SELECT pg_terminate_backend(pid) {OTHERS}").fetchall())


async def ordered(url: str, count: int, cut: Callable[[], None]) -> Counter[int]:
    """How requests were answered until each of these orders was taken, by clients that ask again after a 5xx. Whenever
    ten more were taken, the connections are cut in the midst of the others."""
    answers: Counter[int] = Counter()
    numbers = iter(range(count))

    async def orders(client: httpx2.AsyncClient) -> None:
        for number in numbers:
            status = 0
            while status != 202:
                key = {"Idempotency-Key": f"order-{number:06}"}
                answer = await client.post("/api/orders", json={"item": "a lamp", "card": "1"}, headers=key)
                status = answer.status_code
                answers[status] += 1
                assert status == 202 or status >= 500, answer.text
            if answers[202] % AFTER == 0:
                await asyncio.to_thread(cut)

    carl = {"Authorization": "Bearer token-of-carl"}
    async with httpx2.AsyncClient(base_url=url, headers=carl, timeout=60) as client, asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(orders(client))
    return answers


@pytest.mark.postgres
def test_no_order_is_lost_or_doubled_while_the_connections_are_cut(
    valkey: Valkey, postgres_url: str, tmp_path: Path
) -> None:
    valkey.start()
    cutter = Cutter(postgres_url)
    with bench_on(valkey.url, database_url=postgres_url, machines=(Order,)) as bench:
        settings = {"FSMFLOW_DATABASE_URL": postgres_url, "FSMFLOW_REDIS_URL": valkey.url}
        with served(["fastapi_shop"], tmp_path, **settings) as shops:
            answers = asyncio.run(ordered(shops["fastapi_shop"], ORDERS, cutter))
        print(f"{dict(answers)}, {cutter.cut} connections cut, {cutter.most} at once at most")
        assert (answers[202], cutter.cut > 0) == (ORDERS, True)
        assert sum(answers.values()) - ORDERS <= ORDERS / 20
        assert 1 < cutter.most <= CONNECTIONS
        assert bench.runtime.store.link.query("SELECT COUNT(*) FROM shop_order") == [(ORDERS,)]
        assert Order.counts(exact=True) == {"charging": ORDERS}
        assert all([entry.trigger for entry in order.history] == [None, "submit"] for order in Order.find(limit=100))
