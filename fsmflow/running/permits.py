"""Permits of limits: asked for once an attempt is claimed, and passed on once it has ended."""

from __future__ import annotations

from collections.abc import Callable

from fsmflow.decision.entity import ClaimLost, Snapshot
from fsmflow.decision.permit import Wanted, wanted_of
from fsmflow.definition.model import StateSpec
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable
from fsmflow.log import limits as log
from fsmflow.running.attempt import Attempt
from fsmflow.store.permits import PAGE
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
        refused = runtime.store.permits.ask(attempt.claim, attempt.wanted, dispatch=dispatch + 1, now=runtime.now())
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


def pass_on(runtime: Runtime, attempt: Attempt) -> None:
    """An attempt has ended: call those who waited for its permits. Where that does not come about, a sweep does so."""
    for one in attempt.wanted:
        if one.running is None:
            continue
        try:
            runtime.ring_for(runtime.store.permits.call(one.key, runtime.now()))
        except DatabaseUnavailable as error:
            log.not_passed_on(one.told, error)


def call_due(runtime: Runtime) -> int:
    """Call those for whom there is room by now: as a worker has died, or a minute is over. How many limits were looked
    at. One query where nobody waits."""
    names = runtime.store.permits.due_lines(runtime.now(), PAGE)
    for name in names:
        runtime.ring_for(runtime.store.permits.call(name, runtime.now()))
    return len(names)
