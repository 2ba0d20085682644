"""A COMMIT that raises may have taken effect, or not, or not yet: it is applied once, and reported as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow.decision.commit import CommitLost
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim, Snapshot
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Changes, Failed, Paused, Postponed, Returned, Saved, Triggered
from fsmflow.decision.start import begin
from fsmflow.errors import DatabaseUnavailable
from fsmflow.settings import Settings
from fsmflow.store import commits, doubt
from fsmflow.store.link import Link, open_database
from fsmflow.store.store import Store, create_store
from fsmflow.store.work import Ticket
from fsmflow.store.writes import Batch
from tests.support.concurrency import kill_others, waits_for_a_lock
from tests.support.eventually import eventually
from tests.support.machines import Order
from tests.support.servers import on_servers

NOW = 1_700_000_000_000
LEASE = NOW + 15_000
ORDER = Order._definition


@pytest.fixture
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(commits, "_PAUSE_S", 0.001)
    monkeypatch.setattr(doubt, "_PAUSE_S", 0.001)
    store = create_store(Settings(database_url=database_url))
    send = Batch.send

    def send_apart(batch: Batch) -> int | None:
        with store.link.transaction():
            return send(batch)

    # What a server commits by itself, within one statement, has a COMMIT that a test can break.
    monkeypatch.setattr(Batch, "send", send_apart)
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


def commit(store: Store, snapshot: Snapshot | None, happening: object = None) -> Snapshot:
    if snapshot is None:
        return store.commits.commit(begin(ORDER, "1", {}, None, "k", NOW), nothing)
    return store.commits.commit(decide(ORDER, snapshot, happening, NOW), nothing)  # type: ignore[arg-type]


def claimed(store: Store) -> Snapshot:
    charging = commit(store, commit(store, None), Triggered(trigger="submit"))
    ticket = Ticket(row=charging.row, epoch=charging.epoch, attempt=1, dispatch=0)
    found = store.work.claim(ticket, "worker", lease_until=LEASE)
    assert found is not None
    return found.snapshot


def claim_on(snapshot: Snapshot) -> Claim:
    assert snapshot.work is not None
    return Claim(row=snapshot.row, epoch=snapshot.epoch, attempt=1, fence=1, owner="worker")


#: What may be committed: how it begins, and what it leads to.
COMMITS: dict[str, tuple[Callable[[Store], Snapshot | None], Callable[[Snapshot], object]]] = {
    "start": (lambda store: None, lambda order: None),
    "transition": (lambda store: commit(store, None), lambda order: Triggered(trigger="submit", key="k2")),
    "internal": (lambda store: commit(store, None), lambda order: Triggered(trigger="note")),
    "pause": (lambda store: commit(store, None), lambda order: Paused()),
    "returned": (claimed, lambda order: Returned(claim=claim_on(order), trigger="declined", changes=Changes())),
    "failed": (claimed, lambda order: Failed(claim=claim_on(order), facts=Facts(kind=OSError, message="no"))),
    "saved": (claimed, lambda order: Saved(claim=claim_on(order), changes=Changes(changed={"x": 1}))),
    "postponed": (claimed, lambda order: Postponed(claim=claim_on(order), seconds=9)),
}


class Commits:
    """Breaks the COMMITs of a store as told, one after the other; then lets them pass."""

    def __init__(self, store: Store, *faults: str, by: Callable[[], None] | None = None) -> None:
        self._link = store.link
        self._faults = list(faults)
        self._by = by
        self._commit = store.link.db.commit
        self.tried = 0

    def __call__(self) -> None:
        self.tried += 1
        fault = self._faults.pop(0) if self._faults else "passes"
        if fault != "before":
            self._commit()
        if fault != "passes":
            if self._by is None:
                raise peewee.OperationalError("the connection was lost")
            self._by()
            self._link.rows("SELECT 1")
            raise AssertionError("the connection is still there")


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("what", COMMITS)
def test_what_a_doubtful_commit_wrote_is_there_once_and_is_reported_as_done(
    store: Store, what: str, fault: str
) -> None:
    begins, happens = COMMITS[what]
    before = begins(store)
    told: list[Snapshot] = []
    with patch.object(store.link.db, "commit", Commits(store, fault)) as commits:
        written = before and decide(ORDER, before, happens(before), NOW)  # type: ignore[arg-type]
        after = store.commits.commit(written or begin(ORDER, "1", {}, None, "k", NOW), told.append)
    assert commits.tried == {"before": 2, "after": 1}[fault]
    assert told == [after] == [store.entities.load("order", "1")]
    assert [entry.seq for entry in store.entities.history(after.row)] == list(range(1, after.seq + 1))
    assert after.revision == (before.revision + 1 if before else 1)


@on_servers
@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("what", ["start", "transition", "internal", "postponed"])
def test_so_it_is_where_the_server_ends_the_connection_in_the_commit(
    store: Store, other: Link, what: str, fault: str
) -> None:
    begins, happens = COMMITS[what]
    before = begins(store)
    with patch.object(store.link.db, "commit", Commits(store, fault, by=lambda: kill_others(other))) as commits:
        after = commit(store, before, before and happens(before))
    assert commits.tried == {"before": 2, "after": 1}[fault]
    assert after == store.entities.load("order", "1")
    assert [entry.seq for entry in store.entities.history(after.row)] == list(range(1, after.seq + 1))


@on_servers
@pytest.mark.parametrize("what", ["start", "transition", "internal", "returned"])
def test_a_commit_that_takes_effect_after_it_was_looked_for_is_not_applied_twice(
    store: Store, other: Link, what: str
) -> None:
    begins, happens = COMMITS[what]
    before = begins(store)
    db, late = store.link.db, []

    def lose_the_answer() -> None:
        # The connection is gone from here, but the server has the COMMIT still before it.
        late.append(db.connection())
        db.dispose()
        raise peewee.OperationalError("the connection was lost")

    def take_effect() -> None:
        eventually(lambda: waits_for_a_lock(other), what="the second try to wait for the first")
        other.forget_connection()
        late[0].cursor().execute("COMMIT")

    server = threading.Thread(target=take_effect)
    original = db.commit

    def first_is_late() -> None:
        if late:
            original()
            return
        server.start()
        lose_the_answer()

    with patch.object(db, "commit", first_is_late):
        after = commit(store, before, before and happens(before))
    server.join()
    late[0].close()
    assert after == store.entities.load("order", "1")
    assert [entry.seq for entry in store.entities.history(after.row)] == list(range(1, after.seq + 1))
    assert after.revision == (before.revision + 1 if before else 1)


def test_what_somebody_else_wrote_after_a_doubtful_commit_that_failed_is_no_success(store: Store) -> None:
    before = commit(store, None)
    doubtful = decide(ORDER, before, Triggered(trigger="submit"), NOW)
    db, original = store.link.db, store.link.db.commit
    calls: list[None] = []

    def others_come_first() -> None:
        calls.append(None)
        if len(calls) > 1:
            original()
            return
        db.rollback()
        with patch.object(db, "commit", original):
            commit(store, before, Triggered(trigger="cool"))
        raise peewee.OperationalError("the connection was lost")

    with patch.object(db, "commit", others_come_first), pytest.raises(CommitLost):
        store.commits.commit(doubtful, nothing)
    assert [entry.trigger for entry in store.entities.history(before.row)] == [None, "cool"]


def test_a_commit_that_never_takes_effect_is_reported_as_unavailable_and_the_next_use_works(store: Store) -> None:
    before = commit(store, None)
    faults = ["before"] * 10
    with (
        patch.object(store.link.db, "commit", Commits(store, *faults)) as commits,
        pytest.raises(DatabaseUnavailable, match="order:1"),
    ):
        commit(store, before, Triggered(trigger="submit"))
    assert commits.tried == 5
    assert store.entities.load("order", "1") == before
    after = commit(store, before, Triggered(trigger="submit"))
    assert after == store.entities.load("order", "1")


def test_a_database_that_does_not_come_back_leaves_the_commit_in_doubt(store: Store) -> None:
    before = commit(store, None)
    away = patch.object(store.link, "rows", side_effect=peewee.OperationalError("nobody answers"))
    with (
        patch.object(store.link.db, "commit", Commits(store, "after")),
        away,
        pytest.raises(DatabaseUnavailable, match="it is not known whether it was committed") as raised,
    ):
        commit(store, before, Triggered(trigger="submit"))
    assert raised.value.in_doubt
    there = store.entities.load("order", "1")
    assert there is not None
    assert there.state == "charging"


@on_servers
def test_what_was_never_sent_as_no_connection_opens_is_in_no_doubt_and_not_looked_for(store: Store) -> None:
    submitted = decide(ORDER, commit(store, None), Triggered(trigger="submit"), NOW)
    store.link.forget_connection()
    db = store.link.db
    refused = patch.dict(db.connect_params, port=1)
    with refused, patch.object(db, "connect", wraps=db.connect) as opens:
        with pytest.raises(DatabaseUnavailable, match=r"order:1, and nothing was changed: .*connect") as raised:
            store.commits.commit(submitted, nothing)
        assert not raised.value.in_doubt
        assert opens.call_count == 5
        assert store.bundles.commit([submitted], "token") is None
        assert opens.call_count == 6
    assert store.commits.commit(submitted, nothing) == store.entities.load("order", "1")


@on_servers
def test_what_is_not_sent_as_the_server_has_closed_the_connection_is_in_no_doubt(store: Store, other: Link) -> None:
    submitted = decide(ORDER, commit(store, None), Triggered(trigger="submit"), NOW)
    kill_others(other)
    with (
        patch.dict(store.link.db.connect_params, port=1),
        pytest.raises(DatabaseUnavailable, match="order:1, and nothing was changed") as raised,
    ):
        store.commits.commit(submitted, nothing)
    assert not raised.value.in_doubt


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_claim_whose_commit_is_in_doubt_is_made_once(store: Store, fault: str) -> None:
    charging = commit(store, commit(store, None), Triggered(trigger="submit"))
    ticket = Ticket(row=charging.row, epoch=charging.epoch, attempt=1, dispatch=0)
    with patch.object(store.link.db, "commit", Commits(store, fault)):
        found = store.work.claim(ticket, "worker", lease_until=LEASE)
    assert found is not None
    assert found.snapshot == store.entities.load("order", "1")
    assert charging.work is not None
    assert found.snapshot.work == replace(charging.work, owner="worker", fence=1, lease_until=LEASE, wake_at=LEASE)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_heartbeat_whose_commit_is_in_doubt_cancels_nothing(store: Store, fault: str) -> None:
    claim = claim_on(claimed(store))
    with patch.object(store.link.db, "commit", Commits(store, fault)):
        assert store.work.heartbeat(claim, lease_until=LEASE + 5, progress=0.5)


def test_an_interrupt_in_the_middle_of_a_transaction_leaves_none_open(store: Store) -> None:
    before = commit(store, None)

    def interrupt(sql: str, params: Any = ()) -> Any:
        raise KeyboardInterrupt

    interrupted = patch.multiple(store.link, execute=interrupt, send=interrupt)
    with interrupted, pytest.raises(KeyboardInterrupt):
        commit(store, before, Triggered(trigger="submit"))
    assert not store.link.in_transaction
    assert commit(store, before, Triggered(trigger="submit")) == store.entities.load("order", "1")
