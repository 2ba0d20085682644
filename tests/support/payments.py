"""Machines whose jobs have to have permits, and what tests do with them in the place of workers."""

from __future__ import annotations

import os
from typing import Any

from fsmflow import Limit, Machine, Retry, State
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Failed
from fsmflow.running.claim import claim_attempt
from fsmflow.running.lease import LEASE_MS
from fsmflow.running.permits import pass_on
from fsmflow.running.settlement import settle
from fsmflow.verify.checker import verify
from tests.support.bench import Bench
from tests.support.traces import ran


class Payment(Machine):
    """At the gateway two at once; of each customer three a minute."""

    initial = "new"
    states = [
        "new",
        State("charging", job="charge", limits=[Limit("gateway", running=2)], retry=Retry(max=1, interval=5, jitter=0)),
        State("mailing", job="mail", limits=[Limit("mail-{customer}", per_minute=3)]),
        State("sorting", each="parts", job="sort", limits=[Limit("sorter", running=1)]),
        State("counting", job="count", queue="slow"),
        State("over", final=True),
    ]
    transitions = [
        ["pay", "new", "charging"],
        ["write", "new", "mailing"],
        ["pick", "new", "sorting"],
        ["tally", "new", "counting"],
        ["done", ["charging", "mailing", "sorting", "counting"], "over"],
    ]

    def charge(self) -> None:
        self._do()

    def mail(self) -> None:
        self._do()

    def sort(self, item: str) -> None:
        ran.append(item)

    def count(self) -> None:
        self._do()

    def _do(self) -> None:
        ran.append(self.entity_id)
        if self.data.get("fails"):
            raise RuntimeError("not today")


class Refund(Machine):
    """Straight on from a step at the gateway to the next one there."""

    run_on = True
    limits = [Limit("refunds", running=1)]
    initial = "asking"
    states = [State("asking", job="ask"), State("paying", job="pay"), State("over", final=True)]
    transitions = [["done", "asking", "paying"], ["done", "paying", "over"]]

    def ask(self) -> None:
        ran.append(f"ask {self.entity_id}")

    def pay(self) -> None:
        ran.append(f"pay {self.entity_id}")


class Bounded(Machine):
    """It waits no longer than a minute."""

    initial = "new"
    states = [
        "new",
        State("busy", job="work", within=60, limits=[Limit("bounded", running=1)]),
        State("over", final=True),
    ]
    transitions = [["go", "new", "busy"], ["done", "busy", "over"]]

    def work(self) -> None:
        ran.append(self.entity_id)


def sent(trigger: str, *names: str, **data: Any) -> list[Any]:
    found = [Payment.start(name, **data) for name in names]
    for payment in found:
        payment.trigger(trigger)
    return found


def claimed(bench: Bench, queue: str = "default") -> Any:
    """What a worker begins that answers the first doorbell; None where it has to wait."""
    return claim_attempt(bench.runtime, bench.take(queue), os.urandom(12).hex())


def fail(bench: Bench, attempt: Any) -> None:
    """The job of an attempt fails for good; what follows from that."""
    facts = Facts(kind=RuntimeError, message="no", permanent=True)
    settle(bench.runtime, attempt.root, attempt.snapshot, Failed(claim=attempt.claim, duration_ms=0, facts=facts))
    pass_on(bench.runtime, attempt)


def keep(bench: Bench, attempt: Any) -> None:
    """The worker of an attempt lives on."""
    claim = attempt.claim
    bench.runtime.store.work.renew([(claim.row, claim.owner)], lease_until=bench.clock.ms + 10 * LEASE_MS)


def names(attempts: Any) -> list[str]:
    return [attempt.snapshot.entity_id for attempt in attempts if attempt is not None]


def violations(bench: Bench) -> list[Any]:
    return list(verify(bench.runtime.store, bench.runtime.machines.all(), strict=True).violations)
