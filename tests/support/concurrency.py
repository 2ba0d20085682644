"""What others do at the same time: in processes, in threads, in between, and to the connections."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextvars import Context
from multiprocessing.context import ForkServerContext
from typing import Any
from unittest.mock import patch

from fsmflow.store.link import Link
from tests.support.eventually import eventually

#: What a process imports as it meets its first database.
_DRIVERS = ("psycopg", "pymysql")


@contextlib.contextmanager
def meanwhile(owner: Any, name: str, action: Callable[[], object]) -> Iterator[None]:
    """Do ``action`` once, right after the next call of ``owner.name``: what others do at the worst moment."""
    original = getattr(owner, name)
    calls: list[None] = []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if not calls:
            calls.append(None)
            action()
        return result

    with patch.object(owner, name, interrupted):
        yield
    assert calls, f"{name} was never called"


class _ByOthers:
    def __init__(self, machine: Any) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **options: Context().run(getattr(self._machine, name), *args, **options)


def by_others(machine: Any) -> Any:
    """A handle, or a machine's class, whose methods are called by somebody else: inside a job, which must not do this
    itself, it stands for what happens elsewhere meanwhile."""
    return _ByOthers(machine)


def forks() -> ForkServerContext:
    """What makes processes that are forks of one which has imported all of this and done nothing: by itself each would
    take a second for that."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "tests.support.bench", *_DRIVERS])
    return context


def in_processes(count: int, act: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``act(number, *arguments)`` returns in each of so many new processes, which all begin it at once."""
    context = forks()
    start = (context.Barrier(count),)
    with ProcessPoolExecutor(count, mp_context=context, initializer=_remember_start, initargs=start) as pool:
        futures = [pool.submit(_act_at_once, act, number, *arguments) for number in range(count)]
        return [future.result(timeout=120) for future in futures]


_start: list[Any] = []


def _remember_start(barrier: Any) -> None:
    _start[:] = [barrier]


def _act_at_once(act: Callable[..., Any], *arguments: Any) -> Any:
    _start[0].wait(60)
    return act(*arguments)


def in_threads(count: int, link: Link, act: Callable[[int], Any]) -> list[Any]:
    """What ``act(number)`` returns in each of so many threads, which all begin it at once and have connections."""
    start = threading.Barrier(count)

    def run(number: int) -> Any:
        try:
            link.rows("SELECT 1")
            start.wait(60)
            return act(number)
        finally:
            link.forget_connection()

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(run, number) for number in range(count)]
        return [future.result(timeout=120) for future in futures]


def kill_others(link: Link) -> None:
    """End every other connection to this database, as a server that restarts does."""
    if link.dialect.name == "postgresql":
        link.rows(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return
    others = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    for (number,) in link.rows(others):
        link.execute(f"KILL {number}")
    eventually(lambda: not link.rows(others), what="the end of the other connections")


def waits_for_a_lock(link: Link) -> bool:
    """Whether anybody waits for a lock in this database; ``link`` must not be in a transaction."""
    if link.dialect.name == "postgresql":
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    else:
        waiting = (
            "SELECT 1 FROM information_schema.innodb_trx t JOIN information_schema.processlist p "
            "ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE() AND t.trx_state = 'LOCK WAIT'"
        )
    return bool(link.rows(waiting))
