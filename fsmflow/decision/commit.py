"""A decision as a value: what one transaction writes, the rows of ``event`` among it."""

from __future__ import annotations

from fsmflow.decision.entity import Claim, Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.kind import Kind
from fsmflow.definition.own_field import OwnField
from fsmflow.errors import FsmflowError
from fsmflow.values import dataclass


class EventKind(Kind):
    """What a row of ``event`` is, each used up by the commit that acts on it.

    A key that was used; an event that came too early; a message, one that found nobody, and how one
    ended, for its sender; a step that can be undone,
    what it returned, and that a retry gave it new keys; something to be passed down to branches; what one of two people
    asked for.
    """

    KEY = "key"
    KEPT = "kept"
    SENT = "sent"
    LOST = "lost"
    ANSWER = "answer"
    ENTERED = "entered"
    RETURNED = "returned"
    FRESH = "fresh"
    ALIGN = "align"
    ASKED = "asked"


@dataclass(frozen=True, kw_only=True)
class Post:
    """A row to be written to ``event``: an event that is kept or sent, a step that may be undone, or something to
    be passed down."""

    kind: EventKind
    trigger: str
    text: str | None = None
    key: str | None = None
    actor: str | None = None
    at: int
    due_at: int | None = None
    seq: int | None = None
    #: Until when an event is kept. How often it was tried in vain, and why that was.
    until: int | None = None
    tries: int = 0
    why: str | None = None
    #: The entity that it belongs to, where it is not the one that is decided.
    entity: int | None = None


@dataclass(frozen=True, kw_only=True)
class Posted(Post):
    """A row of ``event`` as it was read."""

    id: int
    entity: int


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What is changed of a row of ``event`` that was tried: ``id`` is its own."""

    id: int
    tries: int
    why: str | None
    due_at: int | None


def alignment(now: int) -> Post:
    """What brings the branches of a parent in line with it."""
    return Post(kind=EventKind.ALIGN, trigger=EventKind.ALIGN.value, at=now, due_at=now)


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A decision: what one transaction writes, on condition that the entity still has ``before.revision`` and, with
    ``claim``, that the claim is still live. ``before`` None starts the entity.

    ``key`` belongs to the entry of that number; ``form`` is that of the request which brought it. ``posts`` are written
    to ``event``, ``takes`` are the rows of it that are used up: one that is gone already makes the commit fail.
    ``marks`` are rows that were tried and stay. ``told`` are branches that the parent has been told of, each with the
    revision that it was told of. ``frees``: the failed children of this step go by themselves from now on. ``also`` is
    committed with it. ``status_field`` gets the state in the user's own row; ``lenient`` goes on where that row is
    gone. ``erases``: what earlier lines of history and the rows of ``event`` hold of people goes with it. ``search``:
    the fields by which it is found.
    """

    before: Snapshot | None
    after: Snapshot
    entries: tuple[HistoryEntry, ...]
    key: str | None = None
    key_entry: int = 0
    form: str | None = None
    claim: Claim | None = None
    posts: tuple[Post, ...] = ()
    takes: tuple[int, ...] = ()
    marks: tuple[Mark, ...] = ()
    told: tuple[tuple[int, int], ...] = ()
    frees: int | None = None
    also: tuple[Commit, ...] = ()
    status_field: OwnField | None = None
    search: tuple[str, ...] = ()
    lenient: bool = False
    erases: bool = False

    @property
    def rings(self) -> bool:
        """Whether the commit leaves a job that wants to be dispatched at once."""
        work = self.after.work
        if work is None or not work.runs or work.rung_at is None or work.owner is not None:
            return False
        return self.before is None or work is not self.before.work

    @property
    def claims_next(self) -> bool:
        """Whether it ends a step and claims the next one with the same token."""
        before, work = self.before, self.after.work
        if before is None or work is None or work.owner is None:
            return False
        return before.epoch != self.after.epoch


class CommitLost(FsmflowError):
    """Somebody else wrote first: decide again on what is there now."""
