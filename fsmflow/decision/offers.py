"""What could be fired now: each trigger with where it leads, whether it is allowed, and if not, why.

Guards are asked with a supposed event: this trigger, this actor, now, and an empty payload. Nothing is moved, and what
they make of the data is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fsmflow import clock
from fsmflow.decision import asker
from fsmflow.decision.context import NOTHING, Context
from fsmflow.decision.entity import Event, Snapshot, Standing
from fsmflow.decision.inputs import Actor
from fsmflow.decision.redaction import masked
from fsmflow.decision.view import DecisionView, subject_of
from fsmflow.decision.work import WorkKind
from fsmflow.definition.answer import Refusal
from fsmflow.definition.guards import Firing, Reply, ask
from fsmflow.definition.model import Definition, TransitionSpec
from fsmflow.definition.names import CANCEL, ENGINE_TRIGGERS, METHOD_TRIGGERS, RETRY, TIMEOUT
from fsmflow.errors import GuardError, NotPermitted, name_of, text_of
from fsmflow.values import dataclass

WAITS_FOR_ITS_TURN = "it waits for its turn, as its parent has a limit"
HELD = "a pause holds its job; 'resume' first"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One transition that a trigger could take. ``dest``: the state that it enters, None for an internal one.

    ``allowed`` is None where it cannot be told, as a guard needs the payload, or raised. ``why`` says so, or what
    stands against it. ``needs_roles``: nothing does but that the actor has none of these.
    """

    dest: str | None
    allowed: bool | None
    why: str | None = None
    needs_roles: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A trigger, as somebody could fire it now. Its ``str()`` is for people: ``approve (needs role manager)``.

    ``allowed`` is None where it cannot be told without the payload; ``why`` says what stands against it. ``ways`` are
    the transitions that were asked, in the order in which they are tried, up to the one that it would take. A trigger
    that is kept or ignored has none.
    """

    trigger: str
    allowed: bool | None
    why: str | None = None
    ways: tuple[Way, ...] = ()

    @property
    def dest(self) -> str | None:
        """The state that it would lead to; None where it is not allowed, and where it is internal."""
        return next((way.dest for way in self.ways if way.allowed), None)

    @property
    def needs_roles(self) -> tuple[str, ...]:
        """The actor has none of these, and nothing else stands against it."""
        return self.ways[-1].needs_roles if self.ways and self.allowed is False else ()

    def __str__(self) -> str:
        return self.trigger if self.why is None else f"{self.trigger} ({self.why})"


def allowed_triggers(
    definition: Definition, snapshot: Snapshot, actor: Actor | None, now: int, context: Context = NOTHING
) -> list[str]:
    """The triggers that ``actor`` can fire now, without a payload."""
    return [offer.trigger for offer in offers(definition, snapshot, actor, now, context) if offer.allowed]


def offers(
    definition: Definition, snapshot: Snapshot, actor: Actor | None, now: int, context: Context = NOTHING
) -> list[Offer]:
    """Every trigger that means something where the entity stands: those of its state, in order, then what it keeps and
    ignores. None where the code does not know the state, or the version. Raises what reading the context raises."""
    if snapshot.state not in definition.states or snapshot.version != definition.version:
        return []
    found = []
    for trigger in definition.outgoing[snapshot.state]:
        if belongs_to_engine(definition, snapshot, trigger):
            continue
        if snapshot.standing == Standing.QUEUED and trigger != CANCEL:
            found.append(Offer(trigger=trigger, allowed=False, why=WAITS_FOR_ITS_TURN))
        elif trigger == RETRY and lacks_branch(definition, snapshot):
            found.append(Offer(trigger=trigger, allowed=False, why=without_branch(snapshot)))
        else:
            found.append(_Asking(definition, snapshot, actor, now, context).offer(trigger))
    if waits(snapshot) and not definition.offers(RETRY, snapshot.state):
        refusal = context.gate.of_action(definition, snapshot, RETRY, actor)
        way = Way(dest=None, allowed=True) if refusal is None else _closed(refusal, None)
        found.append(Offer(trigger=RETRY, allowed=way.allowed, why=way.why, ways=(way,)))
    elif (why := kept_from_running(snapshot)) is not None and not definition.offers(RETRY, snapshot.state):
        found.append(Offer(trigger=RETRY, allowed=False, why=why))
    spec = definition.states[snapshot.state]
    known = {offer.trigger for offer in found}
    for names, why in ((spec.defer, "too early: it is kept for later"), (spec.ignore, "it is ignored here")):
        found += [Offer(trigger=name, allowed=False, why=why) for name in sorted(names - known)]
    return found


def ways_of(
    definition: Definition,
    snapshot: Snapshot,
    trigger: str,
    actor: Actor | None,
    now: int,
    context: Context,
    payload: Mapping[str, Any],
) -> tuple[Way, ...]:
    """The transitions of one trigger, asked with this payload, in the order in which they are tried. Empty where none
    starts at the state."""
    if not definition.offers(trigger, snapshot.state):
        return ()
    return _Asking(definition, snapshot, actor, now, context, _Known(payload)).ways(trigger)


class _Asking:
    """One trigger, as it is asked about."""

    def __init__(
        self,
        definition: Definition,
        snapshot: Snapshot,
        actor: Actor | None,
        now: int,
        context: Context,
        payload: _Known | None = None,
    ) -> None:
        self._definition = definition
        self._snapshot = snapshot
        self._actor = actor
        self._at = clock.to_datetime(now)
        self._context = context
        self._payload: _Known | _Unknown = _Unknown() if payload is None else payload

    def offer(self, trigger: str) -> Offer:
        ways = self.ways(trigger)
        if not ways:
            # Only those that fsmflow makes for an undo, and none of them is next.
            return Offer(trigger=trigger, allowed=False, why="no step is left to be undone")
        likely = next((way for way in ways if way.allowed is not False), None)
        if likely is None and ways[-1].needs_roles:
            likely = ways[-1]
        if likely is not None:
            return Offer(trigger=trigger, allowed=likely.allowed, why=likely.why, ways=ways)
        return Offer(trigger=trigger, allowed=False, why="; ".join(_reasons(ways)), ways=ways)

    def ways(self, trigger: str) -> tuple[Way, ...]:
        with asker.deciding(self._snapshot.address):
            found = tuple(self._ways(trigger))
        closes = trigger in METHOD_TRIGGERS or trigger in self._definition.wide.managed
        if not closes or not found or found[-1].allowed is False:
            return found
        refusal = self._context.gate.of_action(self._definition, self._snapshot, trigger, self._actor)
        return found if refusal is None else (*found[:-1], _closed(refusal, found[-1].dest))

    def _ways(self, trigger: str) -> Iterator[Way]:
        """Up to the one that is taken, or would be with another role."""
        actor, snapshot = self._actor, self._snapshot
        firing = Firing(snapshot.address, snapshot.state, self._context.permits(self._definition, snapshot, actor))
        event = Event(trigger=trigger, payload=self._payload, actor=actor.name if actor else None, at=self._at)
        view = DecisionView(self._definition, snapshot, firing, event, snapshot.data, snapshot.failure, self._context)
        for spec, reply in ask(self._definition, trigger, firing, subject_of(self._definition, view)):
            if spec.generated and isinstance(reply, Refusal):
                continue
            yield self._way(spec, reply)
            if reply is None or isinstance(reply, NotPermitted):
                return

    def _way(self, spec: TransitionSpec, reply: Reply) -> Way:
        was_read, self._payload.was_read = self._payload.was_read, False
        if reply is None:
            return Way(dest=spec.dest, allowed=True)
        if isinstance(reply, NotPermitted):
            return _closed(reply, spec.dest)
        if isinstance(reply, Refusal) and (reply.words or not was_read):
            why = reply.short
        else:
            why = _needs_payload(reply) if was_read else _raised(reply)
        # With a payload, who has looked into it may say otherwise.
        allowed = False if isinstance(reply, Refusal) and not was_read else None
        given = (self._payload,) if isinstance(self._payload, _Known) else ()
        return Way(dest=spec.dest, allowed=allowed, why=masked(self._definition, why, self._snapshot, *given))


def by_role(found: Sequence[Offer]) -> str:
    """The triggers against which nothing stands but that the actor lacks a role, in one line: those of the same roles
    together, and then these."""
    triggers: dict[tuple[str, ...], list[str]] = {}
    for offer in filter(lacks_a_role, found):
        triggers.setdefault(offer.needs_roles, []).append(offer.trigger)
    return "; ".join(f"{', '.join(names)} ({' or '.join(roles)})" for roles, names in triggers.items())


def lacks_a_role(offer: Offer) -> bool:
    """Whether another role of the actor is all that an offer takes, and no more is to be said of it."""
    return bool(offer.needs_roles) and offer.why == _needs(offer.needs_roles)


def _needs(roles: Sequence[str]) -> str:
    return f"needs role {' or '.join(roles)}"


def _closed(refusal: NotPermitted, dest: str | None) -> Way:
    why = refusal.words or _needs(refusal.roles)
    return Way(dest=dest, allowed=False, why=why, needs_roles=refusal.roles)


def _reasons(ways: tuple[Way, ...]) -> list[str]:
    return [f"{way.why} (to {way.dest!r})" if len(ways) > 1 and way.dest else way.why or "" for way in ways]


def _needs_payload(reply: Reply) -> str:
    asked = f"guard {reply.guard!r}" if isinstance(reply, Refusal | GuardError) else "a prepare"
    return f"{asked} needs the payload"


def _raised(reply: Reply) -> str:
    if isinstance(reply, GuardError):
        return reply.detail
    raised = f"{name_of(type(reply))}: {text_of(reply)}" if isinstance(reply, Exception) else ""
    return f"a guard or prepare raised {raised}"


def lacks_branch(definition: Definition, snapshot: Snapshot) -> bool:
    """Whether this is a branch whose name the code does not have any more."""
    step = definition.step_of(snapshot.state)
    return step is not None and step.lacks_job


def without_branch(branch: Snapshot) -> str:
    """That the name of a branch is gone, and what to do."""
    then = f"'skip' {branch.address}" if branch.fingerprint else f"'force' {branch.address} into 'done'"
    return f"the code has no branch {branch.part!r} any more; deploy code that has, or {then}"


def waits(snapshot: Snapshot) -> bool:
    """Whether the job of an entity waits out its interval; a retry then runs it now."""
    return snapshot.work is not None and snapshot.work.waits


def is_stuck(snapshot: Snapshot) -> bool:
    """Whether the timer or deadline of an entity was due and could not fire; a retry tries it now."""
    return snapshot.work is not None and snapshot.work.is_stuck_timer


def kept_from_running(snapshot: Snapshot) -> str | None:
    """What keeps the job of an entity from being run, in its interval or as it was due: a pause, or a hold."""
    work = snapshot.work
    if work is None or not work.runs:
        return None
    if work.held is not None:
        return HELD
    if work.is_in_line:
        return "its job waits in the line of a limit; 'fsmflow explain' shows where"
    return None if work.parked is None else f"hold {work.parked} keeps its job back; 'fsmflow release' ends it"


def belongs_to_engine(definition: Definition, snapshot: Snapshot, trigger: str) -> bool:
    """Whether a trigger is fired by the engine alone: ``timeout`` where a deadline runs."""
    if trigger != TIMEOUT:
        return trigger in ENGINE_TRIGGERS or trigger in definition.wide.internal
    timer, work = definition.states[snapshot.state].timer, snapshot.work
    if timer is None or timer.trigger != TIMEOUT or work is None:
        return False
    return work.kind == WorkKind.TIMER or work.deadline is not None


class _Known(dict[str, Any]):
    """A payload that is given: whoever looks into it finds what there is."""

    was_read = False


class _Unknown(Mapping[str, Any]):
    """The payload of a supposed event: empty, and it notes that somebody has looked into it."""

    was_read = False

    def __getitem__(self, key: str) -> Any:
        self.was_read = True
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        self.was_read = True
        return iter(())

    def __len__(self) -> int:
        self.was_read = True
        return 0
