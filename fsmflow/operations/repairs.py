"""Starting repairs, and finding them: ``fsmflow.repairs``."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from itertools import islice
from typing import Any, TypedDict, Unpack

from fsmflow import clock
from fsmflow.decision.inputs import Actor, as_actor
from fsmflow.decision.member import Member
from fsmflow.definition.names import FAILED, RETRY
from fsmflow.definition.parse import plain_name
from fsmflow.engine.groups import ledger_of
from fsmflow.engine.runtime import current
from fsmflow.engine.selection import Selection, check_shown, filter_of
from fsmflow.engine.teams import belonging_to, reach_of
from fsmflow.errors import DataError, did_you_mean
from fsmflow.machine.base import as_dict
from fsmflow.machine.entities import conditions_of
from fsmflow.operations.members import Members
from fsmflow.operations.plan import AT_ONCE, Plan, share_of
from fsmflow.operations.repair import Repair
from fsmflow.operations.report import Report, reports_of


class Wanted(TypedDict, total=False):
    """Which entities are meant: those with these ``addresses``, or those that all else is true of, at most ``limit``.

    ``state``, ``phase``, ``error``, ``older``, ``branches`` and ``branch`` as ``Machine.find`` takes them; ``group``:
    they rest in this failure group; ``where``: values that fields of their data have to have, or comparisons as
    ``Machine.find(where=)`` takes them, ``[("amount", ">=", 1000)]``.
    """

    addresses: Iterable[str]
    machine: str | None
    state: str | Enum | Collection[str | Enum] | None
    phase: str | None
    error: str | None
    group: str | None
    older: float | timedelta | None
    where: Mapping[str, Any] | Iterable[tuple[str, str, Any]] | None
    branches: bool
    branch: str | None
    limit: int | None


class Options(Wanted, total=False):
    """And how carefully. ``canary``: so many first, and the rest once each of them has recovered. ``rate``: at most,
    ``"20/s"``. ``at_once``: so many under way at most. ``stop_after``: stop once more than this share of those that
    settled have failed again, ``"3%"``."""

    canary: int
    rate: str | None
    at_once: int
    stop_after: float | str | None


def start(
    action: str = RETRY,
    /,
    *,
    data: Mapping[str, Any] | None = None,
    new_key: bool = False,
    to: str | None = None,
    event: int | str | None = None,
    trigger: str | None = None,
    payload: Mapping[str, Any] | None = None,
    confirm: bool = True,
    actor: Actor | str | None = None,
    reason: str | None = None,
    id: str | None = None,
    **options: Unpack[Options],
) -> Repair:
    """Start a repair, which does ``action`` to all entities that are wanted; the handle of it.

    ``data`` and ``new_key`` are those of ``retry``; ``to`` is the state of ``rewind`` and ``force``, ``event`` that of
    ``drop``; ``trigger`` and ``payload`` belong to the action ``"trigger"``. ``options``: see ``Options``. Without
    ``confirm`` it waits after its preview until ``resume`` of it. With an ``id``, a call that is repeated starts
    nothing again. Raises DataError.
    """
    edits: dict[str, Any] = {"data": data, "new_key": new_key, "to": to, "trigger": trigger, "payload": payload}
    plan = plan_of(action, actor=actor, reason=reason, event=event, **edits, **options)
    return begin(plan, confirm=confirm, id_=id)


def plan_of(
    action: str,
    *,
    data: Mapping[str, Any] | None = None,
    new_key: bool = False,
    to: str | None = None,
    event: int | str | None = None,
    trigger: str | None = None,
    payload: Mapping[str, Any] | None = None,
    actor: Actor | str | None = None,
    reason: str | None = None,
    **options: Unpack[Options],
) -> Plan:
    """What ``start`` with the same arguments is to do. Raises DataError."""
    dropped = None if event is None else str(event)
    edits: dict[str, Any] = {"state": to, "event": dropped, "trigger": trigger, "new_key": new_key, "reason": reason}
    return Plan(
        action=action,
        payload=as_dict(payload, "payload"),
        patch=as_dict(data),
        **Plan.person(as_actor(actor)),
        **edits,
        **_chosen(options),
    )


def _chosen(options: Options) -> dict[str, Any]:
    """Who is meant, and how carefully, as a plan has it. Raises DataError."""
    unknown = next((name for name in options if name not in Options.__annotations__), None)
    if unknown is not None:
        raise DataError(f"a repair takes no {unknown}={did_you_mean(unknown, Options.__annotations__)}")
    stop_after = options.get("stop_after")
    return {
        "addresses": tuple(options.get("addresses", ())),
        "selection": _selection(options),
        "limit": options.get("limit"),
        "canary": options.get("canary", 0),
        "rate": options.get("rate"),
        "at_once": options.get("at_once", AT_ONCE),
        "stop_after": None if stop_after is None else share_of(stop_after),
    }


def _selection(wanted: Wanted) -> Selection:
    state, older, where = wanted.get("state"), wanted.get("older"), wanted.get("where")
    return Selection(
        machine=wanted.get("machine"),
        states=None if state is None else tuple(map(plain_name, [state] if isinstance(state, str | Enum) else state)),
        phase=wanted.get("phase"),
        error=wanted.get("error"),
        group=wanted.get("group"),
        older_ms=None if older is None else clock.to_ms(older),
        data=as_dict(where, "where") if where is None or isinstance(where, Mapping) else {},
        where=() if where is None or isinstance(where, Mapping) else conditions_of(where),
        branches=wanted.get("branches", False),
        branch=wanted.get("branch"),
    )


def begin(plan: Plan, *, confirm: bool, id_: str | None = None) -> Repair:
    """Start a repair by its plan. Raises UnknownMachine, UnknownState and FsmflowError for what is not there."""
    if plan.selection.group is not None:
        # As it is now: another group may begin with the same letters later.
        group = ledger_of(current(), plan.selection.group, reach_of(current(), plan.who)).group.fingerprint
        plan = replace(plan, selection=replace(plan.selection, group=group))
    filter_of(current(), plan.selection)
    check_shown(current(), plan.selection)  # the plan is stored, and shown
    team = belonging_to(current(), plan.who)
    made = f"{clock.to_datetime(current().now()):%Y%m%d}-{secrets.token_hex(3)}"
    given = {**plan.to_data(), "confirmed": confirm, "turn": 1, **({} if team is None else {"team": team})}
    if_exists = "raise" if id_ is None else "return"
    return Repair.start(id_ or made, given, if_exists=if_exists, actor=plan.who)


def first_of(plan: Plan) -> int | None:
    """The row of the first one that a plan means; None where it means nobody. Nothing is written."""
    first = next(Members(current(), 0, "", plan).meant(), None)
    return None if first is None else first.row


def foreseen(plan: Plan) -> Iterator[Member]:
    """Those whom a plan means as members of a repair that is not begun: what would be done to each is decided as it is
    read, and nothing is written."""
    members = Members(current(), 0, "", plan)
    return map(members.foreseen, islice(members.meant(), plan.limit))


def get(id_: str, /, *, actor: Actor | str | None = None) -> Repair:
    """A repair by its id or its address. Raises EntityNotFound, also for one that people of another team asked for."""
    return Repair.get(id_.removeprefix("repair:"), actor=actor)


def find(**wanted: Any) -> Iterator[Repair]:
    """Repairs, as ``Machine.find`` finds entities."""
    return Repair.find(**wanted)


def reports(found: Iterable[Repair]) -> list[Report]:
    """What became of the members of each so far, as ``Repair.report`` says of one, with one query for all of those that
    have ended."""
    return reports_of(current(), [repair._view.snapshot for repair in found])


def stop(repair: Repair, *, reason: str, actor: Actor | str | None = None) -> Repair:
    """Ask no more of them, from now on. What was asked goes on its way. Raises TransitionNotAllowed."""
    repair.trigger("stop", {"why": reason}, actor=actor, reason=reason)
    return repair


def resume(repair: Repair, *, reason: str | None = None, actor: Actor | str | None = None) -> Repair:
    """Go on: one whose preview waits is confirmed, one that is stopped asks the rest, and one that is paused or has
    failed is resumed as any entity. Raises TransitionNotAllowed, DataError where there is nothing to go on with."""
    repair.refresh()
    then = {"previewed": "confirm", "stopped": "go_on"}.get(repair.state)
    if repair.paused or repair.phase == FAILED:
        return repair.resume(actor=actor, reason=reason)
    if then is None:
        raise DataError(f"{repair.address} is in {repair.state!r}: there is nothing to go on with")
    repair.trigger(then, actor=actor, reason=reason)
    return repair
