"""Kinds of steps that are not just a job to be called: those that fan out, undo, or run inside their transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from fsmflow import log
from fsmflow.decision.context import Undoing, being_undone
from fsmflow.decision.entity import Claim, Snapshot, StaleClaim
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Failed, Postponed, Returned, Settling, Spread, Unacceptable
from fsmflow.decision.versions import retraced
from fsmflow.definition.model import Definition, StateSpec
from fsmflow.definition.names import FAIL
from fsmflow.engine import followup
from fsmflow.engine.branches import stored_item
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import (
    DatabaseUnavailable,
    DataError,
    EntityNotFound,
    FsmflowError,
    TransitionConflict,
    TransitionNotAllowed,
    UnknownState,
    UpgradeError,
)
from fsmflow.points import point
from fsmflow.redaction import hide_in_text
from fsmflow.running.fanout import Spreader
from fsmflow.running.job import trace

#: After how long a transaction that others got in the way of is run again.
_AGAIN_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Step:
    """An attempt that has been claimed: of which entity, by which code. ``root`` is the definition of the machine,
    ``definition`` that of the entity, which is another for a branch, whose ``parent`` is there then."""

    snapshot: Snapshot
    claim: Claim
    root: Definition
    definition: Definition
    spec: StateSpec
    parent: Snapshot | None


def spread_of(
    runtime: Runtime, step: Step, shield: Callable[[], AbstractContextManager[None]]
) -> Callable[[Any], Settling]:
    """What runs in place of a job where the step fans out."""
    spreader = Spreader(runtime, step.definition, step.spec, step.snapshot, step.claim, shield)

    def spread(subject: Any) -> Settling:
        return Spread(claim=step.claim, exhausted=spreader.spread(subject))

    return spread


def undoing_of(runtime: Runtime, step: Step) -> Undoing | None:
    """What an undo job undoes: the latest step that has not been undone, or one branch of it."""
    spec, snapshot = step.root.states.get(step.snapshot.branch_of or step.snapshot.state), step.snapshot
    if spec is None or spec.undoes is None:
        return None
    if snapshot.branch_of is not None:
        found: dict[str, Any] = stored_item(snapshot) or {}
        return Undoing(**found)
    entered = being_undone(retraced(step.root, runtime.store.events.trail(snapshot.row)), spec.undoes)
    if entered is None:
        return Undoing(state=spec.undoes, completed=False, result=None)
    return Undoing(state=entered.state, completed=entered.completed, result=entered.result)


def cannot_upgrade(claim: Claim, error: UpgradeError, ended: Settling | None = None) -> Settling:
    """How an attempt ends whose entity cannot be brought up to the version of the code: it rests in ``failed_from_X``,
    whatever the retry policy says, with its data as it was; what the job returned is kept."""
    duration_ms = None if ended is None else ended.duration_ms
    if isinstance(ended, Returned):
        return Unacceptable(claim=claim, duration_ms=duration_ms, returned=ended, error=error)
    text = trace(error.__cause__) if error.__cause__ is not None else ""
    facts = Facts(kind=UpgradeError, message=str(error), traceback=text, permanent=True)
    return Failed(claim=claim, duration_ms=duration_ms, facts=facts)


class BrokenTransaction(FsmflowError):
    """Recorded where a transactional job left its transaction."""


class _RolledBack(Exception):
    """Ends the transaction of a job whose attempt ended otherwise than by a result that was accepted."""

    def __init__(self, ended: Settling | None) -> None:
        self.ended = ended


def in_transaction(
    runtime: Runtime, step: Step, run: Callable[[], Settling], settling: Callable[[], None]
) -> Settling | None:
    """Run a job and commit its transition in one transaction; None where that is done, or no longer wanted.

    Where the job fails, or nothing accepts its result, all that it wrote is rolled back, and how it ended is returned,
    to be committed by itself. After a crash, or a COMMIT that got no answer, either everything is there or the
    lease runs out and the job runs again.
    """
    link, rolled_back = runtime.store.link, _RolledBack(None)
    try:
        with link.transaction():
            try:
                _run_and_settle(runtime, step, run, settling)
            except _RolledBack as ending:
                rolled_back = ending
                raise
    except _RolledBack as ending:
        return ending.ended
    except Exception as error:  # noqa: BLE001 - of the database: its COMMIT is in doubt, or the transaction is broken
        link.roll_back_open_transaction()
        link.forget_connection()
        if rolled_back.ended is None:
            log.transaction_in_doubt(step.snapshot.address, error)
        # Where it was to be rolled back, COMMIT was never asked for, whatever became of ROLLBACK.
        return rolled_back.ended
    return None


def _run_and_settle(runtime: Runtime, step: Step, run: Callable[[], Settling], settling: Callable[[], None]) -> None:
    link = runtime.store.link
    link.set_mark()
    ended = run()
    if not isinstance(ended, Returned):
        raise _RolledBack(ended)
    settling()
    if not link.reach_mark():
        raise _RolledBack(_broke_transaction(step, ended))
    raise_if_refused(runtime, step, ended)
    point("transaction.before", step.snapshot.address)


def _broke_transaction(step: Step, ended: Returned) -> Settling:
    message = (
        f"job {step.spec.job_name!r} ended or broke the transaction that it runs in: by a COMMIT, ROLLBACK or DDL of "
        f"its own, or by going on after an error of SQL that it swallowed. Wrap what may fail in database.atomic() and "
        f"let deadlocks pass. What it wrote is rolled back as far as the database still can"
    )
    return Failed(claim=step.claim, duration_ms=ended.duration_ms, facts=Facts(kind=BrokenTransaction, message=message))


def raise_if_refused(runtime: Runtime, step: Step, ended: Returned) -> None:
    """Commit the transition inside the transaction that is open. Raises _RolledBack where it did not come about."""

    def latest() -> Snapshot:
        snapshot = runtime.store.entities.load_row(step.claim.row)
        if snapshot is None:
            raise EntityNotFound(step.snapshot.address)
        return snapshot

    try:
        commit, after = followup.apply(runtime, lambda: instance_of(step.root, latest()), ended)
    except (StaleClaim, EntityNotFound):
        log.result_discarded(step.snapshot.address, step.snapshot.state, step.claim.attempt, "came to its end")
        raise _RolledBack(None) from None
    except (DatabaseUnavailable, TransitionConflict) as error:
        # Of the database or of others, not of the job: once more, without counting a failure.
        log.settle_waits(step.snapshot.address, error, _AGAIN_S)
        raise _RolledBack(Postponed(claim=step.claim, duration_ms=ended.duration_ms, seconds=_AGAIN_S)) from error
    except (UnknownState, UpgradeError):
        raise _RolledBack(ended) from None  # newer code has been there: it is settled, or handed over, as any other
    except DataError as error:
        message = hide_in_text(str(error), step.root.wide.redact, ended.changes.changed, ended.result)
        facts = Facts(kind=type(error), message=message, permanent=True)
        raise _RolledBack(Failed(claim=step.claim, duration_ms=ended.duration_ms, facts=facts)) from error
    failure = after.failure
    if failure is not None and commit.entries and commit.entries[0].trigger == FAIL:
        facts = Facts(kind=TransitionNotAllowed, message=failure.message, permanent=True)
        raise _RolledBack(Failed(claim=step.claim, duration_ms=ended.duration_ms, facts=facts))
