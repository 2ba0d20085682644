"""What each invariant says, and what to do where it does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsmflow.values import dataclass


@dataclass(frozen=True)
class Remedy:
    """``promise``: what holds. ``do``: what the reader can do where it does not."""

    promise: str
    do: str


_RESTORE: Final = (
    "rows were changed or lost behind fsmflow's back: compare them with a backup, and ask who writes there"
)
_PLACE: Final = "rows disagree, which no way of working leads to: put it right with 'fsmflow force', and report it"
_LOOK: Final = "is a worker running on that queue ('fsmflow stats')? 'fsmflow explain ADDRESS' says what it waits for"
_MACHINE: Final = "either the machine was changed since, or rows were changed behind fsmflow's back"

REMEDIES: Final[Mapping[str, Remedy]] = {
    "term-true": Remedy(
        "what an entity is found by is what its data hold",
        "code that does not know of 'search' wrote beside code that does, or rows were changed behind fsmflow's back: "
        "take the field out of 'search', run 'fsmflow init', put it back, and run it again",
    ),
    "history-gap": Remedy("history rows are numbered from 1 without gaps, up to the entity's seq", _RESTORE),
    "history-fold": Remedy(
        "each history row goes on from the one before, and all of them come to the entity", _RESTORE
    ),
    "history-account": Remedy("each history row says what happened, when and why", _RESTORE),
    "one-entry-per-epoch": Remedy("an epoch is entered once; so a step is left once", _RESTORE),
    "step-named": Remedy("a step is called by its state and its visit, as its idempotency key says", _RESTORE),
    "transition-legal": Remedy("each transition in history is one of the machine's", _MACHINE),
    "attempts-grow": Remedy("an attempt ends once", _RESTORE),
    "attempts-bounded": Remedy("a step is run again no more often than its retry allows", _MACHINE),
    "key-once": Remedy("a key is applied once", "look at both rows in 'fsmflow history ADDRESS', and report it"),
    "key-recorded": Remedy("a key that was applied is noted, and leads to its history row", _RESTORE),
    "status-carried": Remedy(
        "the row of an entity says its state, where the machine has a status_field",
        "find out who else writes that field; where its history tells that the database refused the state, make it "
        "take that; then write the entity's state into the row by an UPDATE of yours",
    ),
    "state-known": Remedy(
        "an entity is in a state of its machine",
        "name the state in renamed_states, declare it again, or move the entity with 'fsmflow force ADDRESS STATE'",
    ),
    "phase-matches": Remedy("the phase of an entity is that of its state", _MACHINE),
    "failure-told": Remedy("what rests in a failure says why", _RESTORE),
    "failure-grouped": Remedy(
        "what rests in a failure belongs to a failure group",
        "'fsmflow retry ADDRESS': if it fails again, its group is made anew; else compare with a backup",
    ),
    "work-present": Remedy(
        "a working entity, and one that waits for a timer, has a work row",
        "'fsmflow resume ADDRESS' starts a job; where a timeout was added since it came, 'fsmflow force' enters anew",
    ),
    "work-current": Remedy("a work row is of the entity's epoch, and of the kind that its phase asks for", _PLACE),
    "step-bounded": Remedy(
        "the work of a step that within= bounds has a deadline",
        f"where within= was added since it came, 'fsmflow force ADDRESS STATE' enters it anew; else {_RESTORE}",
    ),
    "rest-without-work": Remedy("what has failed or finished has nothing to do", _PLACE),
    "paused-holds": Remedy(
        "the work of a paused entity is held, and of no other", "'fsmflow pause', then 'resume', it"
    ),
    "parked-by-hold": Remedy(
        "what a hold keeps back is neither claimed nor paused, and goes on when the hold ends",
        "'fsmflow resume ADDRESS' lets it go on; and report it",
    ),
    "limit-line": Remedy(
        "what waits for a limit is neither claimed nor paused, and is offered again by itself",
        "'fsmflow pause' and 'fsmflow resume' let it go on; and report it",
    ),
    "limit-kept": Remedy(
        "no more jobs have a permit of a limit than it allows",
        "does all code that runs name the limit, with one number? 'fsmflow limits' shows who has a permit",
    ),
    "lease-owner": Remedy("only a job is claimed, and a claim has an owner and a lease", _PLACE),
    "overdue": Remedy("what is due is looked after within the patience", _LOOK),
    "fan-out-goes-on": Remedy("a parent goes on once its branches have settled", _LOOK),
    "branch-place": Remedy("a branch belongs to a step of a parent that exists", _RESTORE),
    "branch-standing": Remedy("a branch stands to its parent as its state says", _PLACE),
    "branch-indexes": Remedy("the branches of a step are numbered from 0 without gaps", _RESTORE),
    "branch-named": Remedy("a branch has a name of its own in its step, and its address ends with it", _RESTORE),
    "branch-known": Remedy(
        "a branch that is not over is one of its step in the code",
        "deploy code that has it, or go on without it: 'fsmflow skip ADDRESS' where it has failed, else "
        "'fsmflow force ADDRESS done'",
    ),
    "branch-orphaned": Remedy(
        "what its parent has left is cancelled, or goes by itself",
        "is a worker running? Else 'fsmflow cancel ADDRESS' ends it",
    ),
    "kept-counted": Remedy("an entity keeps the events that its history says were deferred", _RESTORE),
    "kept-limit": Remedy("what is kept for a limited time is discarded after that", _LOOK),
    "visit-message": Remedy("a message that ends with the visit of a state is not there after that", _RESTORE),
    "lost-recorded": Remedy("a message that was given up is recorded in its sender's history", _RESTORE),
    "readable": Remedy("what is stored as JSON is JSON", _RESTORE),
    "feed-in-history": Remedy(
        "what a feed has read is in the history",
        "the history or the feed was restored from a backup: 'fsmflow feed rewind NAME --from now', or '--from "
        "beginning', says where it goes on",
    ),
    "ownerless-rows": Remedy(
        "rows belong to an entity that exists", "they may be deleted, once it is clear who left them"
    ),
}
