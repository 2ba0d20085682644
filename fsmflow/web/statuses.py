"""Which status of HTTP each error has, what it is called, and by which name programs know it."""

from __future__ import annotations

from typing import Final, NamedTuple

from fsmflow.engine.cursors import FeedAhead, FeedInUse, UnknownFeed
from fsmflow.engine.groups import UnknownGroup
from fsmflow.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    DataError,
    EntityExists,
    EntityNotFound,
    FsmflowError,
    GuardError,
    KeyConflict,
    MergeError,
    NotPermitted,
    RedisUnavailable,
    SearchStopped,
    TransitionConflict,
    TransitionNotAllowed,
    UnknownBranch,
    UnknownMachine,
    UnknownState,
    UnknownVersion,
    text_of,
)


class Status(NamedTuple):
    """``name``: the end of the ``type`` of a problem."""

    code: int
    name: str
    title: str


#: The first that fits.
STATUSES: Final[tuple[tuple[type[FsmflowError], Status], ...]] = (
    (NotPermitted, Status(403, "not-permitted", "Not permitted")),
    (EntityNotFound, Status(404, "not-found", "Not found")),
    (UnknownMachine, Status(404, "unknown-machine", "Not found")),
    (UnknownGroup, Status(404, "unknown-group", "Not found")),
    (UnknownFeed, Status(404, "unknown-feed", "Not found")),
    (UnknownBranch, Status(404, "unknown-branch", "Not found")),
    (TransitionConflict, Status(409, "conflict", "It has moved meanwhile")),
    (TransitionNotAllowed, Status(409, "not-allowed", "Not allowed now")),
    (EntityExists, Status(409, "exists", "It is there already")),
    (FeedInUse, Status(409, "feed-in-use", "Somebody else reads it")),
    (FeedAhead, Status(409, "feed-ahead", "It has read what is not there")),
    (UnknownVersion, Status(409, "unknown-version", "Newer than this code")),
    (UnknownState, Status(422, "unknown-state", "There is no such state")),
    (KeyConflict, Status(422, "key-conflict", "The key was used for something else")),
    (GuardError, Status(422, "guard-failed", "A guard of the machine failed")),
    (MergeError, Status(422, "merge-failed", "The machine could not merge data")),
    (SearchStopped, Status(422, "search-stopped", "Too much to search")),
    (DataError, Status(422, "wrong-data", "Not as it has to be")),
    (DatabaseUnavailable, Status(503, "database-unavailable", "The database does not answer")),
    (RedisUnavailable, Status(503, "redis-unavailable", "Redis does not answer")),
    (ConfigurationError, Status(503, "not-at-hand", "Not at hand")),
    (FsmflowError, Status(422, "refused", "Refused")),
)
#: Where somebody asked with ``If-Match`` for an entity that has moved since.
STALE: Final = Status(412, "stale", "It has moved since you looked")
#: What is no error of fsmflow: the code of a machine raised.
RAISED: Final = Status(422, "machine-raised", "The code of the machine raised")


def told_on_pages(error: FsmflowError) -> str:
    """Why something was refused, in words for people before a page: they pass no actor, and no option."""
    if isinstance(error, EntityExists):
        return f"{error.address} exists already{f', in {error.state!r}' if error.state else ''}; choose another id"
    if not isinstance(error, NotPermitted) or error.words is not None or not error.roles:
        return text_of(error)
    needed = " or ".join(error.roles)
    return (
        f"{error.address}: {error.trigger!r} takes the role {needed}, which {error.actor or 'nobody'} does not have. "
        f"Ask somebody who has it"
    )


def status_of(error: FsmflowError) -> Status:
    """The status of an error."""
    return next(status for kind, status in STATUSES if isinstance(error, kind))
