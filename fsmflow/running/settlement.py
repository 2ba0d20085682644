"""Commits how an attempt ended. The fence decides whether it still counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fsmflow import log
from fsmflow.causes import blocks, origin_of
from fsmflow.decision.entity import Claim, Snapshot, StaleClaim
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Crashed, Failed, Postponed, Returned, Spread, Unacceptable
from fsmflow.definition.model import Definition
from fsmflow.engine import followup
from fsmflow.engine.lookup import instance_of, under_todays_names
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    DataError,
    EntityNotFound,
    FsmflowError,
    TransitionConflict,
    UnknownState,
    UpgradeError,
)
from fsmflow.log import endings
from fsmflow.patience import Patience
from fsmflow.running.attempt import Ended
from fsmflow.running.lease import LEASE_MS, is_live, release
from fsmflow.running.outage import outlast


def settle(
    runtime: Runtime, root: Definition, snapshot: Snapshot, ended: Ended, *, earlier: str | None = None
) -> Snapshot | None:
    """Commit, however long the database is away: the result is in hand. ``snapshot`` is the entity as it was last seen;
    the entity as it is then, None where the attempt did not count. ``earlier``: the token of a commit of this that was
    tried before, and may have landed after all.

    A result that comes too late, or for which newer code is wanted, changes nothing. It is not too late where the
    database has lost the claim and nothing else, as a standby that takes over may have. One that cannot be stored, or
    that the database refuses for good, is a failure for good; it is waited for where that cannot be stored either.
    """
    claim, known = ended.claim, [snapshot]
    doubtful = [] if earlier is None else [earlier]

    def latest() -> Snapshot:
        return known.pop() if known and claim.holds(known[0]) else loaded(runtime, claim)

    patience = Patience()
    while True:
        try:
            return followup.apply(runtime, lambda: instance_of(root, latest()), ended)[1]
        except UnknownState as error:
            _hand_over(runtime, root, snapshot, claim, error)
            return None
        except UpgradeError as error:
            ended = cannot_upgrade(claim, error, ended)
        except DataError as error:
            ended = _instead(ended, error) or _waited(snapshot, error, patience, ended)
        except (StaleClaim, EntityNotFound):
            if (kept := _kept(runtime, root, snapshot, ended, doubtful)) is None:
                return None
            ended = kept
        except (ConfigurationError, TransitionConflict) as error:
            doubtful += _in_doubt(error)
            _wait(snapshot, error, patience)


def _in_doubt(error: FsmflowError) -> list[str]:
    """The token of a commit of which nobody could tell whether it landed: it may be found later, as on a standby that
    has taken over."""
    return [error.token] if isinstance(error, DatabaseUnavailable) and error.in_doubt and error.token else []


def _kept(
    runtime: Runtime, root: Definition, snapshot: Snapshot, ended: Ended, doubtful: Sequence[str]
) -> Ended | None:
    """How an attempt ends whose claim is gone; None where it does not count, which is told."""
    kept = outlast(snapshot.address, partial(_reclaimed, runtime, root, snapshot, ended))
    if kept is None:
        _discard(runtime, snapshot, ended, doubtful)
    return kept


def _discard(runtime: Runtime, snapshot: Snapshot, ended: Ended, doubtful: Sequence[str]) -> None:
    """Tell that a result came too late, unless it was a commit of it that was in doubt which was first."""
    if not any(outlast(snapshot.address, partial(_has_landed, runtime, snapshot, token)) for token in doubtful):
        endings.result_discarded(snapshot.address, snapshot.state, ended.claim.attempt, _what_became(ended))
        outlast(snapshot.address, lambda: _ring_again(runtime, ended.claim))


def _reclaimed(runtime: Runtime, root: Definition, snapshot: Snapshot, ended: Ended) -> Ended | None:
    """How an attempt ends whose claim the database has lost, claimed anew: as it has ended, if the entity is as it was
    when its job saw it last. Else the job went by what is lost, too: one that may run only once is not to begin again,
    so its attempt is lost; None for another, and where the attempt does not count."""
    claim, until = ended.claim, runtime.now() + LEASE_MS
    if runtime.store.doubt.reclaim(claim, snapshot, lease_until=until):
        endings.claim_regained(snapshot.address, claim.attempt, "its result counts")
        return ended
    spec = under_todays_names(root, snapshot).spec
    once = spec is not None and spec.at_most_once
    if not once or not runtime.store.doubt.reclaim(claim, None, lease_until=until):
        return None
    endings.claim_regained(snapshot.address, claim.attempt, "its job may run only once, and what it went by is lost")
    return Crashed(claim=claim, detail="the database has lost what the job had saved, or went by")


def _ring_again(runtime: Runtime, claim: Claim) -> None:
    """Where the database has lost the claim, as one that takes over may have, the step is to be done by nobody: its
    doorbell was answered here, and would be missed only after a while."""
    now = runtime.store.entities.load_row(claim.row)
    work = None if now is None else now.work
    if now is None or work is None or (work.epoch, work.attempt) != (claim.epoch, claim.attempt):
        return
    if work.owner is None and work.fence < claim.fence:
        runtime.dispatch(now)


def _has_landed(runtime: Runtime, snapshot: Snapshot, token: str) -> bool:
    """Whether an earlier commit stands. What was to follow it is done here, but for what maintenance finds."""
    if not runtime.store.doubt.has_written(snapshot.row, token):
        return False
    log.commit_in_doubt(snapshot.address, True)
    after = runtime.store.entities.load_row(snapshot.row)
    if after is not None:
        runtime.dispatch(after)
    return True


def _wait(snapshot: Snapshot, error: FsmflowError, patience: Patience) -> None:
    log.settle_waits(snapshot.address, error, patience.next_s, again=patience.is_tried_again)
    patience.pause()


def _waited(snapshot: Snapshot, error: FsmflowError, patience: Patience, ended: Ended) -> Ended:
    _wait(snapshot, error, patience)
    return ended


def _what_became(ended: Ended) -> str:
    """How an attempt ended that does not count: nothing else tells of its error."""
    if isinstance(ended, Failed):
        return f"failed ({ended.facts.error_type}: {ended.facts.message})"
    return "came to its end"


def _instead(ended: Ended, error: DataError) -> Ended | None:
    """How an attempt ends where how it ended cannot be committed; None where there is nothing else left to be tried."""
    if isinstance(ended, Returned):
        return Unacceptable(claim=ended.claim, duration_ms=ended.duration_ms, returned=ended, error=error)
    if isinstance(ended, (Spread, Postponed)):
        facts = Facts(kind=type(error), message=str(error), permanent=True)
        return Failed(claim=ended.claim, duration_ms=ended.duration_ms, facts=facts)
    return None


def loaded(runtime: Runtime, claim: Claim) -> Snapshot:
    """The entity of a claim as it is now. Raises EntityNotFound."""
    snapshot = runtime.store.entities.load_row(claim.row)
    if snapshot is None:
        raise EntityNotFound(f"entity row {claim.row}")
    return snapshot


def cannot_upgrade(claim: Claim, error: UpgradeError, ended: Ended | None = None) -> Ended:
    """How an attempt ends whose entity cannot be brought up to the version of the code: it rests in ``failed_from_X``,
    whatever the retry policy says, with its data as it was; what the job returned is withheld."""
    duration_ms = None if ended is None else ended.duration_ms
    if isinstance(ended, Returned):
        return Unacceptable(claim=claim, duration_ms=duration_ms, returned=ended, error=error)
    text = blocks(error.__cause__) if error.__cause__ is not None else ()
    origin = origin_of(error)
    facts = Facts(kind=UpgradeError, message=str(error), traceback=text, permanent=True, origin=origin)
    return Failed(claim=claim, duration_ms=duration_ms, facts=facts)


def _hand_over(runtime: Runtime, root: Definition, snapshot: Snapshot, claim: Claim, error: UnknownState) -> None:
    """Newer code has been at the entity meanwhile: leave it the step. What may run once only is left to its lease,
    whose end counts as the loss of this worker."""
    spec = under_todays_names(root, snapshot).spec
    if not is_live(runtime, claim):
        endings.result_discarded(snapshot.address, snapshot.state, claim.attempt, "came to its end")
    elif spec is not None and spec.at_most_once:
        log.claim_abandoned(snapshot.address, str(error))
    else:
        release(runtime, snapshot, claim, str(error))
