"""Starts entities: one, or a page of many."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fsmflow.decision.cohort import Cohort
from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.inputs import Actor
from fsmflow.decision.start import begin
from fsmflow.decision.versions import as_shown
from fsmflow.definition.model import Definition
from fsmflow.engine.commits import TRIES, until_first, write
from fsmflow.engine.followup import following
from fsmflow.engine.keys import check_form
from fsmflow.engine.observation import START, observed
from fsmflow.engine.permission import first_fired
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tasks import note_tasks
from fsmflow.engine.teams import lets_see, permit_new, reach_of
from fsmflow.errors import DataError, EntityExists, TransitionConflict
from fsmflow.points import point
from fsmflow.store.work import ticket_of
from fsmflow.values import dataclass, replace

FIRST: Final = 1


@dataclass(frozen=True, kw_only=True)
class Birth:
    """How an entity is to be started. ``form``: a digest of all that came with the request, where that has a key.
    ``first`` is fired in the same commit."""

    entity_id: str
    data: Mapping[str, Any]
    state: str | None = None
    actor: Actor | None = None
    key: str | None = None
    form: str | None = None
    first: Triggered | None = None


def begun(runtime: Runtime, definition: Definition, birth: Birth) -> Commit:
    """The decision that starts an entity. Raises what the first trigger raises where it is refused."""
    now = runtime.now()
    commit = begin(definition, birth.entity_id, birth.data, birth.actor, birth.key, now, state=birth.state)
    commit = replace(commit, form=birth.form) if birth.key is not None else commit
    permit_new(runtime, definition, commit.after, birth.actor)
    return commit if birth.first is None else first_fired(runtime, definition, commit, birth.first.checked(), now)


def _begun_together(runtime: Runtime, definition: Definition, births: Sequence[Birth]) -> list[Commit]:
    """The decisions that start these, which come from one call: in one state, by one actor, and without keys."""
    if not births:
        return []
    cohort = Cohort(definition, births[0].actor, state=births[0].state)
    commits = [cohort.begin(birth.entity_id, birth.data, runtime.now()) for birth in births]
    for commit in commits:
        permit_new(runtime, definition, commit.after, births[0].actor)
    return commits


def start(runtime: Runtime, definition: Definition, birth: Birth, *, if_exists: str = "raise") -> Snapshot:
    """Commit a new entity, then dispatch its job. One transaction of 2 to 4 inserts, one Redis round trip.

    Raises EntityExists, unless ``if_exists="return"`` or the entity was started with the same ``key``. Once it
    returns, the entity is durable, whatever Redis does.
    """
    with observed(START, definition, birth.entity_id) as led_to:
        started = _started(runtime, definition, birth, if_exists)
        led_to(started)
    return started


def _started(runtime: Runtime, definition: Definition, birth: Birth, if_exists: str) -> Snapshot:
    runtime.store.link.check_joined()
    commit = begun(runtime, definition, birth)

    def start_once(turn: int) -> Snapshot | None:
        try:
            return write(runtime, definition, commit)
        except CommitLost:
            there = runtime.store.entities.load_existing(definition.name, birth.entity_id)
        if there is not None and not lets_see(runtime, as_shown(definition, there), birth.actor):
            raise EntityExists(there.address, None)
        if there is None or if_exists == "return" or is_first_key(runtime, there, birth):
            return there
        raise EntityExists(there.address, as_shown(definition, there).state)

    with following(runtime):
        started = until_first(start_once)
    if started is None:
        raise TransitionConflict(commit.after.address, f"it could not be started in {TRIES} tries")
    return started


def is_first_key(runtime: Runtime, there: Snapshot, birth: Birth) -> bool:
    """Whether it was started by this very request. Raises KeyConflict where it was by another one with the key."""
    key = birth.key
    if key is None or runtime.store.entities.seq_of_key(there.row, key, known=True) != FIRST:
        return False
    if birth.form is not None:
        first = runtime.store.entities.entry(there.row, FIRST)
        check_form(runtime, there, birth.form, key, first, known=True)
    return True


def start_page(runtime: Runtime, definition: Definition, births: Sequence[Birth], *, skip: bool) -> int:
    """Start these, in one state and by one actor, in one transaction, then dispatch their jobs in one round trip; how
    many were started.

    ``skip`` leaves out those that are there, and an id that comes again; else EntityExists or DataError is raised for
    the first of them, and none is started. A COMMIT that got no answer is looked into: what landed counts as started.
    """
    runtime.store.link.check_joined()
    births = _each_once(births, skip=skip)

    def start_once(turn: int) -> int | None:
        # Of those that are all to be new, the database says best which is not.
        asks = skip or turn > 0
        there = runtime.store.entities.there(definition.name, [birth.entity_id for birth in births]) if asks else {}
        if there and not skip:
            raise there_already(runtime, definition, there, births[0].actor)
        commits = _begun_together(runtime, definition, [birth for birth in births if birth.entity_id not in there])
        token = os.urandom(8).hex()
        made = _insert(runtime, commits, token)
        if made is None:
            return None  # somebody else has started one of them meanwhile
        _follow(runtime, definition, commits, made, token)
        return len(made)

    with observed(START, definition):
        started = until_first(start_once)
    if started is None:
        raise TransitionConflict(definition.name, f"others started some of these in each of {TRIES} tries")
    return started


def there_already(
    runtime: Runtime, definition: Definition, there: Mapping[str, str], actor: Actor | None
) -> EntityExists:
    """The error for the first that is there; whose state is told to whoever sees all."""
    entity_id, state = min(there.items())
    told = definition.wide.team is None or reach_of(runtime, actor) is None
    address = f"{definition.name}:{entity_id}"
    return EntityExists(address, definition.wide.renamed.get(state, state) if told else None)


def _insert(runtime: Runtime, commits: Sequence[Commit], token: str) -> list[Snapshot] | None:
    try:
        return runtime.store.commits.insert(commits, token=token)
    except CommitLost:
        return runtime.store.doubt.all_landed(commits, token)


def _each_once(births: Sequence[Birth], *, skip: bool) -> list[Birth]:
    unique: dict[str, Birth] = {}
    for birth in births:
        if unique.setdefault(birth.entity_id, birth) is not birth and not skip:
            raise DataError(
                f"the id {birth.entity_id!r} comes twice; give each entity an id of its own, or if_exists='return' to "
                f"start it once, with the data that comes first"
            )
    return list(unique.values())


def _follow(
    runtime: Runtime, definition: Definition, commits: Sequence[Commit], made: Sequence[Snapshot], token: str
) -> None:
    """Ring for the jobs and call the hooks once all of it is committed, by a transaction of the caller's too; nothing
    of that where a savepoint of theirs took it back."""
    is_theirs = runtime.store.link.in_transaction

    def follow() -> None:
        if is_theirs and runtime.store.doubt.all_landed(commits, token) is None:
            return
        point("start.page", definition.name)
        rings = [ring for ring in map(ticket_of, made) if ring is not None]
        runtime.ring_for(rings)
        for commit, after in zip(commits, made, strict=True):
            note_tasks(definition, commit, after)

    runtime.store.link.after_commit(follow)
