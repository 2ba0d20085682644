"""Decisions that are written together: all of them or none, and each is told of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow.decision.commit import Commit
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim, Snapshot
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Changes, Failed, Happening, Returned, Triggered
from fsmflow.decision.start import begin
from fsmflow.settings import Settings
from fsmflow.store.bundles import Bid
from fsmflow.store.link import Link, open_database
from fsmflow.store.sizes import MAX_BYTES, size_of
from fsmflow.store.statements import Statements
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import ENTITY, HISTORY, WORK
from fsmflow.store.work import Ticket
from fsmflow.values import replace
from tests.support.machines import Order
from tests.support.servers import on_servers

NOW = 1_700_000_000_000
LEASE = NOW + 15_000
ORDER = Order._definition
TOKEN = "a" * 16
COUNT = 4


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


def nothing(snapshot: Snapshot) -> None:
    """Nobody is to be told."""


def apply(store: Store, snapshot: Snapshot, happening: Happening) -> Snapshot:
    return store.commits.commit(decide(ORDER, snapshot, happening, NOW), nothing)


def charging(store: Store) -> list[tuple[Ticket, str]]:
    """Orders that wait for a worker: the ticket of each, and who is to claim it."""
    found = []
    for number in range(COUNT):
        order = store.commits.commit(begin(ORDER, f"{number}", {}, None, None, NOW), nothing)
        order = apply(store, order, Triggered(trigger="submit"))
        found.append((Ticket(row=order.row, epoch=order.epoch, attempt=1, dispatch=0), f"worker-{number}"))
    return found


def claimed(store: Store) -> list[Snapshot]:
    found = store.work.claim_together(charging(store), lease_until=LEASE)
    assert all(one is not None for one in found)
    return [one.snapshot for one in found if one is not None]


def settled(order: Snapshot, **changed: Any) -> Commit:
    assert order.work is not None
    claim = Claim(row=order.row, epoch=order.epoch, attempt=1, fence=order.work.fence, owner=str(order.work.owner))
    changes = Changes(changed=changed or {"paid": 1})
    return decide(ORDER, order, Returned(claim=claim, trigger="done", changes=changes), NOW)


def states(store: Store) -> set[str]:
    return {state for (state,) in store.link.query(f"SELECT state FROM {ENTITY}")}


def test_all_are_written_and_returned_in_the_order_in_which_they_were_given(store: Store) -> None:
    wanted = [settled(order) for order in reversed(claimed(store))]
    assert all(store.bundles.takes(commit) for commit in wanted)
    assert store.bundles.commit(wanted, TOKEN) == ([commit.after for commit in wanted], [])
    for commit in wanted:
        found = store.entities.load_row(commit.after.row)
        assert found is not None
        assert (found.state, found.data["paid"], found.revision) == ("shipping", 1, commit.after.revision)
    ((written,),) = store.link.query(f"SELECT COUNT(*) FROM {HISTORY} WHERE token = '{TOKEN}'")
    assert written == COUNT


@pytest.mark.mysql
def test_no_statement_is_larger_than_a_server_may_take(mysql_url: str) -> None:
    store = create_store(Settings(database_url=mysql_url))
    wanted = [with_payload(settled(order), "x" * 200_000) for order in claimed(store)]
    with patch.object(store.link, "execute", wraps=store.link.execute) as executed:
        assert store.bundles.commit(wanted, TOKEN) is not None
    sizes = [size_of(call.args[1]) for call in executed.call_args_list]
    assert sum(sizes) > COUNT * 200_000
    assert max(sizes) <= MAX_BYTES
    store.link.forget_connection()


def with_payload(commit: Commit, text: str) -> Commit:
    return replace(commit, entries=tuple(replace(entry, payload={"note": text}) for entry in commit.entries))


@pytest.mark.postgres
def test_they_are_one_transaction_of_a_server_that_takes_them_in_one_round_trip(postgres_url: str) -> None:
    store = create_store(Settings(database_url=postgres_url))
    store.bundles.commit([settled(order) for order in claimed(store)], TOKEN)
    assert store.link.query(f"SELECT COUNT(DISTINCT xmin::text) FROM {HISTORY} WHERE token = '{TOKEN}'") == [(1,)]
    store.link.forget_connection()


def moves_on(store: Store, order: Snapshot) -> None:
    apply(store, order, Triggered(trigger="note"))


def loses_its_claim(store: Store, order: Snapshot) -> None:
    assert order.work is not None
    store.link.write(lambda: store.link.execute(f"UPDATE {WORK} SET fence = fence + 1 WHERE entity = {order.row}"))


@pytest.mark.parametrize("spoil", [moves_on, loses_its_claim])
def test_nothing_is_written_where_one_of_them_does_not_count_any_more(
    store: Store, spoil: Callable[[Store, Snapshot], None]
) -> None:
    orders = claimed(store)
    spoil(store, orders[2])
    assert store.bundles.commit([settled(order) for order in orders], TOKEN) is None
    assert states(store) == {"charging"}
    rest = [settled(order) for order in orders if order is not orders[2]]
    assert store.bundles.commit(rest, TOKEN) is not None
    assert states(store) == {"charging", "shipping"}


@on_servers
def test_a_row_that_somebody_locks_holds_the_others_up_for_a_moment_only(database_url: str) -> None:
    store = create_store(Settings(database_url=database_url))
    orders = claimed(store)
    other = Link(open_database(database_url), own=True)
    with other.transaction():
        other.execute(f"UPDATE {ENTITY} SET state = state WHERE id = {orders[1].row}")
        began = time.monotonic()
        assert store.bundles.commit([settled(order) for order in orders], TOKEN) is None
        assert time.monotonic() - began < 5, "a lock is waited for ten seconds elsewhere"
    assert states(store) == {"charging"}
    for link in (other, store.link):
        link.forget_connection()


def fails_by_its_commit(store: Store, lands: bool) -> Any:
    """The connection is lost in the COMMIT, which has taken effect or not."""
    lost = peewee.OperationalError("server closed the connection unexpectedly")
    owner, name = (store.link, "send_together") if store.link.dialect.has_batches else (store.link.db, "commit")
    act = getattr(owner, name)

    def broken(*arguments: Any) -> Any:
        patched.stop()
        if lands:
            act(*arguments)
        raise lost

    patched = patch.object(owner, name, broken)
    patched.start()
    return patched


@pytest.mark.parametrize("lands", [True, False])
def test_a_commit_without_an_answer_is_looked_for(store: Store, lands: bool) -> None:
    wanted = [settled(order) for order in claimed(store)]
    fails_by_its_commit(store, lands)
    found = store.bundles.commit(wanted, TOKEN)
    assert found == (([commit.after for commit in wanted], []) if lands else None)
    assert states(store) == ({"shipping"} if lands else {"charging"})


def bids(store: Store, prefix: str = "next") -> list[Bid]:
    """Two more orders that wait: who is to claim them."""
    found = []
    for number in range(2):
        order = store.commits.commit(begin(ORDER, f"{prefix}-{number}", {}, None, None, NOW), nothing)
        order = apply(store, order, Triggered(trigger="submit"))
        ticket = Ticket(row=order.row, epoch=order.epoch, attempt=1, dispatch=0)
        found.append(Bid(ticket, f"{prefix}-{number}", LEASE))
    return found


def test_claims_are_made_with_what_is_written(store: Store) -> None:
    wanted, both = [settled(order) for order in claimed(store)], bids(store)
    assert store.work.claim(both[0].ticket, "somebody else", lease_until=LEASE) is not None
    found = store.bundles.commit(wanted, TOKEN, both)
    assert found is not None
    assert [one and one.snapshot.address for one in found.claimed] == [None, "order:next-1"]
    claim = found.claimed[1]
    assert claim is not None
    assert claim.snapshot == store.entities.load_row(both[1].ticket.row)
    assert states(store) == {"shipping", "charging"}


def test_no_claim_is_made_where_one_of_the_ends_does_not_count(store: Store) -> None:
    orders, both = claimed(store), bids(store)
    apply(store, orders[2], Triggered(trigger="cancel"))
    assert store.bundles.commit([settled(order) for order in orders], TOKEN, both) is None
    assert all(store.work.owned_by(bid.ticket.row, bid.owner) is None for bid in both)


@pytest.mark.parametrize("lands", [True, False])
def test_of_a_commit_without_an_answer_the_claims_are_looked_for_too(store: Store, lands: bool) -> None:
    wanted, both = [settled(order) for order in claimed(store)], bids(store)
    fails_by_its_commit(store, lands)
    found = store.bundles.commit(wanted, TOKEN, both)
    assert (found is not None) is lands
    assert found is None or all(claim is not None for claim in found.claimed)


def test_claims_that_are_made_with_an_end_are_as_durable_as_that(store: Store) -> None:
    """PostgreSQL would take the setting of any statement for that of the whole transaction."""
    assert "synchronous_commit" not in Statements(store.link).claim_with_others


def test_a_failure_for_good_is_written_by_itself_as_its_group_is_counted(store: Store) -> None:
    order = claimed(store)[0]
    ended = settled(order)
    assert ended.claim is not None
    for permanent in (True, False):
        failed = Failed(claim=ended.claim, facts=Facts(kind=OSError, message="no", permanent=permanent))
        assert store.bundles.takes(decide(ORDER, order, failed, NOW)) is not permanent


def test_of_those_that_are_claimed_together_each_is_told_of_its_own(store: Store) -> None:
    claims = charging(store)
    ticket, _ = claims[1]
    assert store.work.claim(ticket, "somebody else", lease_until=LEASE) is not None
    found = store.work.claim_together(claims, lease_until=LEASE)
    assert [one is not None for one in found] == [True, False, True, True]
    again = store.work.claim_together(claims, lease_until=LEASE)
    assert again == found, "with the same tokens it is found out what had been claimed"
    others = [(ticket, "another") for ticket, _ in claims]
    assert store.work.claim_together(others, lease_until=LEASE) == [None] * COUNT


def test_of_two_doorbells_for_one_attempt_one_is_answered(store: Store) -> None:
    claims = charging(store)
    ticket, _ = claims[0]
    found = store.work.claim_together([(ticket, "first"), *claims[1:], (ticket, "second")], lease_until=LEASE)
    (claimed,) = [one for one in (found[0], found[-1]) if one is not None]
    assert claimed.snapshot == store.entities.load_row(ticket.row)
    assert claimed.snapshot.work is not None
    assert claimed.snapshot.work.fence == 1
    assert all(one is not None for one in found[1:-1])
