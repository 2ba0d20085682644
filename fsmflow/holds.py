"""Holds: keep back what stands in a state, or waits in a queue, and what arrives there; and let it go again.

from fsmflow import holds

bank = holds.hold("order", state="charging", reason="bank maintenance", until=timedelta(hours=2))
holds.release(bank.number, rate=50)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from fsmflow import clock
from fsmflow.decision.inputs import Actor, as_actor, checked_moment, checked_reason
from fsmflow.definition.model import is_queue
from fsmflow.definition.operators import HOLD
from fsmflow.definition.retry import is_duration
from fsmflow.engine import holds as engine
from fsmflow.engine.holds import Hold
from fsmflow.engine.permission import opens, permit_operation
from fsmflow.engine.runtime import current
from fsmflow.engine.selection import Selection, check_shown, filter_of
from fsmflow.engine.teams import lets_hold, permit_hold, reach_of, tells_of_others
from fsmflow.errors import DataError, shown

__all__ = ["Hold", "current_holds", "hold", "kept_back", "release"]

#: More than this a second is no rate.
MAX_RATE = 1_000_000


def hold(
    machine: str | None = None,
    *,
    state: str | None = None,
    queue: str | None = None,
    where: Mapping[str, Any] | None = None,
    until: datetime | timedelta | float | None = None,
    reason: str | None = None,
    actor: Actor | str | None = None,
) -> Hold:
    """Keep back what fits all that is given, what is there and what arrives: no job of it begins, and no timer of it
    fires, until the hold is released or ``until`` has come. A running job ends and commits; triggers are taken; what
    they lead to waits.

    ``state`` is a glob, and for a step that fans out holds its branches too. ``where``: fields of the data, as in
    ``find``. ``until``: an aware datetime, or from now on a timedelta or seconds. Time goes on in a hold, other than in
    a pause: a deadline that comes meanwhile is over afterwards. Once this returns no job is taken; what a worker has
    taken by then still runs, and a timer that is firing fires. Every worker heeds it, and it outlives them all.

    Who may is said by ``operators`` of the machine, or of all machines where none is named, and by the installation's
    permission ``hold``. Raises NotPermitted, UnknownMachine, UnknownState, and DataError for what cannot be asked.
    """
    runtime = current()
    filter_of(runtime, Selection(machine=machine, states=None if state is None else (state,), branches=True))
    if queue is not None and not is_queue(queue):
        raise DataError(f"queue is {shown(queue)}; it is the name of a queue")
    if where is not None and not isinstance(where, Mapping):
        raise DataError(f"where is {shown(where)}; it is a mapping of fields and values")
    check_shown(runtime, Selection(machine=machine, data=where or {}))  # a hold is shown
    if machine is None and state is None and queue is None and not where:
        raise DataError("a hold names a machine, a state, a queue or fields of the data, so that not all is kept back")
    who, why = as_actor(actor), checked_reason(reason)
    _permit(machine, who, where or {})
    kept: dict[str, Any] = {"machine": machine, "state": state, "queue": queue, "where": dict(where or {})}
    by = None if who is None else who.name
    return engine.make(runtime, Hold(number=0, at=0, **kept, until=_moment(until), reason=why, by=by))


def release(number: int, *, rate: float | None = None, actor: Actor | str | None = None) -> Hold:
    """End a hold: what arrives from now on is kept back no more, and workers let go what was, ``rate`` a second, or all
    of it at once. Another release of the same hold changes the rate. Whoever may hold may release. Raises NotPermitted,
    and DataError for a number that there is not.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise DataError(f"number is {shown(number)}; it is the number of a hold")
    if rate is not None and (not is_duration(rate) or isinstance(rate, timedelta) or not 0 < rate <= MAX_RATE):
        raise DataError(f"rate is {shown(rate)}; it is a number a second, above 0")
    who = as_actor(actor)
    found = next((hold for hold in current_holds(actor=who) if hold.number == number), None)
    if found is not None:
        _permit(found.machine, who, found.where)
    elif reach_of(current(), who) is not None:
        raise DataError(f"there is no hold {number}")
    return engine.release(current(), number, rate=rate)


def current_holds(*, actor: Actor | str | None = None) -> list[Hold]:
    """All that are in force, and those that are released and of which something is still to be let go. One query.
    ``actor``: without those that name data of teams which the actor is not in."""
    runtime = current()
    reach = reach_of(runtime, as_actor(actor))
    found = engine.in_force(runtime).holds
    return [hold for hold in found if not tells_of_others(runtime, hold.where, hold.machine, reach)]


def kept_back(*, actor: Actor | str | None = None) -> dict[int, int]:
    """How many entities wait for the end of each hold, by its number, of those that are there for an actor. Reads
    nothing else, by an index."""
    runtime = current()
    if not engine.in_force(runtime).holds:
        return {}
    return runtime.store.work.parked(reach_of(runtime, as_actor(actor)))


def lets(machine: str | None, where: Mapping[str, Any], actor: Actor | None) -> bool:
    """Whether an actor may make such a hold, and release it. Nothing is logged, as nothing was tried."""
    runtime = current()
    meant = [one for name, one in runtime.machines.all().items() if machine in (None, name)]
    return all(opens(runtime, one, HOLD, actor) and lets_hold(runtime, one, where, actor) for one in meant)


def _permit(machine: str | None, actor: Actor | None, where: Mapping[str, Any]) -> None:
    """Raises NotPermitted. One that names no machine is about all of them."""
    runtime = current()
    for name, definition in runtime.machines.all().items():
        if machine in (None, name):
            permit_operation(runtime, definition, HOLD, actor)
            permit_hold(runtime, definition, where, actor)


def _moment(until: datetime | timedelta | float | None) -> int | None:
    if until is None:
        return None
    if isinstance(until, datetime):
        if until.utcoffset() is None:
            raise DataError(f"until is {shown(until)}, a datetime without a time zone; give an aware one")
        return checked_moment(until, "until")
    if not is_duration(until):
        raise DataError(f"until is {shown(until)}; it is an aware datetime, a timedelta or seconds")
    return checked_moment(current().now() + clock.to_ms(until), "until")
