"""What databases do to those who use them: lost connections, slow locks and deadlocks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow import clock
from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim, Snapshot
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.start import begin
from fsmflow.errors import DatabaseUnavailable
from fsmflow.settings import Settings
from fsmflow.store import commits, dialects
from fsmflow.store.link import Link, open_database
from fsmflow.store.listing import Filter
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import ENTITY, WORK
from fsmflow.store.work import Ticket
from tests.support.concurrency import kill_others, waits_for_a_lock
from tests.support.eventually import eventually
from tests.support.machines import Order
from tests.support.servers import on_servers, on_sqlite

NOW = 1_700_000_000_000
LEASE = NOW + 15_000
LATER = 2 * NOW
ORDER = Order._definition

HOLDS_THE_WRITE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that waits for no lock longer than it must."""
    monkeypatch.setattr(dialects, "_LOCK_WAIT_S", 0.3)
    monkeypatch.setattr(commits, "_PAUSE_S", 0.001)
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


@pytest.fixture
def other(store: Store, database_url: str) -> Iterator[Link]:
    """Somebody else's connection to the same database."""
    other = Link(open_database(database_url), own=True)
    yield other
    other.forget_connection()


def nothing(snapshot: Snapshot) -> None:
    """Nobody is to be told."""


def start(store: Store) -> Snapshot:
    return store.commits.commit(begin(ORDER, "1", {}, None, None, NOW), nothing)


def decided(snapshot: Snapshot, trigger: str, **asked: Any) -> Commit:
    return decide(ORDER, snapshot, Triggered(trigger=trigger, **asked), NOW)


def charging(store: Store) -> Snapshot:
    return store.commits.commit(decided(start(store), "submit"), nothing)


def ticket_of(snapshot: Snapshot) -> Ticket:
    return Ticket(row=snapshot.row, epoch=snapshot.epoch, attempt=1, dispatch=0)


def claimed(store: Store) -> Claim:
    found = store.work.claim(ticket_of(charging(store)), "worker", lease_until=LEASE)
    assert found is not None
    return Claim(row=found.snapshot.row, epoch=found.snapshot.epoch, attempt=1, fence=1, owner="worker")


READS: dict[str, Callable[[Store, Snapshot], object]] = {
    "load": lambda store, order: store.entities.load("order", "1"),
    "load_row": lambda store, order: store.entities.load_row(order.row),
    "history": lambda store, order: store.entities.history(order.row),
    "entry": lambda store, order: store.entities.entry(order.row, 1),
    "seq_of_key": lambda store, order: store.entities.seq_of_key(order.row, "k"),
    "due": lambda store, order: store.work.due(LATER, 10),
    "active": lambda store, order: store.work.active(NOW),
    "owned_by": lambda store, order: store.work.owned_by(order.row, "worker"),
    "find": lambda store, order: list(store.listing.find(Filter(machine="order"))),
    "counts": lambda store, order: store.counts.look(NOW),
    "now": lambda store, order: store.link.now(),
}
WRITES: dict[str, Callable[[Store, Snapshot], object]] = {
    "commit": lambda store, order: store.commits.commit(decided(order, "note"), nothing),
    "claim": lambda store, order: store.work.claim(ticket_of(order), "worker", lease_until=LEASE),
    "ring": lambda store, order: store.work.ring(store.work.due(LATER, 10), NOW),
    "postpone": lambda store, order: store.work.postpone([(due, NOW) for due in store.work.due(LATER, 10)], NOW),
    "wake_rung": lambda store, order: store.work.wake_rung(NOW),
}
OF_A_CLAIM: dict[str, Callable[[Store, Claim], object]] = {
    "heartbeat": lambda store, claim: store.work.heartbeat(claim, lease_until=LEASE + 1, progress=0.5),
    "renew": lambda store, claim: store.work.renew([(claim.row, claim.owner)], lease_until=LEASE + 1),
    "release": lambda store, claim: store.work.release(claim, attempt=1, dispatch=1, wake_at=NOW, now=NOW),
}


@on_servers
@pytest.mark.parametrize("action", [*READS, *WRITES])
def test_a_connection_that_was_lost_meanwhile_is_replaced_without_anybody_noticing(
    store: Store, other: Link, action: str
) -> None:
    before = charging(store)
    kill_others(other)
    {**READS, **WRITES}[action](store, before)


@on_servers
@pytest.mark.parametrize("action", OF_A_CLAIM)
def test_a_connection_that_was_lost_while_a_job_ran_costs_it_nothing(store: Store, other: Link, action: str) -> None:
    claim = claimed(store)
    kill_others(other)
    assert OF_A_CLAIM[action](store, claim) in (True, None)
    snapshot = store.entities.load_row(claim.row)
    assert snapshot is not None
    assert claim.holds(snapshot) == (action != "release")


@on_servers
@pytest.mark.parametrize("statement", range(4))
def test_a_connection_that_is_lost_in_a_commit_costs_nothing(store: Store, other: Link, statement: int) -> None:
    before, link = start(store), store.link
    # PostgreSQL takes all of it as one.
    each, calls = 1 if link.dialect.has_batches else 4, 0

    def losing(run: Callable[..., Any]) -> Callable[..., Any]:
        def lose(*asked: Any) -> Any:
            nonlocal calls
            if calls == statement % each:
                kill_others(other)
            calls += 1
            return run(*asked)

        return lose

    with patch.object(link, "execute", losing(link.execute)), patch.object(link, "send", losing(link.send)):
        after = store.commits.commit(decided(before, "submit", key="k"), nothing)
    assert calls == statement % each + 1 + each
    assert store.entities.load("order", "1") == after
    assert [entry.seq for entry in store.entities.history(before.row)] == [1, 2]


@pytest.mark.parametrize("action", WRITES)
def test_a_lock_that_is_held_too_long_is_reported_and_the_next_use_works(
    store: Store, other: Link, action: str
) -> None:
    before = charging(store)
    with other.db.atomic():
        if other.dialect.locking:
            other.rows(f"SELECT * FROM {ENTITY} FOR UPDATE")
            other.rows(f"SELECT * FROM {WORK} FOR UPDATE")
        with pytest.raises(DatabaseUnavailable) as refused:
            WRITES[action](store, before)
        assert not refused.value.in_doubt
        assert not store.link.in_transaction
    WRITES[action](store, before)


@on_sqlite
def test_a_lock_of_another_process_is_waited_for_as_long_as_it_takes_to_let_it_go(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start(store)
    command = [sys.executable, "-c", HOLDS_THE_WRITE_LOCK, database_url.removeprefix("sqlite:///")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        assert store.entities.load("order", "1") == before, "a reader does not wait for a writer"
        likely = "nothing was changed: database is locked; most likely a transaction of your own is open"
        with pytest.raises(DatabaseUnavailable, match=likely):
            store.commits.commit(decided(before, "note"), nothing)
        monkeypatch.setattr(clock, "pause", lambda seconds: holder.stdin.close())
        after = store.commits.commit(decided(before, "submit"), nothing)
    assert store.entities.load("order", "1") == after


@on_servers
def test_a_deadlock_is_tried_again_without_anybody_noticing(
    store: Store, other: Link, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "_LOCK_WAIT_S", 30)
    before = charging(store)
    watcher = Link(open_database(database_url), own=False)
    if other.dialect.name == "postgresql":
        # It ends who has waited so long and finds a deadlock then: that is to be us.
        other.execute("ALTER DATABASE " + other.quoted(other.db.database) + " SET deadlock_timeout = '2s'")
        other.execute("SET deadlock_timeout = '60s'")
    with ThreadPoolExecutor(1) as pool, other.db.atomic():
        for _ in range(50):  # MySQL ends who has changed less.
            other.execute(f"UPDATE {WORK} SET dispatch = dispatch + 1")
        ours = pool.submit(on_its_own_connection, store, lambda: commit_counting(store, decided(before, "reject")))
        eventually(lambda: waits_for_a_lock(watcher), what="the commit to wait for the work row")
        other.execute(f"UPDATE {ENTITY} SET updated_at = updated_at + 1")
    after, tries = ours.result(30)
    watcher.forget_connection()
    # PostgreSQL lets whoever comes have a row before it has woken who waits for it: then we meet in a deadlock again.
    assert tries > 1
    assert store.entities.load("order", "1") == after
    assert [entry.seq for entry in store.entities.history(before.row)] == [1, 2, 3]


@pytest.mark.parametrize("database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_a_conflict_of_transactions_is_tried_again_without_anybody_noticing(
    store: Store, other: Link, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database of the user's own may have such transactions; the one who waits is told when the other commits."""
    monkeypatch.setattr(dialects, "_LOCK_WAIT_S", 30)
    before = charging(store)
    parts = open_database(database_url)
    other.execute(
        f"ALTER DATABASE {other.quoted(other.db.database)} SET default_transaction_isolation = 'serializable'"
    )
    mine = peewee.PostgresqlDatabase(parts.database, prefer_psycopg3=True, **parts.connect_params)
    theirs = create_store(Settings(database=mine))
    theirs.link.forget_connection()
    watcher = Link(open_database(database_url), own=False)
    with ThreadPoolExecutor(1) as pool:
        with other.db.atomic():
            other.execute(f"UPDATE {ENTITY} SET updated_at = updated_at + 1")
            ours = pool.submit(
                on_its_own_connection, theirs, lambda: commit_counting(theirs, decided(before, "reject"))
            )
            eventually(lambda: waits_for_a_lock(watcher), what="the commit to wait for the entity")
        after, tries = ours.result(30)
    watcher.forget_connection()
    assert tries == 2
    assert store.entities.load("order", "1") == after


def commit_counting(store: Store, commit: Commit) -> tuple[Snapshot, int]:
    """What was written and in how many tries, all of them on one connection."""
    connection = store.link.db.connection()
    with patch.object(store.commits, "_try", wraps=store.commits._try) as tries:
        written = store.commits.commit(commit, nothing), tries.call_count
    assert store.link.db.connection() is connection
    return written


def on_its_own_connection(store: Store, action: Callable[[], Any]) -> Any:
    try:
        return action()
    finally:
        store.link.forget_connection()


@on_servers
def test_what_the_server_does_by_default_changes_nothing(store: Store, other: Link) -> None:
    if other.dialect.name == "postgresql":
        name = other.quoted(other.db.database)
        other.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    store.link.forget_connection()
    store.link.execute("SET time_zone = '+05:30'" if other.dialect.name == "mysql" else "SET timezone = 'Asia/Kolkata'")
    before = charging(store)
    with ThreadPoolExecutor(4) as pool:
        notes = [pool.submit(on_its_own_connection, store, lambda: won(store, before)) for _ in range(4)]
    assert sorted(note.result(30) for note in notes) == [False, False, False, True]
    assert abs(store.link.now() - clock.local_now()) < 60_000


def won(store: Store, before: Snapshot) -> bool:
    try:
        store.commits.commit(decided(before, "note"), nothing)
    except CommitLost:
        return False
    return True


@on_servers
def test_the_clock_is_measured_anew_on_a_new_connection(store: Store, other: Link) -> None:
    store.clock.now()
    store.clock._measured_at = float("-inf")
    kill_others(other)
    assert abs(store.clock.now() - other.now()) < 5_000
