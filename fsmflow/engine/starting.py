"""Starts many entities at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fsmflow.definition.model import Definition
from fsmflow.dispatch.doorbell import Ring
from fsmflow.engine.aftermath import note_tasks
from fsmflow.engine.engine import Birth, begun
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import EntityExists, TransitionConflict
from fsmflow.store.entities import CommitLost
from fsmflow.store.work import ticket_of

_TRIES = 5


def start_page(runtime: Runtime, definition: Definition, births: Sequence[Birth], *, skip: bool) -> int:
    """Start these in one transaction, then dispatch their jobs in one round trip; how many were started.

    ``skip`` leaves out those that are there; else EntityExists is raised for the first of them, and none is started. An
    id that is given twice counts once.
    """
    births = list({birth.entity_id: birth for birth in births}.values())
    for _ in range(_TRIES):
        there = runtime.store.branches.there(definition.name, [birth.entity_id for birth in births])
        if there and not skip:
            entity_id, state = min(there.items())
            raise EntityExists(f"{definition.name}:{entity_id}", state)
        commits = [begun(runtime, definition, birth) for birth in births if birth.entity_id not in there]
        try:
            made = runtime.store.branches.insert(commits)
        except CommitLost:
            continue  # somebody else has started one of them meanwhile
        rings: list[Ring] = [ring for ring in map(ticket_of, made) if ring is not None]
        runtime.store.link.after_commit(partial(runtime.ring_for, rings))
        for commit, after in zip(commits, made, strict=True):
            note_tasks(definition, commit, after)
        return len(made)
    raise TransitionConflict(definition.name, f"others started some of these in each of {_TRIES} tries")
