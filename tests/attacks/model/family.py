"""A parent, its branches and those who work for them, and the small moves that they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

SPREADING: Final = "spreading"
FAILED: Final = "failed_from_spreading"
NEXT: Final = "next"
CANCELLED: Final = "cancelled"

#: How a branch stands to its parent. What was ended with it, once it had left the step, is nobody's any more.
ABSENT: Final = "absent"
ACTIVE: Final = "active"
DONE: Final = "done"
BROKEN: Final = "failed"
ENDED: Final = "ended"

JOB: Final = "job"
JOIN: Final = "join"

FAR: Final = "far"
LATER: Final = "later"
NEAR: Final = "near"
DUE: Final = "due"

MAKES: Final = "makes branches"
LOOKS: Final = "is to look at the parent"
READ: Final = "has read the parent"
COUNTED: Final = "has read the branches"
LOOKED: Final = "has looked at the parent"
ALIGNS: Final = "passes down"

# What must hold, by the numbers of the invariants that fsmflow promises.
LEAVES_ONCE: Final = "7: a parent leaves its fan-out once per epoch"
JOINS_LAST: Final = "7: a join comes after the last branch"
JOINS_RIGHTLY: Final = "7: a join is done if all are done, else failed"
PAUSED_WAITS: Final = "6: a paused parent is not joined"
ENDS_WHAT_IS_LEFT: Final = "6: what a parent has left is ended"
PAUSE_REACHES: Final = "6: a pause and its end reach the branches"
REVIVES_ONCE: Final = "8: a retry runs again once what failed"


class Rules(NamedTuple):
    """What the protocol asks for. As it is here, it is right."""

    #: A join asks that the parent's revision be the one that was read.
    join_compares: bool = True
    #: Which branches failed is read once it has been read that all have settled.
    reads_failures_last: bool = True
    #: Who settles a branch looks at the parent after its commit; else before it.
    looks_after: bool = True
    #: Somebody looks at parents that are due.
    reconciles: bool = True
    #: The commit of a branch makes its parent due soon.
    nudges: bool = True
    #: Whoever sweeps puts the parent off before it looks, and again after, only where nobody has changed that since.
    puts_off_first: bool = True
    puts_off_untouched: bool = True
    #: Branches are made, and run again, under the claim of the parent's attempt.
    making_is_guarded: bool = True
    #: What has been run again since the parent was retried has had its run.
    remembers_revived: bool = True
    #: A branch that is run again brings its parent back in the same commit.
    reopens: bool = True
    #: What is made, or run again, under a parent that is paused is paused from its beginning.
    making_asks_pause: bool = True
    reviving_asks_pause: bool = True
    #: What is to be passed down is noted in the commit that causes it.
    notes_tasks: bool = True
    #: That a parent has left the step ends what has failed too.
    ends_failed: bool = True
    #: Who finds at last that a branch has changed since it was listed, looks at it again.
    passes_down_again: bool = True


RIGHT: Final = Rules()


class Bounds(NamedTuple):
    """How often each of these may happen."""

    crashes: int = 0
    expiries: int = 0
    failures: int = 0
    pauses: int = 0
    cancels: int = 0
    retries: int = 0
    branch_retries: int = 0


class Actor(NamedTuple):
    """A worker that makes branches, or somebody who looks after the parent. ``live``: what it holds is still its own;
    ``fresh``: the parent is as it was read; ``untouched``: nobody has changed when the parent is due since the sweeper
    read that.
    """

    stage: str
    sweeps: bool = False
    live: bool = False
    fresh: bool = False
    epoch: int = 0
    verdict: str = ""
    untouched: bool = False


class Ending(NamedTuple):
    """How the worker of a branch has decided that it ends. ``nudges``: by when the parent was due at that moment, its
    commit makes it due soon; not, once somebody has changed that."""

    verdict: str
    nudges: bool


class Branch(NamedTuple):
    """``revived``: how often it was run again since the parent came back. ``ending``: what its worker will commit.
    ``listed``: it was found to be out of line with its parent."""

    standing: str = ABSENT
    revived: int = 0
    paused: bool = False
    ending: Ending | None = None
    listed: bool = False


class Parent(NamedTuple):
    state: str = SPREADING
    epoch: int = 1
    paused: bool = False
    work: str = JOB
    claimed: bool = False
    due: str = NEAR

    @property
    def waits(self) -> bool:
        """Whether it watches its branches, and somebody may look after it."""
        return self.state == SPREADING and self.work == JOIN and not self.paused


class Record(NamedTuple):
    """What an observer notes who sees all."""

    left_twice: bool = False
    joined_early: bool = False
    joined_wrongly: bool = False
    joined_paused: bool = False


class World(NamedTuple):
    """``tasks``: it is noted that something is to be passed down to the branches."""

    left: Bounds
    branches: tuple[Branch, ...]
    parent: Parent = Parent()
    actors: tuple[Actor, ...] = ()
    tasks: bool = False
    record: Record = Record()

    @property
    def passes_down(self) -> bool:
        """Whether what its branches are to be told is on its way."""
        return self.tasks or any(actor.stage == ALIGNS for actor in self.actors)


def maker_of(parent: Parent) -> Actor:
    return Actor(MAKES, live=True, epoch=parent.epoch)


def back_in_step(parent: Parent, work: str) -> Parent:
    return Parent(SPREADING, parent.epoch + 1, parent.paused, work, due=FAR)


def is_in_line(parent: Parent, branch: Branch) -> bool:
    """Whether a branch is as its parent wants it: ended where that has left the step, paused where it is. What has
    failed is, while the parent may yet be retried."""
    if branch.standing == BROKEN:
        return parent.state in (SPREADING, FAILED)
    return branch.standing != ACTIVE or (parent.state == SPREADING and branch.paused == parent.paused)


def without(members: Sequence[Any], member: Any) -> tuple[Any, ...]:
    place = members.index(member)
    return (*members[:place], *members[place + 1 :])


def with_actor(world: World, actor: Actor) -> World:
    return world._replace(actors=(*world.actors, actor))


def with_branch(world: World, branch: Branch) -> World:
    return world._replace(branches=(*world.branches, branch))


def turned(world: World, branch: Branch, after: Branch) -> World:
    return with_branch(world._replace(branches=without(world.branches, branch)), after)


def spend(world: World, bound: str) -> World:
    return world._replace(left=world.left._replace(**{bound: getattr(world.left, bound) - 1}))


def moved(world: World, parent: Parent) -> World:
    """The parent is written: its revision is no longer what anybody has read."""
    actors = tuple(actor._replace(fresh=False) for actor in world.actors)
    return world._replace(parent=parent, actors=actors)


def unclaimed(world: World) -> World:
    """No claim of the parent's attempt is live any more."""
    return world._replace(actors=tuple(actor._replace(live=False) for actor in world.actors))


def woken(world: World, due: str) -> World:
    """When the parent is due is written anew: it is no longer what anybody remembers."""
    actors = tuple(actor._replace(untouched=False) for actor in world.actors)
    branches = tuple(
        branch if branch.ending is None else branch._replace(ending=branch.ending._replace(nudges=False))
        for branch in world.branches
    )
    return world._replace(parent=world.parent._replace(due=due), actors=actors, branches=branches)
