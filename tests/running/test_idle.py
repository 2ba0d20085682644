"""Many supervisors with nothing to do: what all of them ask of the database together."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from unittest.mock import patch

import peewee
import pytest

from fsmflow import clock
from fsmflow.engine.runtime import Runtime
from fsmflow.running.maintenance.turn import Share
from fsmflow.running.supervisor import Supervisor
from fsmflow.running.wear import Endurance
from fsmflow.settings import Settings
from fsmflow.store.link import Link
from fsmflow.store.store import create_store, open_store
from fsmflow.store.tables import META
from tests.support.eventually import eventually
from tests.support.machines import Counter as Counting
from tests.support.machines import Order
from tests.support.servers import WHOLE

#: Of a hundred the database may see a hundred statements a second.
SUPERVISORS = 100 if WHOLE else 40


on_any_where_whole = pytest.mark.parametrize(
    "database_url",
    [
        "sqlite",
        *([pytest.param("postgres", marks=pytest.mark.postgres)] if WHOLE else []),
        *([pytest.param("mysql", marks=pytest.mark.mysql)] if WHOLE else []),
    ],
    indirect=True,
)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """All statements of this process, and how often each was run; a commit is one."""
    told, lock = Counter[str](), threading.Lock()

    def noted(owner: Any, name: str) -> Any:
        run = getattr(owner, name)

        def note(self: Any, *arguments: Any, **options: Any) -> Any:
            with lock:
                told[str(arguments[0]) if arguments else name] += 1
            return run(self, *arguments, **options)

        return patch.object(owner, name, note)

    with noted(peewee.Database, "execute_sql"), noted(peewee.Database, "commit"), noted(Link, "send"):
        yield told


@contextmanager
def crowd(settings: Settings) -> Iterator[None]:
    """So many supervisors without workers: the two threads of each that talk to database and Redis."""
    create_store(settings).link.forget_connection()
    supervisors = []
    for _ in range(SUPERVISORS):
        runtime = Runtime(settings, open_store(settings))
        runtime.store.link.forget_connection()
        options: Any = {"processes": 1, "burst": False, "log_options": (), "endurance": Endurance()}
        supervisors.append(Supervisor(runtime, queues=("default",), **options))
    threads = [threading.Thread(target=run) for each in supervisors for run in (each._maintain, each._renew)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for each in supervisors:
            each._ended.set()
            each._wake.set()
        for thread in threads:
            thread.join()
        for each in supervisors:
            each._runtime.forget_redis()
            for descriptor in (each._channel.writing, each._channel._reading):
                os.close(cast(int, descriptor))


@on_any_where_whole
def test_idle_supervisors_ask_the_database_less_than_once_a_second_each(database_url: str, redis_url: str) -> None:
    settings = Settings(database_url=database_url, redis_url=redis_url, machines=(Order, Counting))
    with counted() as told, crowd(settings):
        before = asked_by_each(told)
        # Whoever starts asks at once.
        eventually(lambda: asked_by_each(told) > before + SUPERVISORS, what="a question of each")
        before, all_before, began = asked_by_each(told), told.total(), clock.monotonic()
        eventually(lambda: asked_by_each(told) > before + SUPERVISORS, within=60, what="one more")
        a_second = (told.total() - all_before) / (clock.monotonic() - began)
    assert a_second < SUPERVISORS


def asked_by_each(told: Counter[str]) -> int:
    """How often somebody has asked whether its host drains, which is all that each asks for itself."""
    return sum(count for sql, count in told.copy().items() if META in sql and " IN (" in sql)


@pytest.mark.parametrize(("supervisors", "seconds"), [(1, 0.0), (20, 0.0), (100, 5.0), (200, 10.0), (10_000, 10.0)])
def test_the_more_there_are_the_less_often_each_asks(supervisors: int, seconds: float) -> None:
    found = [Share(lambda: supervisors).pause_s() for _ in range(100)]
    assert seconds * 0.9 <= min(found) <= max(found) <= seconds
