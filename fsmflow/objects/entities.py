"""Entities and history entries as objects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fsmflow import clock
from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.decision.forecast import Forecast
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor
from fsmflow.decision.offers import Offer
from fsmflow.decision.work import Work
from fsmflow.engine.branches import branch_of, item_of
from fsmflow.engine.details import Details, Stuck, details_of
from fsmflow.engine.explain import Explanation, offers_to
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import UnknownState
from fsmflow.objects.plain import iso, iso_of
from fsmflow.queries import definition_for, overdue_in, redacted
from fsmflow.redaction import hide


def summary(snapshot: Snapshot, stuck: Sequence[Stuck] = (), overdue: str | None = None) -> dict[str, Any]:
    """An entity in a list: without its data."""
    failure = snapshot.failure
    return {
        "address": snapshot.address,
        "machine": snapshot.machine,
        "entity_id": snapshot.entity_id,
        "branch": snapshot.part,
        "state": snapshot.state,
        "phase": snapshot.phase,
        "epoch": snapshot.epoch,
        "paused": snapshot.paused,
        "since": iso(snapshot.entered_at),
        "created_at": iso(snapshot.created_at),
        "updated_at": iso(snapshot.updated_at),
        "failure": failure and failure_brief(failure),
        "stuck": [stuck_object(one) for one in stuck],
        "overdue": overdue,
    }


def stuck_object(stuck: Stuck) -> dict[str, Any]:
    """Something that is due and cannot go on."""
    return {**vars(stuck), "next_at": stuck.next_at and iso_of(stuck.next_at)}


def entity(
    runtime: Runtime, snapshot: Snapshot, actor: Actor | None, keys: frozenset[str] | None = None
) -> dict[str, Any]:
    """All that is known of an entity but its history; ``actor``: whom to tell what is allowed. ``keys``: what is not
    shown, that which its machine redacts if not given."""
    found = offered(runtime, snapshot, actor)
    failure, event = snapshot.failure, snapshot.event
    keys = redacted(runtime, snapshot) if keys is None else keys
    details = details_of(runtime, definition_for(runtime, snapshot), snapshot)
    edited = runtime.store.entities.last_edit(snapshot.row)
    return {
        **summary(snapshot, details.stuck, overdue_in(runtime, snapshot, runtime.now())),
        "revision": snapshot.revision,
        "data": hide(snapshot.data, keys),
        "edited": edited and entry(edited, keys),
        "failure": failure and {**failure_brief(failure), "traceback": failure.traceback},
        "work": snapshot.work and work(snapshot.work),
        **Reasons(runtime).told(snapshot.row),
        "event": {**vars(event), "payload": hide(event.payload, keys), "at": iso_of(event.at)},
        **_details(details),
        "item": hide(item_of(snapshot), keys),
        "result": hide(result_of(snapshot), keys),
        "allowed": [offer.trigger for offer in found if offer.allowed],
        "triggers": [offer_object(offer) for offer in found],
    }


def _details(found: Details) -> dict[str, Any]:
    return {
        "parent": found.parent and found.parent.address,
        "progress": found.progress and vars(found.progress),
        "failed_branches": [_branch(branch) for branch in found.failed],
        "deferred": [
            {**vars(kept), "at": iso(kept.at), "until": None if kept.until is None else iso(kept.until)}
            for kept in found.kept
        ],
        "sent": [
            {
                **{name: getattr(post, name) for name in ("id", "name", "trigger", "to", "until_left", "left_ms")},
                "due_at": None if post.due_at is None else iso(post.due_at),
            }
            for post in found.sent
        ],
        "undelivered": [
            {"id": post.id, "trigger": post.trigger, "to": post.to, "why": post.why} for post in found.lost
        ],
        "undoable": list(found.undoable),
        "own_row": found.own_row,
        "asked": list(found.asked),
    }


def _branch(branch: Snapshot) -> dict[str, Any]:
    failure = branch.failure
    return {"address": branch.address, "state": branch.state, "failure": failure and failure_brief(failure)}


def result_of(snapshot: Snapshot) -> Any:
    """What the job of a branch returned; None for anything else."""
    return branch_of(snapshot).result if snapshot.branch_of is not None else None


def offered(runtime: Runtime, snapshot: Snapshot, actor: Actor | None) -> list[Offer]:
    """What ``actor`` could fire now; nothing where the code does not know the machine or the state."""
    root = runtime.machines.all().get(snapshot.machine)
    try:
        return [] if root is None else offers_to(runtime, instance_of(root, snapshot), actor)
    except UnknownState:
        return []


def offer_object(offer: Offer) -> dict[str, Any]:
    """A trigger that is offered."""
    return {**vars(offer), "dest": offer.dest, "ways": [vars(way) for way in offer.ways]}


def explanation_object(explanation: Explanation) -> dict[str, Any]:
    """What an entity does, waits for and is blocked by."""
    next_at = explanation.next_at and iso_of(explanation.next_at)
    lists = {
        "stuck": [stuck_object(one) for one in explanation.stuck],
        "triggers": [offer_object(offer) for offer in explanation.triggers],
    }
    return {**vars(explanation), "since": iso_of(explanation.since), "next_at": next_at, **lists}


def forecast_object(forecast: Forecast) -> dict[str, Any]:
    """What a trigger would lead to."""
    edit = forecast.edit and vars(forecast.edit)
    return {**vars(forecast), "ways": [vars(way) for way in forecast.ways], "edit": edit}


def failure_brief(failure: Failure) -> dict[str, Any]:
    """A failure without its traceback, and without what older recipes would have called it."""
    brief = {name: value for name, value in vars(failure).items() if name not in ("traceback", "former")}
    return {**brief, "at": iso_of(failure.at)}


def work(found: Work) -> dict[str, Any]:
    """What an entity does or has to do next."""
    at = next_at(found)
    return {
        "kind": found.kind,
        "attempt": found.attempt,
        "queue": found.queue,
        "running": found.owner is not None,
        "progress": found.progress,
        "next_at": None if at is None else iso(at),
        "dispatched_at": None if found.rung_at is None else iso(found.rung_at),
        "held": found.held is not None,
        "parked": None if found.is_in_line else found.parked,
        "in_line": found.is_in_line,
        "failures": found.failures,
        "crashes": found.crashes,
        "postponed": found.postponed,
    }


def told_work(found: Work, now: int) -> str:
    """What is to be done next, in a line."""
    what = "timer" if found.queue is None else f"attempt {found.attempt} on queue {found.queue!r}"
    if found.watches:
        return "waiting for its branches" if found.held is None else "waiting for its branches, held by the pause"
    if found.owner is not None:
        progress = "" if found.progress is None else f", {found.progress:.0%} done"
        return f"{what}, running{progress}"
    if found.held is not None:
        return f"{what}, held by the pause"
    if found.is_in_line:
        return f"{what}, in the line of a limit"
    if found.parked is not None:
        return f"{what}, kept back by hold {found.parked}"
    at = next_at(found)
    if at is None:
        return f"{what}, waiting for a worker"
    return f"{what}, next at {clock.to_datetime(at):%Y-%m-%d %H:%M:%S} UTC, in {clock.short(max(0, at - now))}"


def next_at(found: Work) -> int | None:
    """When it is due by itself; None for what runs, waits for a worker, or is held."""
    free = found.owner is None and found.held is None and found.parked is None
    return found.wake_at if free and found.rung_at is None else None


def entry(found: HistoryEntry, keys: Collection[str]) -> dict[str, Any]:
    """One line of a history. ``keys``: what is not shown, though it may have been written before it was redacted."""
    found = found.hidden(keys)
    failure = found.failure
    return {
        **{name: value for name, value in vars(found).items() if name != "repeated"},
        "at": iso_of(found.at),
        "failure": failure and failure_brief(failure),
        "edit": found.edit and vars(found.edit),
    }
