"""The work of an entity as a value: dispatched, held by a pause, let go again, hurried by a deadline."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from fsmflow.decision.kind import Kind
from fsmflow.observers import carried
from fsmflow.values import dataclass, replace

#: ``work.wake_at`` of what is held.
FAR_FUTURE_MS: Final = 2**52
#: ``work.parked`` of what waits in the line of a limit; the numbers of holds begin with 1.
IN_LINE: Final = -1
#: How long a doorbell may take to be answered before somebody looks after it.
GRACE_MS: Final = 5_000
MAX_GRACE_MS: Final = 60_000
#: How long after a branch has settled somebody looks at its parent, where nobody did so at once.
NUDGE_MS: Final = 5_000
MAX_CRASHES: Final = 3
#: What cannot go on is tried again after this, then after twice as long each time, up to the most.
AGAIN_MS: Final = 30_000
MOST_AGAIN_MS: Final = 600_000


class WorkKind(Kind):
    """What there is to do: run a job; make more branches; wait for a timer; wait for branches (``JOIN``), and the same
    with more of them still to come (``WINDOW``)."""

    JOB = "job"
    MORE = "more"
    TIMER = "timer"
    JOIN = "join"
    WINDOW = "window"

    @property
    def runs(self) -> bool:
        """Whether a worker is to do it."""
        return self in RUNS

    @property
    def watches(self) -> bool:
        """Whether it waits for branches."""
        return self in WATCHES


RUNS: Final = frozenset({WorkKind.JOB, WorkKind.MORE})
WATCHES: Final = frozenset({WorkKind.JOIN, WorkKind.WINDOW})


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an entity has to do next, or is doing. ``owner`` is the token of the claim that runs it; ``held`` is
    the time that is left on a paused timer; ``rung_at`` when its doorbell was last rung, None if it was not."""

    epoch: int
    kind: WorkKind
    attempt: int = 1
    dispatch: int = 0
    fence: int = 0
    owner: str | None = None
    lease_until: int | None = None
    wake_at: int
    rung_at: int | None = None
    held: int | None = None
    queue: str | None = None
    failures: int = 0
    crashes: int = 0
    postponed: int = 0
    progress: float | None = None
    #: How often what is due was tried in vain, and why that was.
    tries: int = 0
    why: str | None = None
    #: The hold that keeps it back, though it was due: ``wake_at`` is when that ends. ``IN_LINE`` for a limit.
    parked: int | None = None
    #: When ``timeout`` fires in a state that also has a job or branches; of held work, the time that is left of it.
    deadline: int | None = None
    #: Its deadline has come and could not be taken; ``deadline`` is when that is tried again, ``why`` is about that.
    overdue: bool = False
    #: What it was begun by, as W3C's traceparent, where somebody traces that. Later attempts go on with it.
    trace: str | None = field(default_factory=carried)

    @property
    def runs(self) -> bool:
        """Whether a worker is to do it."""
        return self.kind in RUNS

    @property
    def watches(self) -> bool:
        """Whether it waits for branches."""
        return self.kind in WATCHES

    @property
    def waits(self) -> bool:
        """Whether it is a job that waits out its interval, after a failure or as it was put off."""
        free = self.owner is None and self.held is None and self.parked is None
        return self.runs and free and self.rung_at is None

    @property
    def is_in_line(self) -> bool:
        """Whether it is a job that waits for a permit of a limit."""
        return self.parked == IN_LINE

    @property
    def is_stuck_timer(self) -> bool:
        """Whether it is a timer, or a deadline beside whatever else it is for, that was due and could not fire."""
        return self.tells_of_timer and self.held is None

    @property
    def tells_of_timer(self) -> bool:
        """Whether ``tries`` and ``why`` are about a timer or a deadline, in a pause too."""
        return self.tries > 0 and (self.kind is WorkKind.TIMER or self.overdue)

    def is_over(self, now: int) -> bool:
        """Whether its deadline has come, over whatever else it is for."""
        return self.deadline is not None and self.held is None and self.deadline <= now


def again_ms(tries: int, first_ms: int = AGAIN_MS) -> int:
    """How long what has been tried so often, in vain, is left alone."""
    return int(min(first_ms * 2 ** min(tries - 1, 20), MOST_AGAIN_MS))


def dispatched(work: Work, now: int) -> Work:
    """A job that wants to be run now: its doorbell is about to be rung, and looked after if nobody answers."""
    return replace(work, rung_at=now, wake_at=now + GRACE_MS)


def grace(dispatch: int) -> int:
    """How long the ``dispatch``-th doorbell may take to be answered, in milliseconds."""
    return int(min(GRACE_MS * 2 ** min(dispatch, 10), MAX_GRACE_MS))


def hurried(work: Work) -> Work:
    """Work that is due no later than at its deadline."""
    if work.deadline is None or work.held is not None:
        return work
    return replace(work, wake_at=min(work.wake_at, work.deadline))


def claimed(work: Work, owner: str, lease_until: int) -> Work:
    """Work that is claimed as soon as it is there: what the claim of a doorbell would make of it."""
    return hurried(replace(work, fence=work.fence + 1, owner=owner, lease_until=lease_until, wake_at=lease_until))


def hold(work: Work, now: int) -> Work:
    """Unclaimed work of a paused entity: not due, and the time that it has left noted."""
    if work.owner is not None or work.held is not None:
        return work
    was_due = work.rung_at is not None or work.watches or work.parked is not None
    remaining = 0 if was_due else max(0, work.wake_at - now)
    left = None if work.deadline is None else max(0, work.deadline - now)
    return replace(work, held=remaining, wake_at=FAR_FUTURE_MS, rung_at=None, deadline=left, parked=None)


def let_go(work: Work, now: int) -> Work:
    """Held work let go: a job that was due is dispatched at once, all else gets its remaining time back."""
    if work.held is None:
        return work
    deadline = None if work.deadline is None else now + work.deadline
    freed = replace(work, held=None, wake_at=now + work.held, deadline=deadline)
    if work.runs and work.held == 0:
        freed = replace(dispatched(freed, now), dispatch=work.dispatch + 1)
    return hurried(freed)
