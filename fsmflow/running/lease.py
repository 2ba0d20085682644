"""The lease of a claim: for how long it holds, and who renews it. What follows its end is in ``maintenance/losses``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from fsmflow import clock, log
from fsmflow.decision.entity import Claim, Snapshot
from fsmflow.decision.work import grace
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable
from fsmflow.running.attempt import Attempt
from fsmflow.scope import scope
from fsmflow.store.work import Claimed, Parks, Ticket

LEASE_MS: Final = 15_000
#: How often a lease is renewed while its attempt runs.
RENEW_S: Final = 5.0


def take(runtime: Runtime, ticket: Ticket, owner: str) -> Claimed | None:
    """Claim what a ticket is for; None where it is not to be run. Tried a second time where the database is away."""
    work = runtime.store.work
    try:
        return work.claim(ticket, owner, lease_until=runtime.now() + LEASE_MS)
    except DatabaseUnavailable:
        return work.claim(ticket, owner, lease_until=runtime.now() + LEASE_MS)


def take_together(runtime: Runtime, claims: Sequence[tuple[Ticket, str]]) -> list[Claimed | None]:
    """Claim what several tickets are for, each for its owner. One by one where others are in the way of one of them:
    whose row is locked is left then, to be rung for again, and the others are had."""
    try:
        return runtime.store.work.claim_together(claims, lease_until=runtime.now() + LEASE_MS)
    except DatabaseUnavailable as error:
        if not error.raced:
            raise
    return [_take_or_leave(runtime, ticket, owner) for ticket, owner in claims]


def _take_or_leave(runtime: Runtime, ticket: Ticket, owner: str) -> Claimed | None:
    try:
        return take(runtime, ticket, owner)
    except DatabaseUnavailable as error:
        log.sweep_failed("taking a job", error)
        return None


def release(runtime: Runtime, snapshot: Snapshot, claim: Claim, why: str) -> None:
    """Give an attempt back that cannot be run here, for others to run after a while that grows. It counts as none."""
    _release(runtime, snapshot, claim, grace(_dispatch(snapshot)))
    log.claim_released(snapshot.address, why, as_usual=False)


def hand_back(runtime: Runtime, snapshot: Snapshot, claim: Claim, why: str) -> None:
    """Give an attempt back that might be run here, for others to run at once. It counts as none."""
    _release(runtime, snapshot, claim, 0)
    log.claim_released(snapshot.address, why, as_usual=True)


def _release(runtime: Runtime, snapshot: Snapshot, claim: Claim, after_ms: int) -> None:
    dispatch, now = _dispatch(snapshot) + 1, runtime.now()
    runtime.store.work.release(claim, attempt=claim.attempt, dispatch=dispatch, wake_at=now + after_ms, now=now)


def _dispatch(snapshot: Snapshot) -> int:
    return snapshot.work.dispatch if snapshot.work else 0


def park(runtime: Runtime, snapshot: Snapshot, claim: Claim, parks: Parks, why: str) -> None:
    """Give an attempt back that a hold keeps back. It counts as none, and is offered again once that is over."""
    dispatch, now = snapshot.work.dispatch if snapshot.work else 0, runtime.now()
    given = runtime.store.work.release(
        claim, attempt=claim.attempt, dispatch=dispatch + 1, wake_at=now, now=now, parks=parks
    )
    if given:
        log.held_back(snapshot.address, snapshot.state, why)


def is_live(runtime: Runtime, claim: Claim) -> bool:
    """Whether a claim has not been taken away. One query."""
    return runtime.store.work.owned_by(claim.row, claim.owner) is not None


def renew(
    runtime: Runtime, claim: Claim, *, for_ms: int = LEASE_MS, progress: float | None = None, durable: bool = False
) -> bool:
    """Renew a lease, and note the progress; whether the claim is still live. ``durable``: whatever becomes of the
    database server."""
    until = runtime.now() + for_ms
    # Asked once more where no row changed: a MySQL driver may count the rows that changed, not those found.
    return runtime.store.work.heartbeat(claim, lease_until=until, progress=progress, durable=durable) or (
        is_live(runtime, claim)
    )


def secure(runtime: Runtime, attempt: Attempt) -> bool:
    """Before the job begins: a transactional one holds its lease for its whole limit, as nobody may renew it; one
    that runs at most once has a claim that outlives the database server. False where the claim is gone."""
    spec = attempt.spec
    if not spec.transactional and not spec.at_most_once:
        return True
    limit_ms = round((attempt.limit_s or 0) * 1000) if spec.transactional else 0
    return renew(runtime, attempt.claim, for_ms=LEASE_MS + limit_ms, durable=spec.at_most_once)


@scope
def renewed(runtime: Runtime, claim: Claim, deadline: Callable[[], float]) -> Iterator[None]:
    """Inside, a thread renews the lease, up to the deadline as it is by then: under a stock RQ worker nobody does so
    from outside."""
    over = threading.Event()
    thread = threading.Thread(target=_renew, args=(runtime, claim, deadline, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _renew(runtime: Runtime, claim: Claim, deadline: Callable[[], float], over: threading.Event) -> None:
    while not over.wait(RENEW_S) and clock.monotonic() < deadline():
        try:
            if not runtime.store.work.heartbeat(claim, lease_until=runtime.now() + LEASE_MS, progress=None):
                return
        except DatabaseUnavailable as error:
            log.sweep_failed("renewing a lease", error)
    runtime.store.link.forget_connection()
