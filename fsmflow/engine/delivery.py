"""Delivers what was sent: once, in the commit that the message leads to."""

from __future__ import annotations

from typing import Final

from fsmflow import log
from fsmflow.decision.commit import CommitLost, Posted
from fsmflow.decision.happenings import Answered, Delivered, Discarded, KeptDue, Triggered
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.inputs import Actor, checked_id
from fsmflow.decision.messages import Answer, Envelope, answer_of, envelope_of, stopped
from fsmflow.decision.start import begin
from fsmflow.decision.triggers import roles_missing
from fsmflow.definition.model import Definition
from fsmflow.engine.commits import attempt, until_first, write
from fsmflow.engine.keys import first_with_key
from fsmflow.engine.lookup import Instance, instance_for, instance_of
from fsmflow.engine.permission import first_fired, permit
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError, KeyConflict, NotPermitted, TransitionNotAllowed, UnknownMachine, UnknownState
from fsmflow.observers import caused_by
from fsmflow.points import point
from fsmflow.values import replace

#: How long a message waits for a machine that the code here does not know: it may come with the next deployment.
PATIENCE_MS: Final = 3_600_000
#: What the code here cannot deliver, others may, in a rolling deployment: it is put off, but not for long.
AGAIN_MS: Final = 2_000
#: How many answers are noted in one commit.
_PAGE: Final = 200


def deliver_all(runtime: Runtime, row: int) -> None:
    """Deliver what an entity has sent and is due by now."""
    now = runtime.now()
    for post in runtime.store.events.sent(row):
        if post.due_at is not None and post.due_at <= now:
            deliver(runtime, post)


def deliver(runtime: Runtime, post: Posted) -> None:
    """Deliver one message. Where others deliver it too, one of them does; a crash leaves it to be delivered again.

    What finds no addressee is recorded with the sender; what the addressee refuses, with that.
    """
    envelope = envelope_of(post)
    machine, _, entity_id = envelope.to.partition(":")
    try:
        definition = runtime.machines.get(machine)
    except UnknownMachine as error:
        now = runtime.now()
        if now - (post.due_at or now) < PATIENCE_MS and post.at > now - PATIENCE_MS:
            _leave_to_others(runtime, post, envelope, str(error))
        else:
            _give_up(runtime, post, envelope, str(error))
        return
    point("deliver.before", envelope.to)

    def deliver_once(turn: int) -> bool | None:
        if turn and runtime.store.events.get(post.id) is None:
            return True
        return _deliver(runtime, definition, entity_id, post, envelope) or None

    with caused_by(envelope.trace):
        until_first(deliver_once)


def _deliver(runtime: Runtime, definition: Definition, entity_id: str, post: Posted, envelope: Envelope) -> bool:
    """One try; False where somebody else wrote first."""
    event = Triggered(
        trigger=post.trigger,
        payload=envelope.payload,
        actor=Actor(post.actor, roles=envelope.roles) if post.actor else None,
        key=envelope.key,
    )
    arrived = Delivered(post=post, event=event, quiet=envelope.quiet)
    snapshot = runtime.store.entities.load(definition.name, entity_id)
    if snapshot is not None and snapshot.holds and snapshot.row == post.entity:
        # Its pause came first; 'resume' gives back what is left of its time.
        runtime.store.events.postpone(post, stopped(post, runtime.now()))
        return True
    if snapshot is not None:
        try:
            return _deliver_to(runtime, instance_of(definition, snapshot), arrived, envelope)
        except UnknownState as error:
            _leave_to_others(runtime, post, envelope, str(error))
            return True
    if envelope.start is None:
        return _give_up(runtime, post, envelope, "it does not exist")
    try:
        begun = begin(definition, checked_id(entity_id), envelope.start, event.actor, None, runtime.now())
        commit = first_fired(runtime, definition, begun, arrived, runtime.now())
        write(runtime, definition, commit)
    except NotPermitted as error:
        return _give_up(runtime, post, envelope, roles_missing(error, event.actor))
    except DataError as error:
        return _give_up(runtime, post, envelope, str(error))
    except CommitLost:
        return False
    return True


def _deliver_to(runtime: Runtime, instance: Instance, delivered: Delivered, envelope: Envelope) -> bool:
    event = delivered.event
    try:
        permit(runtime, instance, event, by_message=True)
        if first_with_key(runtime, instance, event) is not None:
            return _took_before(runtime, delivered.post, envelope)
        return attempt(runtime, instance, delivered) is not None
    except NotPermitted as error:
        log.permission_refused(error)
        refused = roles_missing(error, event.actor)
    except (TransitionNotAllowed, DataError, KeyConflict) as error:
        refused = str(error)
    return attempt(runtime, instance, replace(delivered, refused=refused)) is not None


def _took_before(runtime: Runtime, post: Posted, envelope: Envelope) -> bool:
    """The addressee has used the key of a message up; its sender is told so."""
    sender = runtime.store.entities.load_row(post.entity)
    if sender is None or envelope.to == sender.address:
        runtime.store.events.remove(post.id)
        return True
    said = Answer(how=HistoryKind.DELIVERED.value, why=f"{envelope.to}: it took one with the same key before")
    return attempt(runtime, instance_for(runtime, sender), Answered(answers=((post, said),))) is not None


def answer(runtime: Runtime, row: int) -> None:
    """Tell an entity how messages of it ended, all that is there in one commit. A crash leaves them to be told."""

    def answer_once(turn: int) -> bool | None:
        posts = runtime.store.events.answers(row)
        sender = runtime.store.entities.load_row(row) if posts else None
        if sender is None:
            for post in posts:
                runtime.store.events.remove(post.id)
            return True
        answers = tuple((post, answer_of(post)) for post in posts[:_PAGE])
        return attempt(runtime, instance_for(runtime, sender), Answered(answers=answers)) is not None or None

    until_first(answer_once)


def tend_kept(runtime: Runtime, post: Posted) -> None:
    """Try what an entity keeps again, and discard what was kept for too long."""

    def tend_once(turn: int) -> bool | None:
        entity = runtime.store.entities.load_row(post.entity)
        if entity is None or runtime.store.events.get(post.id) is None:
            return True
        return attempt(runtime, instance_for(runtime, entity), KeptDue()) is not None or None

    until_first(tend_once)


def _leave_to_others(runtime: Runtime, post: Posted, envelope: Envelope, why: str) -> None:
    log.left_to_others(f"message {post.trigger!r} to {envelope.to}", why, AGAIN_MS / 1000)
    runtime.store.events.stick(post, again_at=runtime.now() + AGAIN_MS, why=why)


def _give_up(runtime: Runtime, post: Posted, envelope: Envelope, why: str) -> bool:
    sender = runtime.store.entities.load_row(post.entity)
    if sender is None:
        runtime.store.events.remove(post.id)
        return True
    log.message_lost(sender.address, post.trigger, envelope.to, why)
    discarded = Discarded(post=post, why=f"{envelope.to}: {why}")
    return attempt(runtime, instance_for(runtime, sender), discarded) is not None
