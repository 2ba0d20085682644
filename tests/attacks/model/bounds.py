"""A step whose time is bounded by ``within``, and whose job or branches never come to an end by themselves: only its
deadline does end it, whatever becomes of its workers and however often it is paused.

Time is that of a row: how many ticks are left until it is due, and until its deadline. What a job returns is left out,
as ``steps`` has it; of branches it is enough that they are looked at in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from tests.attacks.model.exploration import Step

#: In ticks: the time of the step, a lease, a doorbell's grace, and how long branches that tell nothing are let alone.
WITHIN: Final = 2
LEASE: Final = 2
GRACE: Final = 1
WATCH: Final = 4

IDLE: Final = "waits"
POPPED: Final = "has taken a doorbell"
CLAIMED: Final = "has claimed"
RUNNING: Final = "runs the job"


class Rules(NamedTuple):
    """What the protocol asks for. As it is here, it is right."""

    #: No job begins once the time of its step is over, however late its worker gets there.
    asks_before_it_begins: bool = True
    #: The next attempt has the deadline of the one before.
    next_attempt_keeps_it: bool = True
    #: A pause keeps what is left of the time of work that it holds.
    pause_keeps_what_is_left: bool = True
    #: Who puts a row off does so no further than to a deadline that was to come as the look began; not only to one that
    #: comes after the moment at which the row is due, as it is that moment itself once the row was put off to it.
    puts_off_by_the_look: bool = True
    #: A deadline ends the step that was read, if nobody has written since.
    firing_compares: bool = True


RIGHT: Final = Rules()


class Work(NamedTuple):
    """A work row. ``left`` and ``wake``: the ticks until its deadline, None for one that is lost, and until it is due;
    of what is held, ``left`` is kept. ``owner`` is the number of a claim, 0 for none."""

    attempt: int = 1
    owner: int = 0
    held: bool = False
    left: int | None = WITHIN
    wake: int = GRACE
    lease: int = 0


class Worker(NamedTuple):
    """``left``: the ticks of the step that it has read with its claim."""

    stage: str = IDLE
    attempt: int = 0
    owner: int = 0
    left: int | None = None


class Sweeper(NamedTuple):
    """What it has read: the row, and how many ticks were ``left`` then. ``turn``: how often a look has put it off."""

    work: Work
    left: int | None
    revision: int
    turn: int = 0


class World(NamedTuple):
    """``used``: the ticks for which nothing was held. ``work`` None: the step has been left."""

    work: Work | None = Work()
    revision: int = 0
    watches: bool = False
    paused: bool = False
    used: int = 0
    workers: tuple[Worker, ...] = (Worker(), Worker())
    sweeper: Sweeper | None = None
    bells: tuple[int, ...] = ()
    crashes: int = 0
    pauses: int = 0
    postpones: int = 0
    began_late: bool = False
    left_twice: bool = False


BEGINS_IN_TIME: Final = "2: no attempt begins once the time of its step is over"
NOT_BEFORE: Final = "2: a step has all of its time, and pauses take none of it"
IS_DUE: Final = "2: a step is looked after as its time is over"
LEFT_ONCE: Final = "1: a step is left once"


class Bounds:
    """The model. ``watches``: the step waits for branches; else a worker runs its job."""

    def __init__(
        self, rules: Rules = RIGHT, *, watches: bool = False, crashes: int = 0, pauses: int = 0, postpones: int = 0
    ) -> None:
        self.rules = rules
        self._start = World(watches=watches, crashes=crashes, pauses=pauses, postpones=postpones)

    @property
    def invariants(self) -> Mapping[str, Callable[[World], bool]]:
        return {
            BEGINS_IN_TIME: lambda world: not world.began_late,
            NOT_BEFORE: lambda world: world.work is not None or world.used >= WITHIN,
            IS_DUE: _is_due,
            LEFT_ONCE: lambda world: not world.left_twice,
        }

    def starts(self) -> Iterable[World]:
        """Just entered; nobody has rung."""
        yield self._start

    def has_ended(self, world: World) -> bool:
        """The step has been left, and nobody is still about to write."""
        return world.work is None and world.sweeper is None

    def steps(self, world: World) -> Iterator[Step[World]]:
        yield Step("a tick", _tick(world))
        yield from self._pauses(world)
        yield from self._sweeps(world)
        for worker in dict.fromkeys(world.workers):
            others = list(world.workers)
            others.remove(worker)
            for step in self._works(world, worker):
                of_worker, now = step.world
                in_order = tuple(sorted((*others, of_worker), key=repr))
                yield Step(step.what, now._replace(workers=in_order), step.is_fault)

    # People.

    def _pauses(self, world: World) -> Iterator[Step[World]]:
        work = world.work
        if work is not None and world.pauses and not world.paused:
            paused = world._replace(paused=True, pauses=world.pauses - 1)
            yield Step("a pause", _written(paused, work if work.owner else work._replace(held=True)))
        if work is not None and world.paused:
            yield Step("a resume", _written(world._replace(paused=False), self._freed(work)))

    def _freed(self, work: Work) -> Work:
        if not work.held:
            return work
        left = work.left if self.rules.pause_keeps_what_is_left else 0
        return _hurried(work._replace(held=False, left=left, wake=GRACE))

    # The sweeper.

    def _sweeps(self, world: World) -> Iterator[Step[World]]:
        work, seen = world.work, world.sweeper
        if seen is not None:
            yield from self._looks_after(world, seen)
        elif work is not None and not work.held and work.wake == 0:
            yield Step("the sweeper reads the row", world._replace(sweeper=Sweeper(work, work.left, world.revision)))

    def _looks_after(self, world: World, seen: Sweeper) -> Iterator[Step[World]]:
        done, work = world._replace(sweeper=None), world.work
        if seen.work.owner and seen.work.lease == 0:
            if work is not None and work.owner == seen.work.owner:
                yield Step("the lease has run out", _written(done, self._again(world, work, GRACE)))
            else:
                yield Step("whose lease had run out has settled", done)
        elif seen.work.left == 0 and not seen.turn:
            yield from self._fires(done, seen)
        elif world.watches:
            yield from self._looks(world, seen)
        elif work is not None and work == seen.work and not work.owner:
            rung = _hurried(work._replace(wake=GRACE))
            yield Step("the sweeper rings", _rung(done._replace(work=rung)))
        else:
            yield Step("the row has moved on, or is claimed", done._replace(work=work and _looked_at(work)))

    def _fires(self, done: World, seen: Sweeper) -> Iterator[Step[World]]:
        work = done.work
        same = work is not None and done.revision == seen.revision and work.owner == seen.work.owner
        if done.paused or (self.rules.firing_compares and not same):
            yield Step("the deadline is not over any more, or others were first", done._replace(work=_looked_at(work)))
        else:
            yield Step("the deadline ends the step", _left(done))

    def _looks(self, world: World, seen: Sweeper) -> Iterator[Step[World]]:
        """It is put off for the look, and again after it."""
        work = world.work
        if work is None or world.revision != seen.revision:
            yield Step("others were first", world._replace(sweeper=None))
            return
        to_come = seen.left if self.rules.puts_off_by_the_look else _after_it_is_due(seen.work)
        wake = (GRACE, WATCH)[seen.turn]
        put = work._replace(wake=min(wake, work.left) if to_come and work.left is not None else wake)
        again = seen._replace(work=put, turn=1) if seen.turn == 0 else None
        yield Step(f"the row is put off, look {seen.turn + 1}", world._replace(work=put, sweeper=again))

    def _again(self, world: World, work: Work, wake: int) -> Work:
        """What follows an attempt that has ended: the next one."""
        left = work.left if self.rules.next_attempt_keeps_it else None
        return _hurried(Work(work.attempt + 1, held=world.paused, left=left, wake=wake))

    # A worker: what it is then, and the rest of the world.

    def _works(self, world: World, worker: Worker) -> Iterator[Step[tuple[Worker, World]]]:
        work = world.work
        if worker.stage == IDLE:
            for bell in dict.fromkeys(world.bells):
                rest = list(world.bells)
                rest.remove(bell)
                taken = Worker(POPPED, bell)
                yield Step("a worker takes a doorbell", (taken, world._replace(bells=tuple(rest))))
            return
        if world.crashes:
            yield Step("CRASH of a worker", (Worker(), world._replace(crashes=world.crashes - 1)), True)
        if worker.stage == POPPED:
            if work is None or work.attempt != worker.attempt or work.owner or work.held:
                yield Step("the claim is refused", (Worker(), world))
            else:
                mine = _hurried(work._replace(owner=work.attempt, lease=LEASE, wake=LEASE))
                claimed = Worker(CLAIMED, work.attempt, mine.owner, work.left)
                yield Step("a worker claims the step", (claimed, world._replace(work=mine)))
        elif worker.stage == CLAIMED and worker.left == 0 and self.rules.asks_before_it_begins:
            yield from self._overdue(world, worker)
        elif worker.stage == CLAIMED:
            late = world._replace(began_late=world.began_late or worker.left == 0)
            yield Step("the job begins", (worker._replace(stage=RUNNING), late))
        else:
            yield from self._runs(world, worker)

    def _runs(self, world: World, worker: Worker) -> Iterator[Step[tuple[Worker, World]]]:
        """It goes on and on, until its limit, or until it asks for more time."""
        if worker.left == 0:
            yield from self._overdue(world, worker)
        if world.postpones:
            spent = world._replace(postpones=world.postpones - 1)
            if world.work is not None and world.work.owner == worker.owner:
                spent = _written(spent, self._again(world, world.work, LEASE))
            yield Step("the job asks for more time", (Worker(), spent))

    def _overdue(self, world: World, worker: Worker) -> Iterator[Step[tuple[Worker, World]]]:
        holds = world.work is not None and world.work.owner == worker.owner
        yield Step("its worker ends the step, whose time is over", (Worker(), _left(world) if holds else world))


def _is_due(world: World) -> bool:
    """Nothing is put off past its deadline, or for long after that."""
    work = world.work
    return work is None or work.held or work.left is None or work.wake <= max(work.left, LEASE)


def _after_it_is_due(work: Work) -> bool:
    return work.left is not None and work.left > work.wake


def _hurried(work: Work) -> Work:
    """Due no later than at its deadline."""
    return work if work.left is None or work.held else work._replace(wake=min(work.wake, work.left))


def _looked_at(work: Work | None) -> Work | None:
    """Put off for a moment, where it is still due."""
    return work if work is None or work.wake else work._replace(wake=GRACE)


def _written(world: World, work: Work) -> World:
    return world._replace(work=work, revision=(world.revision + 1) % 8)


def _rung(world: World) -> World:
    assert world.work is not None
    bells = {*world.bells, world.work.attempt}
    return world._replace(bells=tuple(sorted(bells)))


def _left(world: World) -> World:
    """The step is left; who had read it finds that others have written."""
    twice = world.left_twice or world.work is None
    return world._replace(work=None, left_twice=twice, revision=(world.revision + 1) % 8)


def _tick(world: World) -> World:
    work = world.work
    if work is None:
        return world
    used = world.used if work.held else min(world.used + 1, WITHIN)
    if not work.held:
        left = None if work.left is None else max(work.left - 1, 0)
        work = work._replace(left=left, wake=max(work.wake - 1, 0), lease=max(work.lease - 1, 0))
    workers = tuple(
        sorted((w._replace(left=max(w.left - 1, 0)) if w.left is not None else w for w in world.workers), key=repr)
    )
    return world._replace(work=work, used=used, workers=workers)
