"""Named points in the code, where a crash, a lost reply or a delay would matter. Free of cost while nobody listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: Every point, and where it stands.
POINTS: Final = {
    "pop.after": "a worker has taken a doorbell from its queue, and Redis is told next who it was",
    "take.after": "a worker has taken a doorbell, and its supervisor is told next which one",
    "claim.before": "a worker has taken a doorbell from its queue, and claims the attempt next",
    "claim.after": "the attempt is claimed, its job has not begun",
    "ask.before": "an attempt that is claimed asks for its permits next",
    "permit.before": "permits are given, or the attempt is back in line, and the COMMIT of that comes next",
    "pass.before": "an attempt has ended, and those who wait for its permits are called next",
    "call.before": "those for whom there is room are called, or one is claimed, and the COMMIT of that comes next",
    "job.before": "the job begins next, or the making of branches",
    "heartbeat.before": "a job tells that it is alive",
    "spread.page": "a page of branches is committed, and not yet dispatched",
    "settle.before": "the job has ended, nothing of that is committed",
    "transaction.before": "all that a transactional job wrote, and its transition, are committed next",
    "commit.before": "all of a decision is written, its COMMIT comes next",
    "commit.after": "a decision is committed, nothing that follows from it is done",
    "settle.after": "an attempt is settled, and the next step not yet dispatched",
    "ring.before": "doorbells go to Redis next",
    "ring.after": "Redis has them",
    "ring.noted": "a further dispatch is noted in SQL, and Redis does not have it yet",
    "look.before": "a parent is looked after as its branches settle",
    "join.before": "a parent leaves its step next, as all branches have settled",
    "admit.before": "a branch that waited for its turn goes next",
    "align.before": "a branch is told next what its parent passes down",
    "align.after": "branches are in line with their parent, and the task to bring them there is still noted",
    "revive.before": "a branch that failed comes back next, as its parent is retried",
    "deliver.before": "a message is delivered next",
    "fire.before": "a timer, a retry or a deadline fires next",
    "expire.before": "an attempt ends next, as its lease has run out",
    "lost.before": "an attempt ends next, as its worker process is gone",
    "release.before": "an attempt is given back next, as its worker process was told to stop at once",
    "flush.before": "Redis has lost what it had, and the jobs that it should have become due next",
    "flush.after": "they are due, and Redis is not yet marked",
    "renew.before": "the leases of all running attempts are renewed next",
    "schedule.before": "a tick of a schedule is noted, and its entity started, in a transaction that is open",
    "prune.before": "finished entities are deleted, with all that belongs to them, in a transaction that is open",
    "members.page": "a page of the members of a repair is committed, and others may follow",
    "members.asked": "a repair has asked some of its members, and notes that next",
    "alarm.seen": "there is something to be alarmed about, and an alarm is raised next",
    "alarm.raised": "an alarm is raised, or over, and somebody is told of it next",
    "alarm.told": "somebody was told of an alarm, and that is noted next",
    "start.page": "a page of start_many is committed, and not yet dispatched",
}

#: Told of each point that is passed: its name, and the address of the entity that it is about, or ``#`` and its row.
Listener = Callable[[str, str], None]


class _Heard:
    def __init__(self) -> None:
        self.by: Listener | None = None


_heard = _Heard()


def point(name: str, about: str | int) -> None:
    """Pass a point. ``about``: the address of an entity, or its row."""
    if _heard.by is not None:
        _heard.by(name, about if isinstance(about, str) else f"#{about}")


def listen(listener: Listener | None) -> None:
    """From now on, tell ``listener`` of each point in this process; None ends that."""
    _heard.by = listener
