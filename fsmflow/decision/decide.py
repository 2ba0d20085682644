"""``decide(definition, snapshot, happening, now) -> Commit``: pure. No clock, no database, no Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fsmflow.decision import actions, asker, fanout, pause, settlement
from fsmflow.decision.bypass import row_refused
from fsmflow.decision.commit import Commit
from fsmflow.decision.context import NOTHING, Context
from fsmflow.decision.deferral import answered, fire_kept, is_about_itself, undeliverable
from fsmflow.decision.entity import Snapshot, StaleClaim
from fsmflow.decision.failure import clip
from fsmflow.decision.happenings import (
    Admitted,
    Answered,
    Asked,
    BranchSettled,
    Crashed,
    Delivered,
    Discarded,
    Erased,
    Failed,
    Forced,
    Happening,
    Joined,
    KeptDue,
    MoreWanted,
    Postponed,
    Proposed,
    Reopened,
    Replanned,
    Returned,
    Revived,
    Rewound,
    Saved,
    Settling,
    Spread,
    TimerFired,
    Triggered,
    Unacceptable,
)
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.mover import Mover, commit_of
from fsmflow.decision.offers import allowed_triggers
from fsmflow.decision.proposal import proposed
from fsmflow.decision.redaction import carried, masked, without_values
from fsmflow.decision.triggers import delivered, timer_fired, triggered
from fsmflow.decision.versions import unknown_state
from fsmflow.definition.model import Definition
from fsmflow.errors import (
    DatabaseRefused,
    DataError,
    FsmflowError,
    GuardError,
    NestedAction,
    TransitionConflict,
    TransitionNotAllowed,
)
from fsmflow.values import replace


def decide(
    definition: Definition, snapshot: Snapshot, happening: Happening, now: int, context: Context = NOTHING
) -> Commit:
    """What ``happening`` leads to for an entity that is as ``snapshot`` shows. ``context``: what else it may look at.

    Raises the named errors for what is refused, and StaleClaim for an attempt that no longer counts. What guards
    and callbacks raise passes through for a trigger from outside and for timers; at the end of an attempt it
    leads to ``failed_from_X``.
    """
    if snapshot.state not in definition.states and not isinstance(happening, (Forced, Rewound)):
        raise unknown_state(definition, snapshot.state, address=snapshot.address)
    claim = happening.claim if isinstance(happening, Settling) else None
    if claim is not None and not claim.holds(snapshot):
        raise StaleClaim(f"{snapshot.address}: attempt {claim.attempt} of epoch {claim.epoch} no longer counts")
    if isinstance(happening, Asked):
        _check_epoch(snapshot, happening)
    mover = Mover(definition, snapshot, now, context)
    try:
        with asker.deciding(snapshot.address):
            _DECIDERS[type(happening)](mover, happening)
            if context.kept and not is_about_itself(mover, happening):
                fire_kept(mover)
    except (TransitionNotAllowed, GuardError, DataError) as error:
        raise _as_told(mover, happening, error) from error.__cause__
    if isinstance(happening, Asked) and happening.confirms is not None:
        mover.takes.append(happening.confirms.id)
    commit = commit_of(mover, snapshot, key=_key_of(mover, happening), claim=claim, lenient=_ends_badly(happening))
    return _with_more(mover, commit, happening)


def _with_more(mover: Mover, commit: Commit, happening: Happening) -> Commit:
    """The commit with what it does besides: it wipes what came before, takes the next step, spares the user's row."""
    if isinstance(happening, Erased):
        commit = replace(commit, erases=True)
    elif isinstance(happening, Returned):
        commit = settlement.run_on(commit, happening, mover.now)
    refused = row_refused(happening, commit.after.state)
    return commit if refused is None else _past_its_row(mover, commit, refused)


def _check_epoch(snapshot: Snapshot, asked: Asked) -> None:
    """Raises TransitionConflict where the entity has moved since whoever asks has seen it."""
    if asked.epoch is not None and asked.epoch != snapshot.epoch:
        raise TransitionConflict(
            snapshot.address,
            f"it was seen at epoch {asked.epoch} and is now at epoch {snapshot.epoch}, in {snapshot.state!r}",
        )


def _past_its_row(mover: Mover, commit: Commit, refused: DatabaseRefused) -> Commit:
    """The commit that leaves the user's own row as it is, and says so in the history."""
    last = commit.entries[-1]
    said = mover.masked(f"its own row stays as it was, as {refused.why}")
    reason = clip(f"{last.reason}; {said}" if last.reason else said, settlement.MAX_NOTE)
    return replace(commit, entries=(*commit.entries[:-1], replace(last, reason=reason)), status_field=None)


def _ends_badly(happening: Happening) -> bool:
    """Whether it has to be written, though the user's own row be gone."""
    if isinstance(happening, Joined):
        return happening.error is not None
    return isinstance(happening, (Failed, Crashed, Postponed, Unacceptable))


def _as_told(mover: Mover, happening: Happening, error: FsmflowError) -> FsmflowError:
    """A refusal as its caller gets it: with what could be asked instead, and without what is redacted."""
    if isinstance(error, GuardError):
        what = masked(mover.definition, error.what, mover.before, *carried(happening))
        return GuardError(error.address, error.state, error.trigger, error.guard, what)
    if isinstance(error, DataError):
        return without_values(mover.definition, error, mover.before, *carried(happening))
    if isinstance(error, TransitionNotAllowed) and not isinstance(error, NestedAction):
        return _with_allowed(mover, happening, error)
    return error


def _with_allowed(mover: Mover, happening: Happening, error: TransitionNotAllowed) -> TransitionNotAllowed:
    """The refusal, with what could be asked instead."""
    if error.allowed or not isinstance(happening, Asked) or mover.before.address != error.address:
        return error
    allowed = allowed_triggers(mover.definition, mover.before, happening.actor, mover.now, mover.context)
    return TransitionNotAllowed(
        error.address,
        error.state,
        error.trigger,
        allowed=allowed,
        refusals=error.refusals,
        words=error.words,
        why=error.why,
    )


def _key_of(mover: Mover, happening: Happening) -> str | None:
    """The key that the event uses up; a message that is refused uses up none."""
    asked = happening.event if isinstance(happening, Delivered) else happening
    if not isinstance(asked, Asked) or asked.key is None or mover.entries[0].kind is HistoryKind.DISCARDED:
        return None
    return asked.key


_DECIDERS: Mapping[type, Callable[[Mover, Any], None]] = {
    Triggered: triggered,
    Proposed: proposed,
    Replanned: pause.replanned,
    TimerFired: timer_fired,
    Returned: settlement.returned,
    Unacceptable: settlement.unacceptable,
    Failed: settlement.failed,
    Crashed: settlement.crashed,
    Postponed: settlement.postponed,
    Saved: settlement.saved,
    Spread: fanout.spread,
    MoreWanted: fanout.more_wanted,
    Admitted: fanout.admitted,
    Joined: fanout.joined,
    BranchSettled: fanout.branch_settled,
    Revived: fanout.revived,
    Reopened: fanout.reopened,
    Delivered: delivered,
    Discarded: undeliverable,
    Answered: answered,
    KeptDue: lambda mover, happening: None,
    **{action.happening: action.decided for action in actions.ACTIONS.values() if action.decided is not None},
}
