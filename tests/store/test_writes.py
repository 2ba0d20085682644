"""What PostgreSQL is told in one statement is written as it would be one by one: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim, ClaimLost, Snapshot
from fsmflow.decision.happenings import Changes, Returned, Triggered
from fsmflow.decision.start import begin
from fsmflow.errors import DatabaseRefused, DatabaseUnavailable
from fsmflow.settings import Settings
from fsmflow.store import commits, dialects
from fsmflow.store.host import Host, host_of
from fsmflow.store.link import Link, open_database
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import ENTITY, HISTORY, WORK
from fsmflow.store.work import Ticket
from fsmflow.store.writes import Batch
from fsmflow.values import replace
from tests.support.concurrency import kill_others
from tests.support.machines import Order
from tests.support.servers import fresh_postgres, server_url

pytestmark = pytest.mark.postgres
NOW = 1_700_000_000_000
ORDER = Order._definition


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_postgres(server_url("postgres")) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=url))
    for number in range(2):  # so that no row of the order has the number one
        store.commits.commit(begin(ORDER, f"other-{number}", {}, None, None, NOW), nothing)
    yield store
    store.link.forget_connection()


def nothing(snapshot: Snapshot) -> None:
    """Nobody is to be told."""


def begun(store: Store) -> Commit:
    """An order is started, with a key."""
    return begin(ORDER, "1", {"amount": 5}, None, "k", NOW)


def started(store: Store) -> Snapshot:
    return store.commits.commit(begun(store), nothing)


def submitted(store: Store) -> Commit:
    """A new order is submitted next, with a key."""
    return decide(ORDER, started(store), Triggered(trigger="submit", key="k2"), NOW)


def returned(store: Store) -> Commit:
    """An order whose job runs goes on next."""
    charging = store.commits.commit(submitted(store), nothing)
    ticket = Ticket(row=charging.row, epoch=charging.epoch, attempt=1, dispatch=0)
    found = store.work.claim(ticket, "worker", lease_until=NOW + 15_000)
    assert found is not None
    claim = Claim(row=charging.row, epoch=charging.epoch, attempt=1, fence=1, owner="worker")
    return decide(ORDER, found.snapshot, Returned(claim=claim, trigger="declined", changes=Changes()), NOW)


COMMITS: dict[str, Callable[[Store], Commit]] = {"begun": begun, "submitted": submitted, "returned": returned}


def statements(store: Store, act: Callable[[], Any]) -> list[str]:
    """What the database is sent."""
    connection = store.link.db.connection()
    sent: list[str] = []

    class Noted:
        def execute(self, sql: Any, *args: Any, **options: Any) -> Any:
            sent.append(str(sql))
            return super().execute(sql, *args, **options)  # type: ignore[misc]

    plain, raw = (type("Noting", (Noted, kind), {}) for kind in (psycopg.Cursor, psycopg.RawCursor))
    with patch.object(connection, "cursor_factory", plain), patch("psycopg.RawCursor", raw):
        act()
    return sent


def as_written(store: Store, commit: Commit) -> Snapshot:
    """The entity, which is as the decision has it, with all of its history."""
    there = store.entities.load("order", "1")
    assert there is not None
    assert there == replace(commit.after, row=there.row)
    assert [entry.seq for entry in store.entities.history(there.row)] == list(range(1, there.seq + 1))
    return there


def all_rows(store: Store) -> list[Any]:
    return [store.link.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in (ENTITY, WORK, HISTORY)]


@pytest.mark.parametrize("what", COMMITS)
def test_a_decision_is_one_statement(store: Store, what: str) -> None:
    commit = COMMITS[what](store)
    told: list[Snapshot] = []
    sent = statements(store, lambda: store.commits.commit(commit, told.append))
    assert len(sent) == 1
    assert told == [as_written(store, commit)]
    assert store.entities.seq_of_key(told[0].row, commit.key or "") == (commit.after.seq if commit.key else None)


def test_of_two_who_start_the_same_one_is_told_that_it_is_there(store: Store) -> None:
    commit = begun(store)
    store.commits.commit(commit, nothing)
    before = all_rows(store)
    with pytest.raises(CommitLost, match="order:1"):
        store.commits.commit(commit, nothing)
    assert all_rows(store) == before


def test_a_row_that_another_is_about_to_make_is_waited_for_no_longer_than_a_lock(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "_LOCK_WAIT_S", 0.1)
    monkeypatch.setattr(commits, "_PAUSE_S", 0.001)
    commit, theirs = begun(store), create_store(Settings(database_url=url))

    def start_as_well() -> None:
        try:
            theirs.commits.commit(commit, nothing)
        finally:
            theirs.link.forget_connection()

    theirs.link.forget_connection()
    with store.link.transaction(), ThreadPoolExecutor(1) as pool:
        store.commits.commit(commit, nothing)
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            pool.submit(start_as_well).result()


def test_an_entity_that_has_moved_on_is_left_as_it_is(store: Store) -> None:
    commit = submitted(store)
    store.commits.commit(decide(ORDER, commit.before, Triggered(trigger="cool"), NOW), nothing)  # type: ignore[arg-type]
    before = all_rows(store)
    with pytest.raises(CommitLost, match="order:1 has moved on"):
        store.commits.commit(commit, nothing)
    assert all_rows(store) == before


def test_a_claim_that_is_gone_takes_all_of_the_decision_with_it(store: Store) -> None:
    commit = returned(store)
    store.link.execute(f"UPDATE {WORK} SET owner = NULL, lease_until = NULL")
    before = all_rows(store)
    with pytest.raises(ClaimLost, match="order:1: the claim is gone"):
        store.commits.commit(commit, nothing)
    assert all_rows(store) == before


@pytest.mark.parametrize("is_sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", COMMITS)
def test_what_was_sent_as_the_connection_ended_is_there_once(store: Store, url: str, what: str, is_sent: bool) -> None:
    commit, other, send = COMMITS[what](store), Link(open_database(url), own=True), Batch.send
    ended: list[None] = []

    def end(batch: Batch) -> int | None:
        made = send(batch) if is_sent or ended else None
        if not ended:
            ended.append(None)
            kill_others(other)
            store.link.rows("SELECT 1")
        return made

    told: list[Snapshot] = []
    with patch.object(Batch, "send", end):
        store.commits.commit(commit, told.append)
    other.forget_connection()
    assert told == [as_written(store, commit)]


def test_a_trigger_of_the_users_that_divides_by_zero_is_not_taken_for_a_race(store: Store) -> None:
    commit = submitted(store)
    store.link.execute(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / 0; RETURN NEW; END $$"
    )
    store.link.execute(f"CREATE TRIGGER broken BEFORE INSERT ON {HISTORY} FOR EACH ROW EXECUTE FUNCTION broken()")
    before = all_rows(store)
    with pytest.raises(DatabaseRefused, match="division by zero"):
        store.commits.commit(commit, nothing)
    assert all_rows(store) == before


def test_in_the_transaction_of_a_test_of_a_host_each_decision_has_a_savepoint(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Django's TestCase never commits: what is written in it is told at once.
    monkeypatch.setattr(Host, "is_of_test", True)
    theirs = open_database(url)
    with theirs.atomic() as transaction, store.link.joining(host_of(theirs)):
        store.commits.commit(begun(store), nothing)
        with pytest.raises(CommitLost, match="order:1"):
            store.commits.commit(begun(store), nothing)
        assert store.entities.load("order", "1") is not None
        transaction.rollback()
    theirs.close()
