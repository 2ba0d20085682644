"""Permits of limits: asked for once an attempt is claimed, and passed on once it has ended."""

from __future__ import annotations

from collections.abc import Callable

from fsmflow.decision.entity import ClaimLost, Snapshot
from fsmflow.decision.permit import Wanted, wanted_of
from fsmflow.definition.model import StateSpec
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable
from fsmflow.log import limits as log
from fsmflow.points import point
from fsmflow.running.attempt import Attempt
from fsmflow.running.lease import LEASE_MS
from fsmflow.running.outage import outlast
from fsmflow.store.permits import Called, Taken, Taker
from fsmflow.store.work import Ticket

#: What is told of whom a worker may run in the place of an attempt that has to wait.
Instead = Callable[[Ticket], None]


def wanted(runtime: Runtime, snapshot: Snapshot, spec: StateSpec, parent: Snapshot | None) -> tuple[Wanted, ...]:
    """The limits that the job of an entity has to have a permit of: those of its state, its machine and its queue.
    ``parent``: that of a branch, whose data count."""
    if spec.fan is not None:
        return ()  # what makes branches; each of these asks for itself
    work, limits = snapshot.work, spec.limits
    of_queue = runtime.settings.queue_limits.get(work.queue or "") if work is not None else None
    if of_queue is not None:
        limits = (*limits, of_queue)
    return wanted_of(limits, (snapshot if parent is None else parent).data) if limits else ()


def take(runtime: Runtime, attempt: Attempt, instead: Instead | None = None) -> bool:
    """Whether an attempt has its permits. Without them it is given back, and waits in line; ``instead`` is told of who
    was called before, and whose doorbell may be far behind. Raises DatabaseUnavailable: it has none then, or may have
    them."""
    snapshot = attempt.snapshot
    dispatch = snapshot.work.dispatch if snapshot.work is not None else 0
    try:
        refused = runtime.store.permits.ask(
            attempt.claim,
            attempt.wanted,
            dispatch=dispatch + 1,
            now=runtime.now(),
            hastily=not attempt.spec.at_most_once,
        )
    except ClaimLost:
        return False
    if refused is None:
        return True
    log.in_line(snapshot.address, snapshot.state, refused.told)
    queue = snapshot.work.queue if snapshot.work is not None else None
    called = None if instead is None else runtime.store.permits.called(refused.key, queue, runtime.now())
    if instead is not None and called is not None:
        instead(called)
    return False


def taker_of(runtime: Runtime, attempt: Attempt, owner: str, tell: Callable[[int, str], None]) -> Taker | None:
    """Whoever has run an attempt, and may run who waits for its permits in the same queue, as ``owner``."""
    work = attempt.snapshot.work
    if work is None:
        return None
    return Taker(queue=work.queue, owner=owner, lease_until=runtime.now() + LEASE_MS, tell=tell)


def pass_on(runtime: Runtime, attempt: Attempt, taker: Taker | None = None) -> Taken | None:
    """An attempt has ended: call those who waited for its permits, or have the first one taken; who that is. Where it
    does not come about, a sweep does so."""
    taken: Taken | None = None
    for one in attempt.wanted:
        if one.running is not None:
            point("pass.before", attempt.address)
            called = _called(runtime, attempt, one, None if taken else taker)
            runtime.ring_for(called.rings)
            taken = taken or called.taken
    return taken


def _called(runtime: Runtime, attempt: Attempt, one: Wanted, taker: Taker | None) -> Called:
    permits = runtime.store.permits
    try:
        return permits.call(one.key, runtime.now(), taker)
    except DatabaseUnavailable as error:
        log.not_passed_on(one.told, error)
    if taker is None or taker.told is None:
        return Called([], None)
    # It may have been claimed, and nobody else would run it.
    return outlast(attempt.address, lambda: permits.call(one.key, runtime.now(), taker))


def pass_on_for(runtime: Runtime, row: int) -> None:
    """The same of an attempt that was ended by others than its worker. One query where it had no permit."""
    for name in runtime.store.permits.of(row):
        runtime.ring_for(runtime.store.permits.call(name, runtime.now()).rings)


def call_due(runtime: Runtime) -> int:
    """Call those for whom there is room by now: as a worker has died, or a minute is over. How many limits were looked
    at. One query where nobody waits."""
    names = runtime.store.permits.rows.due(runtime.now())
    for name in names:
        runtime.ring_for(runtime.store.permits.call(name, runtime.now()).rings)
    return len(names)
