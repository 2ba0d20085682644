"""Work rows: who may run an attempt, and what is due."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim, ClaimLost, Snapshot
from fsmflow.decision.happenings import Changes, Crashed, Paused, Resumed, Returned, Triggered
from fsmflow.decision.start import begin
from fsmflow.decision.work import FAR_FUTURE_MS, GRACE_MS, MAX_GRACE_MS, Work, grace
from fsmflow.settings import Settings
from fsmflow.store.store import Store, create_store
from fsmflow.store.wakes import EXACT
from fsmflow.store.work import Due, Ticket
from tests.support.concurrency import in_threads
from tests.support.machines import Order

NOW = 1_700_000_000_000
LEASE = NOW + 15_000
ORDER = Order._definition


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


def nothing(snapshot: Snapshot) -> None:
    """Nobody is to be told."""


def start(store: Store, entity_id: str = "1", **data: object) -> Snapshot:
    return store.commits.commit(begin(ORDER, entity_id, data, None, None, NOW), nothing)


def apply(store: Store, snapshot: Snapshot, happening: object, now: int = NOW) -> Snapshot:
    return store.commits.commit(decide(ORDER, snapshot, happening, now), nothing)  # type: ignore[arg-type]


def charging(store: Store, entity_id: str = "1", now: int = NOW) -> Snapshot:
    return apply(store, start(store, entity_id), Triggered(trigger="submit"), now)


def ticket_of(snapshot: Snapshot) -> Ticket:
    work = work_of(snapshot)
    return Ticket(row=snapshot.row, epoch=work.epoch, attempt=work.attempt, dispatch=work.dispatch)


def work_of(snapshot: Snapshot | None) -> Work:
    assert snapshot is not None
    assert snapshot.work is not None
    return snapshot.work


def claimed(store: Store, snapshot: Snapshot, owner: str = "worker") -> Claim:
    found = store.work.claim(ticket_of(snapshot), owner, lease_until=LEASE)
    work = work_of(None if found is None else found.snapshot)
    return Claim(row=snapshot.row, epoch=work.epoch, attempt=work.attempt, fence=work.fence, owner=owner)


def now_of(store: Store, snapshot: Snapshot) -> Work:
    return work_of(store.entities.load_row(snapshot.row))


def due(store: Store, now: int, limit: int = 100) -> list[Due]:
    return store.work.due(now, limit)


def test_a_claim_takes_the_attempt_for_one_owner_until_the_lease_ends(store: Store) -> None:
    before = charging(store)
    found = store.work.claim(ticket_of(before), "worker", lease_until=LEASE)
    expected = replace(work_of(before), owner="worker", fence=1, lease_until=LEASE, wake_at=LEASE)
    assert found is not None
    assert found.snapshot == replace(before, work=expected) == store.entities.load_row(before.row)


def test_of_eight_claims_at_once_one_wins(store: Store) -> None:
    ticket = ticket_of(charging(store))
    found = in_threads(8, store.link, lambda n: store.work.claim(ticket, f"worker {n}", lease_until=LEASE))
    (won,) = [claimed for claimed in found if claimed is not None]
    assert work_of(won.snapshot).owner == f"worker {found.index(won)}"
    assert work_of(won.snapshot).fence == 1


def test_a_claim_that_is_repeated_with_its_own_token_finds_itself(store: Store) -> None:
    ticket = ticket_of(charging(store))
    first = store.work.claim(ticket, "worker", lease_until=LEASE)
    assert store.work.claim(ticket, "worker", lease_until=LEASE + 5) == first
    assert store.work.claim(ticket, "another", lease_until=LEASE) is None


@pytest.mark.parametrize("change", [{"epoch": 1}, {"epoch": 3}, {"attempt": 2}, {"attempt": 0}, {"row": 77}])
def test_a_ticket_of_another_attempt_claims_nothing(store: Store, change: dict[str, int]) -> None:
    before = charging(store)
    assert store.work.claim(replace(ticket_of(before), **change), "worker", lease_until=LEASE) is None
    assert now_of(store, before) == before.work


def test_an_old_doorbell_of_the_same_attempt_may_claim_it(store: Store) -> None:
    before = charging(store)
    store.work.ring(due(store, NOW + GRACE_MS), NOW + GRACE_MS)
    assert store.work.claim(ticket_of(before), "worker", lease_until=LEASE) is not None


@pytest.mark.parametrize("happening", [Paused(), Triggered(trigger="reject"), Triggered(trigger="again")])
def test_work_that_is_held_or_was_left_cannot_be_claimed(store: Store, happening: object) -> None:
    before = charging(store)
    apply(store, before, happening)
    assert store.work.claim(ticket_of(before), "worker", lease_until=LEASE) is None


def test_a_timer_cannot_be_claimed(store: Store) -> None:
    cooling = apply(store, start(store), Triggered(trigger="cool"))
    assert store.work.claim(ticket_of(cooling), "worker", lease_until=LEASE) is None


def test_a_claim_that_was_taken_over_can_do_nothing_more(store: Store) -> None:
    before = charging(store)
    old = claimed(store, before, "old")
    snapshot = store.entities.load_row(before.row)
    assert snapshot is not None
    crashed = apply(store, snapshot, Crashed(claim=old, detail="its lease ended"))
    new = claimed(store, crashed, "new")
    there = now_of(store, before)
    assert not store.work.heartbeat(old, lease_until=LEASE + 1, progress=0.5)
    assert not store.work.release(old, attempt=9, dispatch=9, wake_at=NOW, now=NOW)
    store.work.renew([(before.row, "old")], lease_until=LEASE + 1)
    late = decide(ORDER, snapshot, Returned(claim=old, trigger="declined", changes=Changes()), NOW)
    late = replace(late, before=store.entities.load_row(before.row))
    with pytest.raises(ClaimLost):
        store.commits.commit(late, nothing)
    assert now_of(store, before) == there
    assert new.holds(store.entities.load_row(before.row) or before)


def test_a_heartbeat_renews_the_lease_and_keeps_the_last_progress(store: Store) -> None:
    before = charging(store)
    claim = claimed(store, before)
    assert store.work.heartbeat(claim, lease_until=LEASE + 1, progress=0.25)
    assert store.work.heartbeat(claim, lease_until=LEASE + 2, progress=None)
    assert store.work.heartbeat(claim, lease_until=LEASE + 2, progress=None)
    work = now_of(store, before)
    assert (work.lease_until, work.wake_at, work.progress) == (LEASE + 2, LEASE + 2, 0.25)


def test_many_leases_are_renewed_at_once_and_only_those_that_are_still_owned(store: Store) -> None:
    orders = [charging(store, str(number)) for number in range(3)]
    for order in orders:
        claimed(store, order, f"owner {order.row}")
    owners = [(order.row, f"owner {order.row}") for order in orders[:2]] + [(orders[2].row, "somebody else")]
    store.work.renew(owners, lease_until=LEASE + 9)
    store.work.renew([], lease_until=LEASE + 99)
    assert [now_of(store, order).lease_until for order in orders] == [LEASE + 9, LEASE + 9, LEASE]


def test_an_attempt_that_is_given_back_can_be_claimed_again_and_has_not_failed(store: Store) -> None:
    before = charging(store)
    claim = claimed(store, before)
    assert store.work.release(claim, attempt=1, dispatch=4, wake_at=NOW + 7, now=NOW)
    work = now_of(store, before)
    assert work == replace(work_of(before), fence=1, dispatch=4, wake_at=NOW + 7, rung_at=None)
    assert not store.work.release(claim, attempt=1, dispatch=5, wake_at=NOW + 8, now=NOW)
    assert claimed(store, before, "another").fence == 2


def test_what_a_paused_entity_is_given_back_is_held(store: Store) -> None:
    before = charging(store)
    claim = claimed(store, before)
    paused = apply(store, store.entities.load_row(before.row) or before, Paused())
    assert store.work.release(claim, attempt=2, dispatch=0, wake_at=NOW, now=NOW)
    work = now_of(store, before)
    assert (work.owner, work.held, work.wake_at, work.attempt) == (None, 0, FAR_FUTURE_MS, 2)
    resumed = apply(store, store.entities.load_row(paused.row) or paused, Resumed())
    assert due(store, NOW + GRACE_MS) == [Due(row=before.row, work=work_of(resumed))]


def test_a_pause_that_was_decided_before_an_attempt_is_given_back_is_decided_again(store: Store) -> None:
    before = charging(store)
    claim = claimed(store, before)
    running = store.entities.load_row(before.row) or before
    pause = decide(ORDER, running, Paused(), NOW)
    store.work.release(claim, attempt=2, dispatch=0, wake_at=NOW, now=NOW)
    with pytest.raises(Exception, match="has moved on"):
        store.commits.commit(pause, nothing)
    apply(store, store.entities.load_row(before.row) or before, Paused())
    assert due(store, NOW + 10 * GRACE_MS) == []


def test_what_is_due_comes_the_longest_waiting_first_and_in_pages(store: Store) -> None:
    orders = [charging(store, str(number), NOW + wait) for number, wait in enumerate((30, 10, 20))]
    assert due(store, NOW + GRACE_MS) == []
    found = due(store, NOW + GRACE_MS + 20)
    assert [item.row for item in found] == [orders[1].row, orders[2].row]
    assert [item.work for item in found] == [orders[1].work, orders[2].work]
    page = [item.row for item in due(store, NOW + GRACE_MS + 30, limit=2)]
    if store.link.dialect.wakes == EXACT:
        assert page == [orders[1].row, orders[2].row]
    else:
        assert len(page) == 2, "those of a few minutes are not sorted further"
    assert [item.claim for item in found] == [None, None]
    claim = claimed(store, orders[0])
    assert [item.claim for item in due(store, LEASE) if item.row == orders[0].row] == [claim]


def test_ringing_counts_the_dispatch_and_grants_more_grace_each_time(store: Store) -> None:
    before = charging(store)
    now = NOW + GRACE_MS
    for dispatch in range(1, 8):
        ((ticket, queue),) = store.work.ring(due(store, now), now)
        assert (ticket, queue) == (replace(ticket_of(before), dispatch=dispatch), "default")
        work = now_of(store, before)
        assert (work.dispatch, work.rung_at, work.wake_at) == (dispatch, now, now + grace(dispatch))
        now = work.wake_at
    assert all(one <= other <= MAX_GRACE_MS for one, other in pairwise(map(grace, range(50))))
    assert grace(50) == MAX_GRACE_MS


def test_of_eight_sweepers_at_once_one_rings_and_in_the_order_of_waiting(store: Store) -> None:
    orders = [charging(store, str(number), NOW - number) for number in range(20)]
    found = due(store, NOW + GRACE_MS)
    rung = in_threads(8, store.link, lambda number: store.work.ring(found, NOW + GRACE_MS))
    tickets = [ticket for rings in rung for ticket, _ in rings]
    assert sorted(ticket.row for ticket in tickets) == [order.row for order in orders]
    assert all(ticket.dispatch == 1 for ticket in tickets)
    for rings in rung:
        assert [ticket.row for ticket, _ in rings] == sorted((ticket.row for ticket, _ in rings), reverse=True)


@pytest.mark.parametrize("happening", [Paused(), Triggered(trigger="reject"), Triggered(trigger="again")])
def test_what_was_held_or_left_meanwhile_is_not_rung(store: Store, happening: object) -> None:
    before = charging(store)
    found = due(store, NOW + GRACE_MS)
    apply(store, before, happening)
    assert store.work.ring(found, NOW + GRACE_MS) == []


def test_what_was_claimed_meanwhile_is_neither_rung_nor_postponed(store: Store) -> None:
    before = charging(store)
    found = due(store, NOW + GRACE_MS)
    claimed(store, before)
    there = now_of(store, before)
    assert store.work.ring(found, NOW + GRACE_MS) == []
    store.work.postpone([(item, NOW + 99) for item in found], NOW)
    assert now_of(store, before) == there


def test_what_is_postponed_is_due_later(store: Store) -> None:
    before = charging(store)
    store.work.postpone([(item, NOW + 99_000) for item in due(store, NOW + GRACE_MS)], NOW)
    assert due(store, NOW + 98_999) == []
    assert [item.row for item in due(store, NOW + 99_000)] == [before.row]


def test_only_what_redis_should_have_is_woken_when_redis_lost_it(store: Store) -> None:
    rung, running, held = (charging(store, name) for name in ("rung", "running", "held"))
    claimed(store, running)
    apply(store, held, Paused())
    apply(store, start(store, "timer"), Triggered(trigger="cool"))
    assert store.work.wake_rung(NOW) == 1
    assert [item.row for item in due(store, NOW)] == [rung.row]


def test_active_counts_what_runs_is_rung_or_is_due(store: Store) -> None:
    assert store.work.active(NOW) == 0
    rung = charging(store)
    assert store.work.active(NOW) == 1
    claimed(store, rung)
    assert store.work.active(NOW) == 1
    apply(store, start(store, "timer"), Triggered(trigger="cool"))
    assert store.work.active(NOW) == 1
    assert store.work.active(NOW + 60_000) == 2
    apply(store, charging(store, "held"), Paused())
    assert store.work.active(NOW) == 1


def test_the_live_claim_of_a_token_is_found_and_no_other(store: Store) -> None:
    before = charging(store)
    claim = claimed(store, before)
    assert store.work.owned_by(before.row, "worker") == claim
    assert store.work.owned_by(before.row, "another") is None
    assert store.work.owned_by(77, "worker") is None
