"""What can happen to an entity: the inputs of ``decide``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Self

from fsmflow import codec
from fsmflow.decision.commit import Posted
from fsmflow.decision.context import Branch
from fsmflow.decision.entity import Claim, Failure
from fsmflow.decision.failure import Facts
from fsmflow.decision.inputs import Actor, checked_epoch, checked_reason, checked_text
from fsmflow.decision.merge import Merged, Resolve, merge
from fsmflow.decision.messages import Answer, Message, Recall
from fsmflow.errors import DatabaseRefused, DataError, shown
from fsmflow.values import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What all requests from outside have in common. ``key``: repeated with it, the request changes nothing again.
    ``form``: a digest of
    all that came with it; with the same key and another form it is another request. ``epoch``: what was seen of the
    entity; it is refused where that has moved since. ``confirms``: the row that says
    who else has asked for it, where it takes two people."""

    actor: Actor | None = None
    reason: str | None = None
    key: str | None = None
    form: str | None = None
    epoch: int | None = None
    confirms: Posted | None = None

    def checked(self) -> Self:
        """The same, where all that was handed in with it can be. Raises DataError."""
        if self.key is not None:
            checked_text(self.key, "key")
        checked_epoch(self.epoch)
        return replace(self, reason=checked_reason(self.reason))


@dataclass(frozen=True, kw_only=True)
class Triggered(Asked):
    """A trigger from outside. ``patch`` is merged into data first; ``new_key`` makes a retry a new step. ``internal``:
    fsmflow fires it, and may fire what belongs to one of its own machines."""

    trigger: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    patch: Mapping[str, Any] = field(default_factory=dict)
    new_key: bool = False
    internal: bool = False

    def checked(self) -> Self:
        """The same, where all that was handed in with it can be. Raises DataError."""
        if not isinstance(self.trigger, str):
            raise DataError(f"a trigger is named by text, not by {shown(self.trigger)}")
        if not isinstance(self.new_key, bool):
            raise DataError(f"new_key is {shown(self.new_key)}; it is True or False")
        return super().checked()


@dataclass(frozen=True, kw_only=True)
class Proposed(Asked):
    """Note that one of two people asks for an action: as it is ``told``, and as its options' ``digest``. ``stale``:
    rows of earlier ones that are void."""

    action: str
    told: str
    digest: str
    within_ms: int
    stale: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Paused(Asked):
    """Hold what comes next."""


@dataclass(frozen=True, kw_only=True)
class Resumed(Asked):
    """Let go of what was held."""


@dataclass(frozen=True, kw_only=True)
class Replanned(Asked):
    """Start the work of the state, which has none."""


@dataclass(frozen=True, kw_only=True)
class TimerFired:
    """The deadline or delay of the state is over. ``refusals``: what the database has refused of that."""

    refusals: tuple[DatabaseRefused, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Settling:
    """What all ends of an attempt have in common. ``refusals``: what the database has refused of it so far."""

    claim: Claim
    duration_ms: int | None = None
    refusals: tuple[DatabaseRefused, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The top-level keys of data that a job set or removed. ``base``: what was there under these as it began, where
    anything was; ``began_with``: the stored form of all of the data then, empty where that is not known any more.
    ``edited``: the keys that a retry has set since."""

    changed: Mapping[str, Any] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    base: Mapping[str, Any] = field(default_factory=dict)
    began_with: str = ""
    edited: frozenset[str] = frozenset()

    def applied_to(self, data: Mapping[str, Any], resolve: Resolve | None = None) -> Merged:
        """``data``, as others may have changed them since, merged with the changes. Raises what ``resolve`` raises,
        and DataError."""
        keys = (*self.changed, *self.removed)
        theirs = {key: data[key] for key in keys if key in data}
        mine = codec.decode(codec.encode(dict(self.changed), limit=2**31))
        merged = merge(self.base, theirs, mine, resolve, self.edited)
        kept = {key: value for key, value in data.items() if key not in self.removed}
        return replace(merged, data={**kept, **merged.data})

    def laid_over(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """``data``, which nobody else has changed, with the changes."""
        return {**{key: value for key, value in data.items() if key not in self.removed}, **self.changed}


@dataclass(frozen=True, kw_only=True)
class Returned(Settling):
    """The job returned: fire ``trigger`` with its changes merged and what it sent committed.

    ``result`` is what it returned, for an undo and for the parent of a branch. ``runs_on_ms``: whoever reports it takes
    the next step, too, and holds its claim for so long; None where others may have that.
    """

    trigger: str
    changes: Changes
    result: Any = None
    runs_on_ms: int | None = None
    sent: tuple[Message | Recall, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Unacceptable(Settling):
    """The result could be decided, and not committed: withhold it, and rest."""

    returned: Returned
    error: BaseException


@dataclass(frozen=True, kw_only=True)
class Failed(Settling):
    """The job raised, or ran out of time. ``overdue``: that of the whole step is over."""

    facts: Facts
    overdue: bool = False


@dataclass(frozen=True, kw_only=True)
class Postponed(Settling):
    """The job raised RetryAfter."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Crashed(Settling):
    """The process that ran the attempt is gone, or stopped renewing its lease."""

    detail: str


@dataclass(frozen=True, kw_only=True)
class Saved(Settling):
    """The job asked to commit its data now."""

    changes: Changes
    sent: tuple[Message | Recall, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Spread(Settling):
    """The branches of a step are there, all of them or so many that others have to end first.

    ``items``: the mark of the items, once all have been read. ``changes`` says which of them are other ones than those
    that branches were made for.
    """

    items: str | None
    changes: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether no more are to come."""
        return self.items is not None


@dataclass(frozen=True, kw_only=True)
class MoreWanted:
    """Branches have ended: make more of them."""


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A branch that waited for its turn may go."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """All branches have settled; ``failed`` of them failed, ``failure`` is that of the first of these. ``cancelled``
    others were ended. ``error``: why that could be decided and not committed; ``refusals``: what the database has
    refused of that."""

    failed: int
    cancelled: int = 0
    error: DataError | None = None
    refusals: tuple[DatabaseRefused, ...] = ()
    failure: Failure | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BranchSettled:
    """One branch has settled, and the parent asks to be told. ``revision`` is that of the branch: it is told as it
    is. ``refusals``: what the database has refused of that."""

    row: int
    revision: int
    branch: Branch
    refusals: tuple[DatabaseRefused, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Revived:
    """The parent is retried: run again what failed. ``state`` is where a cancelled one was; ``queued``: it waits for
    its turn."""

    state: str | None = None
    queued: bool = False
    new_key: bool = False


@dataclass(frozen=True, kw_only=True)
class Reopened(Asked):
    """A branch of a step that had failed goes on by itself: the parent goes back into it. ``paused``: whether it is
    held, as by a pause that its parent has ended while it rested."""

    paused: bool


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A message has arrived. ``refused``: why it cannot even be tried. ``quiet``: its sender is told nothing."""

    post: Posted
    event: Triggered
    refused: str | None = None
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Messages of this entity have ended. ``answers``: the rows that say so, with what they say."""

    answers: tuple[tuple[Posted, Answer], ...]


@dataclass(frozen=True, kw_only=True)
class KeptDue:
    """The time of an event that is kept is over, or it is tried again."""


@dataclass(frozen=True, kw_only=True)
class Dropped(Asked):
    """Take away an event that is kept, or a message: by its number, or what is kept by its trigger."""

    event: int | str


@dataclass(frozen=True, kw_only=True)
class Erased(Asked):
    """Take away what the entity holds of people, and all that is below it."""

    def checked(self) -> Self:
        """The same, where it says why. Raises DataError."""
        if not self.reason:
            raise DataError("what is erased is gone for good: say why, with reason=, as that is what stays of it")
        return super().checked()


@dataclass(frozen=True, kw_only=True)
class Discarded:
    """A message of this entity cannot be delivered."""

    post: Posted
    why: str


@dataclass(frozen=True, kw_only=True)
class Skipped(Asked):
    """Go on as if the step that failed had been done."""


@dataclass(frozen=True, kw_only=True)
class Rewound(Asked):
    """Go back to a state that the entity has been in."""

    state: str


@dataclass(frozen=True, kw_only=True)
class Forced(Asked):
    """Enter a state, whatever leads there."""

    state: str


Happening = (
    Asked
    | Settling
    | TimerFired
    | MoreWanted
    | Admitted
    | Joined
    | BranchSettled
    | Revived
    | Delivered
    | Answered
    | KeptDue
    | Discarded
)
