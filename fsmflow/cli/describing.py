"""Entities and history entries as the objects that ``--json`` prints."""

from __future__ import annotations

from typing import Any

from fsmflow.cli.output import iso, iso_of
from fsmflow.decision.decide import allowed_triggers
from fsmflow.decision.records import Failure, HistoryEntry, Snapshot, Work
from fsmflow.engine.runtime import Runtime


def summary(snapshot: Snapshot) -> dict[str, Any]:
    """An entity in a list: without its data."""
    failure = snapshot.failure
    return {
        "address": snapshot.address,
        "machine": snapshot.machine,
        "entity_id": snapshot.entity_id,
        "state": snapshot.state,
        "phase": snapshot.phase,
        "epoch": snapshot.epoch,
        "paused": snapshot.paused,
        "since": iso(snapshot.entered_at),
        "created_at": iso(snapshot.created_at),
        "updated_at": iso(snapshot.updated_at),
        "failure": failure and failure_brief(failure),
    }


def entity(runtime: Runtime, snapshot: Snapshot) -> dict[str, Any]:
    """All that is known of an entity but its history."""
    failure, event = snapshot.failure, snapshot.event
    return {
        **summary(snapshot),
        "revision": snapshot.revision,
        "data": snapshot.data,
        "failure": failure and {**failure_brief(failure), "traceback": failure.traceback},
        "work": snapshot.work and work(snapshot.work),
        "event": {**vars(event), "at": iso_of(event.at)},
        "allowed": allowed(runtime, snapshot),
    }


def allowed(runtime: Runtime, snapshot: Snapshot) -> list[str]:
    """The triggers that anybody could fire now; none where the code does not know the machine or the state."""
    definition = runtime.machines.all().get(snapshot.machine)
    return [] if definition is None else allowed_triggers(definition, snapshot, None)


def failure_brief(failure: Failure) -> dict[str, Any]:
    """A failure without its traceback."""
    brief = {name: value for name, value in vars(failure).items() if name != "traceback"}
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
        "failures": found.failures,
        "crashes": found.crashes,
        "postponed": found.postponed,
    }


def next_at(found: Work) -> int | None:
    """When it is due by itself; None for what runs, waits for a worker, or is held."""
    return found.wake_at if found.owner is None and found.held is None and found.rung_at is None else None


def entry(found: HistoryEntry) -> dict[str, Any]:
    """One line of a history."""
    failure = found.failure
    return {**vars(found), "at": iso_of(found.at), "failure": failure and failure_brief(failure)}
