"""All that there is while one entity goes through its steps, how it is named alike, and what must hold of it."""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.attacks.model.exploration import Order
from tests.attacks.model.rows import MOST_CRASHES, NOTE, RIGHT, Claim, Entity, Rules

IDLE: Final = "idle"
POPPED: Final = "has taken a doorbell"
CLAIMED: Final = "has claimed"
RUNNING: Final = "runs the job"
RAN: Final = "has run the job"
RINGING: Final = "has committed"
HOLDING: Final = (CLAIMED, RUNNING, RAN)

#: What became of a COMMIT that got no answer.
LANDED: Final = "took effect"
VANISHED: Final = "took no effect"
FLOATS: Final = "is still on its way"

#: The token of a claim that is taken now. In canonical form the live one is 1, all others are 2.
NEW_OWNER: Final = 3
_LIVE: Final = 1
_OTHER: Final = 2
_STALE: Final = Entity("stale", 0, -1, work=None)
_PAST: Final = Claim()


class Bounds(NamedTuple):
    """How often each of these may happen. The first six are faults."""

    crashes: int = 0
    flushes: int = 0
    expiries: int = 0
    database_crashes: int = 0
    doubts: int = 0
    failures: int = 0
    releases: int = 0
    saves: int = 0
    notes: int = 0
    advances: int = 0
    cancels: int = 0
    pauses: int = 0
    retries: int = 0
    deadlines: int = 0


class Actor(NamedTuple):
    """Who decides and commits: a worker, the sweeper, or who asks. ``seen``: the entity that it decides on.

    ``doubt``: what became of its last COMMIT, which it does not know until it has ``looked``.
    """

    stage: str = IDLE
    claim: Claim = Claim()
    what: str = ""
    seen: Entity | None = None
    doubt: str = ""
    looked: bool = False


class Record(NamedTuple):
    """What an observer notes who sees all: what nobody in the protocol needs to know."""

    left_twice: bool = False
    stale_write: bool = False
    ran_while_paused: bool = False
    notes_promised: int = 0
    save_promised: bool = False
    runs: int = 0


class Floating(NamedTuple):
    """What a COMMIT writes that is still on its way; its rows are locked."""

    entity: Entity
    record: Record


class World(NamedTuple):
    entity: Entity
    left: Bounds
    bells: tuple[Claim, ...] = ()
    workers: tuple[Actor, ...] = (Actor(), Actor())
    asker: Actor = Actor()
    sweeper: Actor = Actor()
    floating: Floating | None = None
    used_ids: frozenset[Claim] = frozenset()
    record: Record = Record()


# Small moves.


def back(world: World, worker: Actor) -> World:
    """The world of the other workers, with this one in it again."""
    return world._replace(workers=(*world.workers, worker))


def asking(world: World, asker: Actor) -> World:
    return world._replace(asker=asker)


def sweeping(world: World, sweeper: Actor) -> World:
    return world._replace(sweeper=sweeper)


def swept(world: World) -> World:
    return world._replace(sweeper=Actor())


def acknowledged(world: World, what: str) -> World:
    """Whoever asked is told that it is done. The doorbell that follows is left to the sweeper: rung or lost, it is one
    of the worlds that come next."""
    promised = world.record.notes_promised + (what == NOTE)
    return world._replace(asker=Actor(), record=world.record._replace(notes_promised=promised))


def spend(world: World, bound: str) -> World:
    """The world in which one of these may happen once less."""
    return world._replace(left=world.left._replace(**{bound: getattr(world.left, bound) - 1}))


def crash_of_database(world: World) -> World:
    """A claim that was not durable is undone, and a COMMIT that was on its way is rolled back."""
    entity, work = world.entity, world.entity.work
    if work is not None and work.hasty:
        entity = entity._replace(work=work._replace(owner=0, fence=work.fence - 1, hasty=False))
    rolled_back = spend(world, "database_crashes")._replace(entity=entity, floating=None)
    return told(rolled_back, VANISHED)


def told(world: World, doubt: str) -> World:
    """What has become of the COMMIT that was on its way: whose it was finds that when it looks."""

    def now(actor: Actor) -> Actor:
        return actor._replace(doubt=doubt) if actor.doubt == FLOATS else actor

    return world._replace(asker=now(world.asker), workers=tuple(map(now, world.workers)))


def named(claim: Claim) -> str:
    return f"attempt {claim.attempt} of epoch {claim.epoch}" if claim.attempt else "an attempt of the past"


# What must hold, by the numbers of the invariants that fsmflow promises.

LEFT_ONCE: Final = "1: an epoch is left once"
NO_STALE_WRITE: Final = "3: who has lost the claim changes nothing"
NOTHING_LOST: Final = "4: what was acknowledged is not lost"
NOTHING_TWICE: Final = "4: what was asked for is applied once"
PAUSED_RESTS: Final = "6: a paused entity runs nothing"
RUNS_APART: Final = "I7: no two run a step, unless a lease ran out"
AT_MOST_ONCE: Final = "I7: a job that runs at most once runs no more often"
IS_BOUNDED: Final = "8: attempts are bounded"
COUNTS_TRULY: Final = "8: a crash is counted where there was one"


def keeps_its_promises(world: World) -> bool:
    """What a caller was told is in the data: each note, and what the job has saved."""
    entity, record = world.entity, world.record
    return entity.notes >= record.notes_promised and entity.saved >= record.save_promised


def applies_once(bounds: Bounds, world: World) -> bool:
    return world.entity.notes <= bounds.notes - world.left.notes


def runs_apart(bounds: Bounds, world: World) -> bool:
    """Who has run the job and waits to know whether that is committed runs nothing any more."""
    if bounds.expiries != world.left.expiries or bounds.database_crashes != world.left.database_crashes:
        return True
    running = [worker for worker in world.workers if worker.stage in HOLDING and not worker.doubt]
    return sum(worker.claim.epoch == world.entity.epoch for worker in running) <= 1


def is_bounded(bounds: Bounds, world: World) -> bool:
    """An attempt is the first, follows a failure, a release, or one of so many crashes."""
    work = world.entity.work
    return work is None or work.attempt <= 1 + MOST_CRASHES + bounds.failures + bounds.releases


def counts_truly(bounds: Bounds, world: World) -> bool:
    work, left = world.entity.work, world.left
    happened = bounds.crashes - left.crashes + bounds.expiries - left.expiries
    return work is None or work.crashes <= happened


# Worlds that differ in names alone are one.


class Canonical:
    """Numbers that are only ever compared become relative, and actors that are alike are put in order.

    Revisions, fences and owners are named by how they stand to those of the entity as it is now. Where the rules are
    right, what can never fit again is forgotten; else it is kept, as it might be taken for good.
    """

    def __init__(self, rules: Rules) -> None:
        self._forgets = "owner" in rules.guard and rules.settling_compares and rules.asking_compares
        self._asks_all = len(rules.claim_asks) == len(RIGHT.claim_asks) and rules.fresh_ids
        self._known: dict[tuple[Entity, Actor], Actor] = {}
        self._order = Order()

    def __call__(self, world: World) -> World:
        now, floating = world.entity, world.floating
        return World(
            self._entity(now, now),
            world.left,
            tuple(sorted([self._bell(now, bell) for bell in world.bells])),
            tuple(sorted([self._actor(now, worker) for worker in world.workers], key=self._order)),
            self._actor(now, world.asker),
            self._actor(now, world.sweeper),
            None if floating is None else floating._replace(entity=self._entity(now, floating.entity)),
            world.used_ids,
            world.record,
        )

    def _actor(self, now: Entity, actor: Actor) -> Actor:
        if actor.stage == IDLE:
            return actor
        named = self._known.get((now, actor))
        if named is None:
            named = self._known[now, actor] = self._named(now, actor)
        return named

    def _named(self, now: Entity, actor: Actor) -> Actor:
        if actor.stage in (POPPED, RINGING):
            return actor._replace(claim=self._bell(now, actor.claim))
        seen = None if actor.seen is None else self._entity(now, actor.seen)
        claim = _relative(now, actor.claim)
        work = now.work
        is_lost = work is not None and (claim.epoch, claim.attempt) == (work.epoch, work.attempt) and claim.fence > 0
        if self._forgets and claim.owner == _OTHER and not is_lost:
            claim = Claim(claim.epoch if claim.epoch == now.epoch else 0, 0, 0, _OTHER)
        return actor._replace(claim=claim, seen=seen)

    def _entity(self, now: Entity, entity: Entity) -> Entity:
        """What stands there, or stood there when it was seen."""
        revision = 0 if entity.revision == now.revision else 1 if entity.revision > now.revision else -1
        if revision < 0 and self._forgets:
            return _STALE
        work = entity.work
        if work is not None:
            claim = _relative(now, work.claim)
            work = work._replace(fence=claim.fence, owner=claim.owner)
        return entity._replace(revision=revision, work=work)

    def _bell(self, now: Entity, bell: Claim) -> Claim:
        """A doorbell of the past is refused, whichever it is."""
        work = now.work
        if self._asks_all and (work is None or bell.attempt != work.attempt or bell.epoch != work.epoch):
            return _PAST
        return bell


def _relative(now: Entity, claim: Claim) -> Claim:
    work = now.work
    fence = 0 if work is None else max(claim.fence - work.fence, -2)
    owner = 0 if not claim.owner else _LIVE if work is not None and claim.owner == work.owner else _OTHER
    return Claim(claim.epoch, claim.attempt, fence, owner)
