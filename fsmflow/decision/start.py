"""How an entity begins: in its initial state, adopted in mid-life, or with its first event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsmflow.decision import asker
from fsmflow.decision.commit import Commit
from fsmflow.decision.context import NOTHING, Context
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Place, Snapshot, Standing
from fsmflow.decision.fit import fitting_data
from fsmflow.decision.happenings import Delivered, Paused, Triggered
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.inputs import Actor
from fsmflow.decision.mover import Mover, commit_of, subject_at
from fsmflow.decision.outbox import still_sent
from fsmflow.decision.redaction import encoded
from fsmflow.decision.versions import unknown_state
from fsmflow.decision.work import Work, WorkKind
from fsmflow.definition.model import Definition
from fsmflow.definition.names import WAITING
from fsmflow.redaction import hide_in_text
from fsmflow.values import replace


def begin(
    definition: Definition,
    entity_id: str,
    data: Mapping[str, Any],
    actor: Actor | None,
    key: str | None,
    now: int,
    *,
    state: str | None = None,
    place: Place | None = None,
) -> Commit:
    """A new entity in the initial state, which it enters: ``on_enter`` is called, its job is to be dispatched.

    ``state`` adopts one in mid-life, which has been entered before: no callback is called, and no job run until
    ``resume``. ``place`` makes it a branch or child. Raises DataError, UnknownState, and what callbacks raise."""
    entered = state or definition.initial
    if entered not in definition.states:
        raise unknown_state(definition, entered)
    mover = Mover(definition, _blank(definition, entity_id, entered, data, place or Place(), now), now)
    event = mover.event("start", None, actor)
    with asker.deciding(mover.after.address):
        if state is None:
            mover.begin(event, actor)
        else:
            mover.enter(entered, event=event, subject=subject_at(mover, event))
    if state is not None and mover.after.work is not None and mover.after.work.runs:
        mover.after = replace(mover.after, phase=WAITING, work=_left_of(definition, mover.after))
    elif place is not None and place.standing == Standing.QUEUED and not mover.after.has_settled:
        mover.after = replace(mover.after, standing=Standing.QUEUED, phase=WAITING, work=None)
    edit = mover.edit(None, mover.before.data_text)
    mover.note(HistoryKind.START, actor=actor, event=event, key=key, edit=edit)
    mover.entries[0] = replace(mover.entries[0], source=None)
    return commit_of(mover, None, key=key)


def _blank(
    definition: Definition, entity_id: str, state: str, data: Mapping[str, Any], place: Place, now: int
) -> Snapshot:
    """An entity before it has entered anything."""
    return Snapshot(
        row=0,
        machine=definition.name,
        entity_id=entity_id,
        state=state,
        phase="",
        epoch=0,
        revision=0,
        seq=0,
        data_text=stored_data(definition, data, place),
        step=0,
        event_text="",
        version=definition.version,
        created_at=now,
        entered_at=now,
        updated_at=now,
        **vars(place),
    )


def stored_data(definition: Definition, data: Mapping[str, Any], place: Place) -> str:
    """What is stored of the data that an entity begins with. Raises DataError."""
    return encoded(definition, data if place.branch_of else _fitting(definition, data))


def _fitting(definition: Definition, data: Mapping[str, Any]) -> Mapping[str, Any]:
    redact = definition.wide.redact
    return fitting_data(definition, None, dict(data), lambda text: hide_in_text(text, redact, data))


def _left_of(definition: Definition, adopted: Snapshot) -> Work | None:
    """Of the work of an adopted entity: the deadline, where its job counts as having asked."""
    work = adopted.work
    if work is None or work.deadline is None or not definition.states[adopted.state].waits:
        return None
    return Work(epoch=work.epoch, kind=WorkKind.TIMER, wake_at=work.deadline)


def begin_and_fire(
    begun: Commit,
    definition: Definition,
    happening: Delivered | Triggered | Paused,
    now: int,
    context: Context = NOTHING,
) -> Commit:
    """A new entity, and the first event that it gets, in one commit. ``context``: who may do what is closed."""
    fired = decide(definition, begun.after, happening, now, context)
    return replace(
        fired,
        before=None,
        after=replace(fired.after, revision=begun.after.revision),
        entries=(*begun.entries, *fired.entries),
        posts=(*still_sent(begun.posts, fired), *fired.posts),
        key=fired.key or begun.key,
        key_entry=len(begun.entries) if fired.key else 0,
        status_field=begun.status_field,
    )
