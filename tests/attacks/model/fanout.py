"""A parent and its branches: made under a claim, settled each for itself, joined once, ended where the step is left.

How an attempt is claimed, fenced and settled is in ``steps``; here that is one step, and a worker only remembers
whether its claim is live. A branch that is paused begins nothing; one whose job runs ends all the same. What is left
out besides: ``limit`` and branches that are made later (``window``), and a branch that is retried by itself under a
parent that is paused. Time is left out but for one thing, as recovery is to take seconds: somebody looks after the
parent far off (in minutes), later (than a nudge would have it), soon, or now. That far off comes is not relied upon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tests.attacks.model.exploration import Order, Step
from tests.attacks.model.family import (
    ABSENT,
    ACTIVE,
    ALIGNS,
    BROKEN,
    CANCELLED,
    COUNTED,
    DONE,
    DUE,
    ENDED,
    ENDS_WHAT_IS_LEFT,
    FAILED,
    FAR,
    JOB,
    JOIN,
    JOINS_LAST,
    JOINS_RIGHTLY,
    LATER,
    LEAVES_ONCE,
    LOOKED,
    LOOKS,
    MAKES,
    NEAR,
    NEXT,
    PAUSE_REACHES,
    PAUSED_WAITS,
    READ,
    REVIVES_ONCE,
    RIGHT,
    SPREADING,
    Actor,
    Bounds,
    Branch,
    Ending,
    Parent,
    Record,
    Rules,
    World,
    back_in_step,
    is_in_line,
    maker_of,
    moved,
    spend,
    turned,
    unclaimed,
    with_actor,
    with_branch,
    without,
    woken,
)


class FanOut:
    """The model."""

    def __init__(self, rules: Rules = RIGHT, *, branches: int = 2, **bounds: int) -> None:
        self.rules = rules
        self._order = Order()
        self._start = World(Bounds(**bounds), (Branch(),) * branches)

    @property
    def invariants(self) -> Mapping[str, Callable[[World], bool]]:
        return {
            LEAVES_ONCE: lambda world: not world.record.left_twice,
            JOINS_LAST: lambda world: not world.record.joined_early,
            JOINS_RIGHTLY: lambda world: not world.record.joined_wrongly,
            PAUSED_WAITS: lambda world: not world.record.joined_paused,
            ENDS_WHAT_IS_LEFT: lambda world: world.passes_down or _is_tidy(world),
            PAUSE_REACHES: lambda world: world.passes_down or _is_tidy(world, alive=True),
            REVIVES_ONCE: lambda world: all(each.revived <= 1 for each in world.branches),
        }

    def starts(self) -> Iterable[World]:
        yield self._start

    def has_ended(self, world: World) -> bool:
        """The parent has gone on, or rests, and no branch is on its way."""
        return world.parent.state != SPREADING and _is_tidy(world)

    def steps(self, world: World) -> Iterator[Step[World]]:
        for step in self._raw_steps(world):
            branches = tuple(sorted(step.world.branches, key=self._order))
            actors = tuple(sorted(map(self._named, step.world.actors), key=self._order))
            yield step._replace(world=step.world._replace(branches=branches, actors=actors))

    def _named(self, actor: Actor) -> Actor:
        """Where the rules are right, what can never be written any more is forgotten, so that worlds are alike: what
        came of a parent that has changed since, and which epoch one served who has lost the claim."""
        forgets = self.rules.making_is_guarded if actor.stage == MAKES else self.rules.join_compares
        return actor._replace(epoch=0, verdict="") if forgets and not (actor.fresh or actor.live) else actor

    def _raw_steps(self, world: World) -> Iterator[Step[World]]:
        for actor in dict.fromkeys(world.actors):
            others = world._replace(actors=without(world.actors, actor))
            if world.left.crashes:
                died = spend(others, "crashes")
                left_over = died._replace(tasks=died.tasks or actor.stage == ALIGNS)
                yield Step(f"CRASH of one that {actor.stage}", left_over, True)
            yield self._acts(others, actor)
        for branch in dict.fromkeys(world.branches):
            others = world._replace(branches=without(world.branches, branch))
            yield from self._branch_steps(others, branch)
            yield from self._branch_retried(others, branch)
        yield from self._attempts(world)
        yield from self._sweeps(world)
        yield from self._asked(world)

    def _acts(self, world: World, actor: Actor) -> Step[World]:
        if actor.stage == MAKES:
            return self._makes(world, actor)
        return self._passes_down(world) if actor.stage == ALIGNS else self._looks(world, actor)

    # The attempt that makes branches. An actor's world is that of the others.

    def _attempts(self, world: World) -> Iterator[Step[World]]:
        parent = world.parent
        if parent.state != SPREADING or parent.work != JOB:
            return
        if not parent.claimed:
            if not parent.paused:
                claimed = with_actor(world._replace(parent=parent._replace(claimed=True)), maker_of(parent))
                yield Step("a worker claims the attempt that makes branches", claimed)
            return
        again = moved(world, parent._replace(claimed=False))
        if not any(actor.live for actor in world.actors):
            yield Step("the lease of one who is dead runs out", again)
        elif world.left.expiries:
            yield Step("the lease of one who is ALIVE runs out", spend(unclaimed(again), "expiries"), True)

    def _makes(self, world: World, maker: Actor) -> Step[World]:
        """One branch, or one that is run again; when all are there, the parent waits for them."""
        if not maker.live and self.rules.making_is_guarded:
            return Step("who makes branches finds that the claim is gone", world)
        paused = world.parent.paused
        for branch in world.branches:
            if branch.standing == ABSENT:
                made = Branch(ACTIVE, paused=paused and self.rules.making_asks_pause)
                return Step("a branch is made", with_actor(turned(world, branch, made), maker))
            if self._is_to_be_revived(branch, maker):
                revived = Branch(ACTIVE, branch.revived + 1, paused=paused and self.rules.reviving_asks_pause)
                return Step("a branch that failed is run again", with_actor(turned(world, branch, revived), maker))
        if not maker.live:
            return Step("who has made branches finds that the claim is gone", world)
        waiting = woken(moved(world, world.parent._replace(work=JOIN, claimed=False)), NEAR)
        return Step("all branches are there, and the parent waits", with_actor(waiting, Actor(LOOKS)))

    def _is_to_be_revived(self, branch: Branch, maker: Actor) -> bool:
        is_new = branch.revived == 0 or not self.rules.remembers_revived
        return branch.standing == BROKEN and maker.epoch > 1 and is_new

    # Branches.

    def _branch_steps(self, world: World, branch: Branch) -> Iterator[Step[World]]:
        if branch.standing != ACTIVE:
            return
        if branch.ending is not None:
            yield Step(f"a branch is {branch.ending.verdict}: committed", self._settled(world, branch, branch.ending))
            return
        if branch.paused:
            return
        nudges = world.parent.due != NEAR
        for verdict in (DONE, BROKEN) if world.left.failures else (DONE,):
            spent = spend(world, "failures") if verdict == BROKEN else world
            ends = branch._replace(ending=Ending(verdict, nudges))
            yield Step(f"the worker of a branch decides: {verdict}", with_branch(spent, ends), verdict == BROKEN)

    def _settled(self, world: World, branch: Branch, ending: Ending) -> World:
        """The branch's commit, which makes the parent due soon. As the parent's row is not locked, it goes by when the
        parent was due at the moment of the decision."""
        listed = branch.listed and self.rules.passes_down_again
        settled = with_branch(world, Branch(ending.verdict, branch.revived, listed=listed))
        parent = world.parent
        changes = parent.due in (FAR, LATER) or ending.nudges
        if self.rules.nudges and parent.waits and changes:
            settled = woken(settled, NEAR)
        return with_actor(settled, Actor(LOOKS)) if self.rules.looks_after else settled

    def _branch_retried(self, world: World, branch: Branch) -> Iterator[Step[World]]:
        """A branch that failed is run again by itself: its parent comes back into the step in the same commit."""
        parent = world.parent
        stands = parent.state in (SPREADING, FAILED) and not parent.paused
        if not world.left.branch_retries or branch.standing != BROKEN or not stands:
            return
        again = with_branch(spend(world, "branch_retries"), Branch(ACTIVE, max(branch.revived, 1)))
        if self.rules.reopens and parent.state == FAILED:
            again = woken(moved(again, back_in_step(parent, JOIN)), NEAR)
        elif self.rules.reopens:
            again = moved(again, parent)
        yield Step("a branch that failed is retried", again)

    # Looking after the parent.

    def _looks(self, world: World, actor: Actor) -> Step[World]:
        parent = world.parent
        if actor.stage == LOOKED:
            return Step("the sweeper puts the parent off", self._put_off(world, actor))
        if actor.stage == LOOKS:
            if not parent.waits:
                return Step("the parent is read: nothing to be done", self._looked(world, actor))
            verdict = "" if self.rules.reads_failures_last else _verdict(world)
            read = actor._replace(stage=READ, fresh=True, epoch=parent.epoch, verdict=verdict)
            return Step("the parent is read: it waits", with_actor(world, read))
        if actor.stage == READ:
            if any(branch.standing == ACTIVE for branch in world.branches):
                return Step("the branches are read: one is on its way", self._looked(world, actor))
            counted = actor._replace(stage=COUNTED, verdict=actor.verdict or _verdict(world))
            return Step("the branches are read: all have settled", with_actor(world, counted))
        if self.rules.join_compares and not actor.fresh:
            return Step("the parent has changed: look again", with_actor(world, actor._replace(stage=LOOKS)))
        return Step(f"the join is committed: {actor.verdict}", self._joined(world, actor))

    def _joined(self, world: World, actor: Actor) -> World:
        parent, record = world.parent, world.record
        standings = [branch.standing for branch in world.branches]
        right = DONE if all(standing == DONE for standing in standings) else BROKEN
        record = Record(
            left_twice=record.left_twice or actor.epoch != parent.epoch,
            joined_early=record.joined_early or ACTIVE in standings or ABSENT in standings,
            joined_wrongly=record.joined_wrongly or actor.verdict != right,
            joined_paused=record.joined_paused or parent.paused,
        )
        state = NEXT if actor.verdict == DONE else FAILED
        return self._left(world, state)._replace(record=record)

    def _left(self, world: World, state: str) -> World:
        """The parent leaves the step, and it is noted that this is to be passed down."""
        parent = world.parent
        left = Parent(state, parent.epoch + 1, parent.paused, work="", due=FAR)
        return self._noted(unclaimed(woken(moved(world, left), FAR)))

    def _noted(self, world: World) -> World:
        return world._replace(tasks=world.tasks or self.rules.notes_tasks)

    def _looked(self, world: World, actor: Actor) -> World:
        return with_actor(world, actor._replace(stage=LOOKED, fresh=False)) if actor.sweeps else world

    def _put_off(self, world: World, actor: Actor) -> World:
        """For long, where nobody has changed since when the parent is due."""
        if not world.parent.waits:
            return world
        untouched = actor.untouched and (world.parent.due == LATER or not self.rules.puts_off_first)
        return woken(world, FAR) if untouched or not self.rules.puts_off_untouched else world

    def _sweeps(self, world: World) -> Iterator[Step[World]]:
        parent = world.parent
        if parent.waits and parent.due in (LATER, NEAR):
            later = NEAR if parent.due == LATER else DUE
            yield Step("time passes", world._replace(parent=parent._replace(due=later)))
        if not self.rules.reconciles:
            return
        if parent.waits and parent.due == DUE and not any(actor.sweeps for actor in world.actors):
            off = woken(world, LATER) if self.rules.puts_off_first else world
            yield Step("the sweeper finds the parent due", with_actor(off, Actor(LOOKS, True, untouched=True)))
        if world.tasks and not any(actor.stage == ALIGNS for actor in world.actors):
            branches = tuple(branch._replace(listed=self._is_listed(parent, branch)) for branch in world.branches)
            taken = world._replace(tasks=False, branches=branches)
            if any(branch.listed for branch in branches):
                taken = with_actor(taken, Actor(ALIGNS))
            yield Step("it is read which branches are out of line", taken)

    def _is_listed(self, parent: Parent, branch: Branch) -> bool:
        return not is_in_line(parent, branch) and (self.rules.ends_failed or branch.standing == ACTIVE)

    def _passes_down(self, world: World) -> Step[World]:
        """To those that were found out of line, under a lock of the parent, as it is then."""
        parent, told = world.parent, world
        for branch in world.branches:
            if branch.listed:
                kept = branch._replace(paused=parent.paused and branch.standing == ACTIVE, listed=False)
                cancelled = Branch(BROKEN if parent.state == FAILED else ENDED, branch.revived)
                right = kept if is_in_line(parent, kept) else cancelled
                told = turned(told, branch, right)
        return Step("what the parent wants is passed down", told)

    # What somebody asks for: each a compare-and-set, as in ``steps``.

    def _asked(self, world: World) -> Iterator[Step[World]]:
        parent, left = world.parent, world.left
        if parent.paused:
            resumed = self._noted(moved(world, parent._replace(paused=False)))
            yield Step("the parent is resumed", woken(resumed, DUE) if parent.work == JOIN else resumed)
        elif left.pauses and parent.state == SPREADING:
            paused = self._noted(moved(world, parent._replace(paused=True)))
            yield Step("the parent is paused", spend(paused, "pauses"))
        if left.cancels and parent.state in (SPREADING, FAILED):
            yield Step("the parent is cancelled", spend(self._left(world, CANCELLED), "cancels"))
        if left.retries and parent.state == FAILED:
            fresh = world._replace(branches=tuple(branch._replace(revived=0) for branch in world.branches))
            yield Step("the parent is retried", spend(moved(fresh, back_in_step(parent, JOB)), "retries"))


def _is_tidy(world: World, *, alive: bool = False) -> bool:
    """Whether all branches are in line: with a parent that has left the step or, ``alive``, with one that is in it."""
    parent = world.parent
    return (parent.state == SPREADING) != alive or all(is_in_line(parent, branch) for branch in world.branches)


def _verdict(world: World) -> str:
    """What a join of the branches as they are comes to."""
    return BROKEN if any(branch.standing == BROKEN for branch in world.branches) else DONE
