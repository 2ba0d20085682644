"""A database that takes over has lost the claim of an attempt, and perhaps more: its result counts if nothing it went
by is lost, and nobody else has begun the attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

import pytest

from fsmflow import Machine, State
from fsmflow.running.claim import new_owner
from fsmflow.store.doubt import Doubt
from fsmflow.store.entities import Entities
from fsmflow.store.tables import ENTITY, HISTORY, WORK
from fsmflow.store.work import Ticket
from fsmflow.verify import verify
from tests.support.bench import Bench
from tests.support.concurrency import by_others, meanwhile
from tests.support.machines import Order, play

LOST = f"UPDATE {WORK} SET fence = fence - 1, owner = NULL, lease_until = NULL"
LEASE_MS = 15_000


class Payment(Machine):
    initial = "new"
    states = ["new", State("paying", job="pay", at_most_once=True), State("paid", final=True)]
    transitions = [["pay_now", "new", "paying"], ["done", "paying", "paid"], ["note", "*", None]]

    def pay(self) -> Any:
        return play["paying"](self)


@pytest.fixture
def bench(redis_url: str, database_url: str) -> Iterator[Bench]:
    bench = Bench(redis_url, database_url=database_url, machines=(Order, Payment))
    yield bench
    assert verify(bench.runtime.store, bench.runtime.machines.all()).violations == []
    bench.close()


def run(bench: Bench, *meets: Callable[[Ticket], Any], **changes: Any) -> None:
    """Run an attempt that meets each of these before it returns what it changes."""
    ticket = bench.take()

    def act(machine: Any) -> dict[str, Any]:
        for meet in meets:
            meet(ticket)
        return changes

    play["charging"] = play["paying"] = act
    bench.execute(ticket)
    play.clear()


def lose(bench: Bench) -> Callable[[Ticket], Any]:
    return lambda ticket: bench.runtime.store.link.execute(LOST)


def kinds(order: Any) -> list[str]:
    return [entry.kind for entry in order.history]


def claim(bench: Bench, ticket: Ticket) -> Any:
    until = bench.clock.now() + LEASE_MS
    found = bench.runtime.store.work.claim(ticket, new_owner(), lease_until=until)
    assert found is not None
    return found.snapshot


def test_a_result_counts_though_the_claim_of_its_attempt_is_lost(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    order = Order.start("1")
    order.submit()
    run(bench, lose(bench), paid=7)
    assert (order.refresh().state, order.data["paid"]) == ("shipping", 7)
    assert kinds(order) == ["start", "transition", "transition"]
    assert any(line.startswith("claim.regained: order:1: ") for line in caplog.messages)
    assert (len(bench.queued()), len(bench.queued("slow"))) == (0, 1)


def test_it_counts_where_many_claims_are_lost_and_where_somebody_has_looked_in_vain(bench: Bench) -> None:
    """As who had to give the attempt back, as its code was older."""
    order = Order.start("1")
    order.submit()
    bench.runtime.store.link.execute(f"UPDATE {WORK} SET fence = 5")
    run(bench, lambda ticket: bench.runtime.store.link.execute(LOST.replace("fence - 1", "2")), paid=7)
    assert order.refresh().data["paid"] == 7
    assert kinds(order) == ["start", "transition", "transition"]


def test_it_does_not_count_once_somebody_else_has_begun_the_attempt(bench: Bench) -> None:
    order = Order.start("1")
    order.submit()
    run(bench, lose(bench), lambda ticket: claim(bench, ticket), paid=7)
    assert order.refresh().state == "charging"
    assert kinds(order) == ["start", "transition"]
    bench.advance(LEASE_MS / 1000 + 1)
    bench.run("default", "slow")
    assert kinds(order.refresh()) == ["start", "transition", "crashed", "transition", "transition"]


def test_of_two_who_claim_it_at_once_one_does(bench: Bench) -> None:
    order = Order.start("1")
    order.submit()
    others = []

    def others_come_first(ticket: Ticket) -> None:
        lose(bench)(ticket)
        others.append(ticket)

    def claim_it() -> None:
        bench.runtime.store.link.execute(f"UPDATE {WORK} SET fence = fence + 1, owner = 'somebody'")

    with meanwhile(Entities, "lock", claim_it):
        run(bench, others_come_first, paid=7)
    assert order.refresh().state == "charging"
    bench.runtime.store.link.execute(f"UPDATE {WORK} SET owner = NULL")
    bench.advance(LEASE_MS / 1000 + 1)
    bench.run("default", "slow")
    assert kinds(order.refresh()) == ["start", "transition", "transition", "transition"]


def test_it_does_not_count_where_what_the_job_had_saved_is_lost_with_the_claim(bench: Bench) -> None:
    order = Order.start("1")
    order.submit()
    link = bench.runtime.store.link
    before = link.rows(f"SELECT revision, seq, data, updated_at FROM {ENTITY}")[0]

    def save(machine: Any) -> dict[str, Any]:
        if "page" not in machine.data:
            machine.data["page"] = 1
            machine.save()
            forget_saved()
        return {"paid": machine.data.get("page")}

    def forget_saved() -> None:
        link.execute(LOST)
        link.execute(f"DELETE FROM {HISTORY} WHERE kind = 'saved'")
        columns = ", ".join(f"{name} = {link.mark}" for name in ("revision", "seq", "data", "updated_at"))
        link.execute(f"UPDATE {ENTITY} SET {columns}", before)

    play["charging"] = save
    bench.step()
    assert (order.refresh().state, order.data) == ("charging", {})
    assert len(bench.queued()) == 1, "it is rung for at once, as its doorbell is used up"
    play["charging"] = lambda machine: {"paid": 2}
    bench.step()
    assert (order.refresh().data["paid"], kinds(order)) == (2, ["start", "transition", "transition"])


def test_it_does_not_count_where_somebody_has_changed_the_entity_since(bench: Bench) -> None:
    order = Order.start("1")
    order.submit()
    run(bench, lose(bench), lambda _: by_others(Order.get("1")).pause(), paid=7)
    assert (order.refresh().paused, order.state) == (True, "charging")
    play["charging"] = lambda machine: {"paid": 8}
    order.resume()
    bench.run("default", "slow")
    assert (order.refresh().state, order.data["paid"]) == ("shipped", 8)


def test_a_job_that_may_run_only_once_is_not_begun_again(bench: Bench) -> None:
    kept, lost = Payment.start("kept"), Payment.start("lost")
    kept.trigger("pay_now")
    run(bench, lose(bench))
    assert kept.refresh().state == "paid"
    lost.trigger("pay_now")
    run(bench, lose(bench), lambda _: by_others(Payment.get("lost")).trigger("note"))
    assert lost.refresh().state == "failed_from_paying"
    assert lost.failure is not None
    assert (
        "the database has lost what the job had saved, or went by (its job runs at most once)" in lost.failure.message
    )
    assert bench.queued() == []


def test_who_has_given_the_attempt_back_does_not_get_it_again(bench: Bench) -> None:
    order = Order.start("1")
    order.submit()
    seen = claim(bench, bench.take())
    store = bench.runtime.store
    held = store.work.owned_by(seen.row, seen.work.owner)
    assert held is not None
    until = bench.clock.now() + LEASE_MS
    assert store.doubt.reclaim(held, seen, lease_until=until), "it is there"
    store.work.release(held, attempt=1, dispatch=1, wake_at=bench.clock.now(), now=bench.clock.now())
    assert not store.doubt.reclaim(held, None, lease_until=until)


def test_a_claim_that_is_put_there_again_is_so_once_though_its_commit_is_in_doubt(bench: Bench) -> None:
    order = Order.start("1")
    order.submit()
    calls = []

    def twice(original: Any) -> Callable[..., bool]:
        def reclaim(self: Doubt, *asked: Any, **options: Any) -> bool:
            calls.append(Context().run(original, self, *asked, **options))
            return bool(original(self, *asked, **options))

        return reclaim

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(Doubt, "reclaim", twice(Doubt.reclaim))
        run(bench, lose(bench), paid=7)
    assert (calls, order.refresh().state) == ([True], "shipping")
