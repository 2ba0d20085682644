"""One entity on its way through its steps: workers, doorbells, a sweeper, somebody who asks, and all that can fail.

Time is left out: a doorbell may be rung again, and a lease may run out, at any moment (as under any jump of a clock). A
worker that is stopped, or merely slow, is one that takes its next step late. What is left out besides: history, as it
is written in the transaction that moves the entity (that an epoch is left twice stands for two rows of it); the number
of the dispatch, which makes ids fresh, and ids are taken to be so; grace and back-off, as any moment will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tests.attacks.model.exploration import Step
from tests.attacks.model.rows import (
    ADVANCE,
    AHEAD,
    CANCEL,
    EXPIRE,
    FAIL,
    FAIL_FOR_GOOD,
    FAILED_FROM,
    NOTE,
    OVER,
    PAUSE,
    RESUME,
    RETRY,
    RETURN,
    RIGHT,
    SAVE,
    SETTLING,
    TIMEOUT,
    Claim,
    Conflict,
    Entity,
    Gone,
    Refused,
    Rules,
    Work,
    claimed,
    decide,
    holds,
    is_live,
    let_go,
    may_claim,
    may_reclaim,
    write,
)
from tests.attacks.model.world import (
    AT_MOST_ONCE,
    CLAIMED,
    COUNTS_TRULY,
    FLOATS,
    HOLDING,
    IDLE,
    IS_BOUNDED,
    LANDED,
    LEFT_ONCE,
    NEW_OWNER,
    NO_STALE_WRITE,
    NOTHING_LOST,
    NOTHING_TWICE,
    PAUSED_RESTS,
    POPPED,
    RAN,
    RINGING,
    RUNNING,
    RUNS_APART,
    VANISHED,
    Actor,
    Bounds,
    Canonical,
    Floating,
    World,
    acknowledged,
    applies_once,
    asking,
    back,
    counts_truly,
    crash_of_database,
    is_bounded,
    keeps_its_promises,
    named,
    runs_apart,
    spend,
    sweeping,
    swept,
    told,
)


class Steps:
    """The model. ``most_bells``: so many doorbells wait in Redis at most, the duplicates among them."""

    def __init__(self, rules: Rules = RIGHT, *, workers: int = 2, most_bells: int = 2, **bounds: int) -> None:
        self.rules = rules
        self.bounds = Bounds(**bounds)
        self._canonical = Canonical(rules)
        self._workers = (Actor(),) * workers
        self._most_bells = most_bells

    @property
    def invariants(self) -> Mapping[str, Callable[[World], bool]]:
        bounds = self.bounds
        return {
            LEFT_ONCE: lambda world: not world.record.left_twice,
            NO_STALE_WRITE: lambda world: not world.record.stale_write,
            NOTHING_LOST: keeps_its_promises,
            NOTHING_TWICE: lambda world: applies_once(bounds, world),
            PAUSED_RESTS: lambda world: not world.record.ran_while_paused,
            RUNS_APART: lambda world: runs_apart(bounds, world),
            AT_MOST_ONCE: lambda world: world.record.runs <= 1,
            IS_BOUNDED: lambda world: is_bounded(bounds, world),
            COUNTS_TRULY: lambda world: counts_truly(bounds, world),
        }

    def starts(self) -> Iterable[World]:
        """Started; with its doorbell, and without, as whoever started it may have died before it rang."""
        work = Work(epoch=1, deadline=AHEAD if self.bounds.deadlines else "")
        world = World(Entity(work=work), self.bounds, workers=self._workers)
        yield self._canonical(world)
        yield self._canonical(self._with_bell(world, Claim(1, 1)))

    def has_ended(self, world: World) -> bool:
        """Finished, cancelled, or resting after a failure until somebody has it retried."""
        return world.entity.state not in FAILED_FROM

    def steps(self, world: World) -> Iterator[Step[World]]:
        for step in self._raw_steps(world):
            yield step._replace(world=self._canonical(step.world))

    def _raw_steps(self, world: World) -> Iterator[Step[World]]:
        for worker in dict.fromkeys(world.workers):
            others = list(world.workers)
            others.remove(worker)
            yield from self._worker_steps(world._replace(workers=tuple(others)), worker)
        yield from self._sweeper_steps(world)
        yield from self._asker_steps(world)
        yield from self._faults(world)

    # What a worker does. Its world is that of the others; ``back`` puts it in again.

    def _worker_steps(self, world: World, worker: Actor) -> Iterator[Step[World]]:
        if worker.stage == IDLE:
            for bell in dict.fromkeys(world.bells):
                rest = list(world.bells)
                rest.remove(bell)
                taken = worker._replace(stage=POPPED, claim=bell)
                yield Step(
                    f"a worker takes the doorbell of {named(bell)}", back(world._replace(bells=tuple(rest)), taken)
                )
            return
        if world.left.crashes:
            yield Step(f"CRASH of a worker that {worker.stage}", back(spend(world, "crashes"), Actor()), True)
        if worker.stage == POPPED:
            yield from self._claiming(world, worker)
        elif worker.stage == RINGING:
            rung = self._with_bell(world, worker.claim)
            yield Step(f"the worker rings for {named(worker.claim)}", back(rung, Actor()))
        elif worker.doubt and not worker.looked:
            yield self._looking(world, worker, _left_to_sweeper)
        elif worker.stage == RAN:
            yield from self._settling(world, worker)
        else:
            yield from self._running(world, worker)

    def _claiming(self, world: World, worker: Actor) -> Iterator[Step[World]]:
        entity, ticket = world.entity, worker.claim
        if world.floating is not None:
            return
        if not may_claim(self.rules, entity, ticket) or entity.work is None:
            yield Step(f"the claim of {named(ticket)} is refused", back(world, Actor()))
            return
        entity = entity._replace(work=claimed(entity.work, NEW_OWNER))
        assert entity.work is not None
        record = world.record._replace(ran_while_paused=world.record.ran_while_paused or entity.paused)
        claim = ticket._replace(fence=entity.work.fence, owner=NEW_OWNER)
        stage = CLAIMED if self.rules.at_most_once else RUNNING
        holder = Actor(stage, claim, seen=entity)
        yield Step(f"a worker claims {named(ticket)}", back(world._replace(entity=entity, record=record), holder))

    def _running(self, world: World, worker: Actor) -> Iterator[Step[World]]:
        if worker.stage == CLAIMED:
            yield from self._securing(world, worker)
            return
        if world.left.saves and world.floating is None:
            yield self._saving(spend(world, "saves"), worker)
        yield Step("the job returns", back(world, worker._replace(stage=RAN, what=RETURN)))
        if world.left.failures:
            spent = spend(world, "failures")
            for what in (FAIL, FAIL_FOR_GOOD):
                yield Step(what, back(spent, worker._replace(stage=RAN, what=what)), True)
        if world.left.releases and world.floating is None and is_live(world.entity, worker.claim):
            freed = spend(world, "releases")._replace(entity=let_go(self.rules, world.entity))
            yield Step("a worker is told to stop at once, and its attempt is given back", back(freed, Actor()))

    def _securing(self, world: World, worker: Actor) -> Iterator[Step[World]]:
        """Before a job that runs at most once: a claim that outlives the database. Then the job begins."""
        entity = world.entity
        if self.rules.secures:
            if world.floating is not None:
                return
            if not holds(self.rules, entity, worker.claim, entity.state):
                yield Step("the claim cannot be made durable: it is gone", back(world, Actor()))
                return
            assert entity.work is not None
            entity = entity._replace(work=entity.work._replace(hasty=False))
        runs = world.record.runs + (worker.claim.epoch == entity.epoch)
        begun = world._replace(entity=entity, record=world.record._replace(runs=runs))
        yield Step("the job begins", back(begun, worker._replace(stage=RUNNING)))

    def _saving(self, world: World, worker: Actor) -> Step[World]:
        assert worker.seen is not None
        try:
            after = write(self.rules, SAVE, world.entity, worker.seen, worker.claim)
        except (Conflict, Gone, Refused):
            return Step("the job saves, and is too late", back(world, self._again(world, worker)))
        saved = self._noted(world, worker, SAVE, after)
        saved = saved._replace(record=saved.record._replace(save_promised=True))
        return Step("the job saves its data", back(saved, worker._replace(seen=after)))

    def _settling(self, world: World, worker: Actor) -> Iterator[Step[World]]:
        yield from self._committing(
            world,
            worker,
            put=back,
            succeed=lambda now: back(now, self._after_settling(now, worker)),
            found=_left_to_sweeper,
            again=lambda now: self._too_late(now, worker),
        )

    def _after_settling(self, world: World, worker: Actor) -> Actor:
        """The worker rings for the step that its commit has led to."""
        work = world.entity.work
        rings = worker.what == RETURN and work is not None and not work.held
        return Actor(RINGING, Claim(world.entity.epoch, 1)) if rings else Actor()

    def _too_late(self, world: World, worker: Actor) -> World:
        """A claim that was lost with the database alone is taken again; the result is committed after that."""
        work = world.entity.work
        if work is None or not may_reclaim(world.entity, worker.claim, worker.seen):
            return back(world, self._again(world, worker))
        entity = world.entity._replace(work=work._replace(fence=worker.claim.fence, owner=NEW_OWNER, hasty=True))
        claim = worker.claim._replace(owner=NEW_OWNER)
        return back(world._replace(entity=entity), worker._replace(claim=claim, seen=entity, doubt="", looked=False))

    def _again(self, world: World, worker: Actor) -> Actor:
        """Others wrote first: decide on what is there now, if the claim still counts; else all is discarded."""
        assert worker.seen is not None
        if not self.rules.decides_again or not holds(self.rules, world.entity, worker.claim, worker.seen.state):
            return Actor()
        return worker._replace(seen=world.entity, doubt="", looked=False)

    # What commits have in common.

    def _committing(
        self,
        world: World,
        actor: Actor,
        *,
        put: Callable[[World, Actor], World],
        succeed: Callable[[World], World],
        found: Callable[[World], World],
        again: Callable[[World], World],
    ) -> Iterator[Step[World]]:
        """One try to commit what an actor has decided. ``put`` places the actor, as it is then, in its world; the
        others give the world after a commit, after one that was found later, and where others were first."""
        if world.floating is not None or actor.seen is None:
            return  # its rows are locked
        claim = None if actor.what not in (*SETTLING, EXPIRE) else actor.claim
        try:
            after = write(self.rules, actor.what, world.entity, actor.seen, claim)
        except (Conflict, Gone, Refused):
            if actor.doubt == LANDED and self.rules.looks_into_doubt:
                yield Step(f"{actor.what}: it turns out to have been committed", found(world))
            else:
                yield Step(f"{actor.what}: others were first", again(world))
            return
        noted = self._noted(world, actor, actor.what, after)
        yield Step(f"{actor.what}: committed", succeed(noted))
        if not world.left.doubts or actor.what in (EXPIRE, TIMEOUT):
            return
        spent = spend(world, "doubts")
        for doubt in (LANDED, VANISHED, FLOATS):
            now = noted._replace(left=spent.left) if doubt == LANDED else spent
            if doubt == FLOATS:
                now = spent._replace(floating=Floating(after, noted.record))
            doubting = actor._replace(doubt=doubt, looked=False)
            yield Step(f"{actor.what}: COMMIT gets no answer, and {doubt}", put(now, doubting), True)

    def _looking(self, world: World, actor: Actor, found: Callable[[World], World]) -> Step[World]:
        """Whoever got an error from COMMIT looks for its token in the history."""
        if actor.doubt == LANDED and self.rules.looks_into_doubt:
            return Step(f"{actor.what}: found to be committed", found(world))
        put = back if actor.stage == RAN else asking
        return Step(f"{actor.what}: not found, so it is tried again", put(world, actor._replace(looked=True)))

    def _noted(self, world: World, actor: Actor, what: str, after: Entity) -> World:
        """The world after a commit, as the observer sees it."""
        now, seen, record = world.entity, actor.seen, world.record
        assert seen is not None
        under_claim = what in SETTLING or what == EXPIRE
        moved = after.epoch != seen.epoch
        record = record._replace(
            stale_write=record.stale_write or (under_claim and not is_live(now, actor.claim)),
            left_twice=record.left_twice or (moved and seen.epoch != now.epoch),
            runs=0 if moved else record.runs,
        )
        return world._replace(entity=after, record=record)

    # Who asks, and who sweeps.

    def _asker_steps(self, world: World) -> Iterator[Step[World]]:
        asker = world.asker
        if asker.doubt and not asker.looked:
            yield self._looking(world, asker, lambda now: acknowledged(now, asker.what))
        elif asker.stage != IDLE:
            yield from self._committing(
                world,
                asker,
                put=asking,
                succeed=lambda now: acknowledged(now, asker.what),
                found=lambda now: acknowledged(now, asker.what),
                again=lambda now: self._asked(now, asker.what),
            )
        else:
            wanted = {NOTE: "notes", ADVANCE: "advances", CANCEL: "cancels", PAUSE: "pauses", RETRY: "retries"}
            for what, bound in wanted.items():
                if getattr(world.left, bound):
                    asked = self._asked(spend(world, bound), what)
                    if asked.asker.stage != IDLE:
                        yield Step(f"{what} is asked for, and the entity read", asked)
            if world.entity.paused:
                yield Step("resume is asked for, and the entity read", self._asked(world, RESUME))

    def _asked(self, world: World, what: str) -> World:
        """Decide on the entity as it is now; a refusal is told, and changes nothing."""
        try:
            decide(self.rules, what, world.entity)
        except Refused:
            return asking(world, Actor())
        return asking(world, Actor("asks", what=what, seen=world.entity))

    def _sweeper_steps(self, world: World) -> Iterator[Step[World]]:
        work, sweeper = world.entity.work, world.sweeper
        if sweeper.stage != IDLE:
            yield from self._committing(world, sweeper, put=sweeping, succeed=swept, found=swept, again=swept)
            return
        if work is None or not self.rules.reconciles or world.floating is not None:
            return
        if work.deadline == AHEAD:
            over = world.entity._replace(work=work._replace(deadline=OVER))
            yield Step("the deadline is over", world._replace(entity=over))
        if work.deadline == OVER and not work.held:
            fires = Actor("sweeps", what=TIMEOUT, seen=world.entity)
            yield Step("the sweeper sees that the deadline is over", sweeping(world, fires))
            if not self.rules.lease_before_deadline:
                return
        if not work.owner:
            if not work.held and len(world.bells) < self._most_bells:
                bell = Claim(work.epoch, work.attempt)
                yield Step(f"the sweeper rings for {named(bell)}", self._with_bell(world, bell))
            return
        expires = sweeping(world, Actor("sweeps", work.claim, EXPIRE, world.entity))
        if not any(worker.stage in HOLDING and worker.claim == work.claim for worker in world.workers):
            yield Step("the sweeper sees that the lease of one who is dead has run out", expires)
        elif world.left.expiries:
            yield Step(
                "the sweeper sees that the lease of one who is ALIVE has run out", spend(expires, "expiries"), True
            )

    def _with_bell(self, world: World, bell: Claim) -> World:
        """Redis takes a doorbell; one whose id it knows is refused, where ids are used again."""
        if len(world.bells) >= self._most_bells or bell in world.used_ids:
            return world
        used = world.used_ids if self.rules.fresh_ids else world.used_ids | {bell}
        return world._replace(bells=(*world.bells, bell), used_ids=used)

    def _faults(self, world: World) -> Iterator[Step[World]]:
        if world.left.flushes and (world.bells or world.used_ids):
            flushed = spend(world, "flushes")._replace(bells=(), used_ids=frozenset())
            yield Step("FLUSH of Redis", flushed, True)
        work = world.entity.work
        if world.left.database_crashes and (world.floating is not None or (work is not None and work.hasty)):
            yield Step("CRASH of the database, which loses what was not durable", crash_of_database(world), True)
        if world.floating is not None:
            landed = world._replace(entity=world.floating.entity, record=world.floating.record, floating=None)
            yield Step("the COMMIT takes effect", told(landed, LANDED))
            yield Step("the COMMIT is rolled back", told(world._replace(floating=None), VANISHED))


def _left_to_sweeper(world: World) -> World:
    """The worker that was in doubt is done; the doorbell, rung or lost, is in one of the worlds that come next."""
    return back(world, Actor())
