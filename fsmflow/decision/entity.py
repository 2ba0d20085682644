"""The values that decisions are made of. All frozen; moments are UTC milliseconds unless they are datetimes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from fsmflow import clock, codec
from fsmflow.errors import DataError, shown

#: ``work.wake_at`` of what is held.
FAR_FUTURE_MS: Final = 2**52
#: How long a doorbell may take to be answered before somebody looks after it.
GRACE_MS: Final = 5_000
#: How long after a branch has settled somebody looks at its parent, where nobody did so at once.
NUDGE_MS: Final = 5_000
MAX_CRASHES: Final = 3
MAX_POSTPONED: Final = 1_000
MAX_TEXT: Final = 200
MAX_REASON: Final = 8 * 1024
#: What comes with one event; data may be larger.
MAX_PAYLOAD_BYTES: Final = 64 * 1024

#: Kinds of work: a job to be run; more branches to be made; a timer; branches to wait for, and the same with more of
#: them still to come.
JOB: Final = "job"
MORE: Final = "more"
TIMER: Final = "timer"
JOIN: Final = "join"
WINDOW: Final = "window"

#: How a branch stands to its parent: waits for its turn, is on its way, or has settled.
QUEUED: Final = 0
ACTIVE: Final = 1
DONE_BRANCH: Final = 2
FAILED_BRANCH: Final = 3
#: Added once a parent that asks for ``branch_done`` and ``branch_failed`` has been told.
TOLD: Final = 2

#: Kinds of rows of ``event``, besides the keys of triggers.
KEPT: Final = "kept"
SENT: Final = "sent"
LOST: Final = "lost"
ENTERED: Final = "entered"
RETURNED: Final = "returned"
FRESH: Final = "fresh"
ALIGN: Final = "align"


@dataclass(frozen=True)
class Actor:
    """Who asks for a transition, and in which roles."""

    name: str
    roles: frozenset[str] = frozenset()

    def __init__(self, name: str, roles: Iterable[str] = ()) -> None:
        object.__setattr__(self, "name", checked_text(name, "actor"))
        names = [roles] if isinstance(roles, str) else list(roles) if isinstance(roles, Iterable) else [roles]
        if not all(isinstance(role, str) for role in names):
            raise DataError(f"the roles of actor {name!r} are {shown(roles)}; they are names")
        object.__setattr__(self, "roles", frozenset(names))


class Outcome:
    """What a job returns to fire another trigger than ``done``; the fields are merged into data."""

    __slots__ = ("data", "trigger")

    def __init__(self, trigger: str, /, **data: Any) -> None:
        self.trigger = trigger
        self.data = data

    def __repr__(self) -> str:
        fields = "".join(f", {key}={value!r}" for key, value in self.data.items())
        return f"Outcome({self.trigger!r}{fields})"


@dataclass(frozen=True, kw_only=True)
class Event:
    """A trigger as it was received: what guards and jobs see as ``machine.event``."""

    trigger: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    actor: str | None = None
    at: datetime

    def to_text(self) -> str:
        at = clock.from_datetime(self.at)
        return codec.encode(
            {"trigger": self.trigger, "payload": self.payload, "actor": self.actor, "at": at}, what="payload"
        )

    @classmethod
    def from_text(cls, text: str) -> Event:
        stored = codec.decode(text)
        return cls(**{**stored, "at": clock.to_datetime(stored["at"])})


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt failed. ``attempts`` counts the runs of the step so far; ``fingerprint`` is the same for
    failures of the same kind in the same state."""

    error_type: str
    message: str
    traceback: str
    state: str
    attempts: int
    at: datetime
    fingerprint: str
    permanent: bool

    def to_text(self) -> str:
        return codec.encode({**self.__dict__, "at": clock.from_datetime(self.at)}, what="failure")

    @classmethod
    def from_text(cls, text: str) -> Failure:
        stored = codec.decode(text)
        return cls(**{**stored, "at": clock.to_datetime(stored["at"])})


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """One line of an entity's history. ``dest`` is the state after it, ``actor`` a name, ``duration`` seconds."""

    seq: int
    kind: str
    at: datetime
    trigger: str | None
    source: str | None
    dest: str
    epoch: int
    attempt: int | None = None
    actor: str | None = None
    reason: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    failure: Failure | None = None
    duration: float | None = None


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an entity has to do next, or is doing. ``owner`` is the token of the claim that runs it; ``held`` is
    the time that is left on a paused timer; ``rung_at`` when its doorbell was last rung, None if it was not."""

    epoch: int
    kind: str
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
    #: When ``timeout`` fires in a state that also has a job or branches; of held work, the time that is left of it.
    deadline: int | None = None

    @property
    def runs(self) -> bool:
        """Whether a worker is to do it."""
        return self.kind in (JOB, MORE)

    @property
    def watches(self) -> bool:
        """Whether it waits for branches."""
        return self.kind in (JOIN, WINDOW)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a worker holds while it runs an attempt: every write of its result is guarded by all of it."""

    row: int
    epoch: int
    attempt: int
    fence: int
    owner: str

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether the claim is still the live one."""
        work = snapshot.work
        return work is not None and (work.epoch, work.attempt, work.fence, work.owner) == (
            self.epoch,
            self.attempt,
            self.fence,
            self.owner,
        )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An entity as its row and its work row were at one moment. Texts are in the form of ``codec``."""

    row: int
    machine: str
    entity_id: str
    state: str
    phase: str
    epoch: int
    revision: int
    seq: int
    data_text: str
    step: int
    event_text: str
    result_text: str | None = None
    failure_text: str | None = None
    fingerprint: str | None = None
    paused: bool = False
    version: int = 1
    created_at: int
    entered_at: int
    updated_at: int
    parent: int | None = None
    parent_step: int | None = None
    parent_index: int | None = None
    branch_of: str | None = None
    item_text: str | None = None
    standing: int | None = None
    kept: int = 0
    work: Work | None = None
    #: What its state is called in the database, where that was renamed since. Not stored itself.
    stored_as: str | None = None

    @property
    def has_settled(self) -> bool:
        """Whether this is a branch or child that its parent need not wait for."""
        return self.standing is not None and self.standing > ACTIVE

    @property
    def address(self) -> str:
        return f"{self.machine}:{self.entity_id}"

    @property
    def data(self) -> dict[str, Any]:
        """A fresh copy of the data."""
        return dict(codec.decode(self.data_text))

    @property
    def event(self) -> Event:
        """What first entered the step that the entity is in."""
        return Event.from_text(self.event_text)

    @property
    def failure(self) -> Failure | None:
        return Failure.from_text(self.failure_text) if self.failure_text else None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a branch or child belongs: to which step of which parent, and as what part of it."""

    parent: int | None = None
    parent_step: int | None = None
    parent_index: int | None = None
    branch_of: str | None = None
    item_text: str | None = None
    standing: int | None = None


@dataclass(frozen=True, kw_only=True)
class Post:
    """A row to be written to ``event``: an event that is kept or sent, a step that may be undone, a task to do."""

    kind: str
    trigger: str
    text: str | None = None
    key: str | None = None
    actor: str | None = None
    at: int
    due_at: int | None = None
    seq: int | None = None


@dataclass(frozen=True, kw_only=True)
class Posted(Post):
    """A row of ``event`` as it was read."""

    id: int
    entity: int


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A decision: what one transaction writes, on condition that the entity still has ``before.revision`` and,
    with ``claim``, that the claim is still live. ``before`` None starts the entity.

    ``key`` belongs to the entry of that number. ``posts`` are written to ``event``, ``takes`` are the rows of it that
    are used up: one that is gone already makes the commit fail. ``told`` are branches that the parent has been told of.
    ``also`` is committed with it. ``status_field`` gets the state in the user's own row; ``lenient`` goes on where that
    row is gone.
    """

    before: Snapshot | None
    after: Snapshot
    entries: tuple[HistoryEntry, ...]
    key: str | None = None
    key_entry: int = 0
    claim: Claim | None = None
    posts: tuple[Post, ...] = ()
    takes: tuple[int, ...] = ()
    told: tuple[int, ...] = ()
    also: tuple[Commit, ...] = ()
    status_field: Any = None
    lenient: bool = False

    @property
    def rings(self) -> bool:
        """Whether the commit leaves a job that wants to be dispatched at once."""
        work = self.after.work
        if work is None or not work.runs or work.rung_at is None or work.owner is not None:
            return False
        return self.before is None or work is not self.before.work


def checked_text(text: object, what: str, *, limit: int = MAX_TEXT) -> str:
    """``text``, where it can stand as an id, a key or a name. Raises DataError."""
    if not isinstance(text, str):
        raise DataError(f"{what} is {shown(text)}; it must be text")
    text = str.__str__(text)
    if not text:
        raise DataError(f"{what} is empty")
    if len(text) > limit:
        raise DataError(f"{what} has {len(text)} characters; {limit} are allowed: {text[:40]!r}...")
    if any(ord(char) < 32 or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000 for char in text):
        raise DataError(f"{what} {text[:60]!r} has control characters")
    return text


def checked_reason(reason: str | None) -> str | None:
    """A reason as it may be stored: text of at most 8 KB, line breaks allowed. Raises DataError."""
    if reason is None or reason == "":
        return None
    in_one_line = re.sub(r"[\r\n\t]", " ", reason) if isinstance(reason, str) else reason
    checked_text(in_one_line, "reason", limit=MAX_REASON)
    return reason
