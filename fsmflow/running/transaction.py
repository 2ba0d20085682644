"""Runs a job inside the transaction that commits its transition."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Final

from fsmflow import log
from fsmflow.decision.entity import StaleClaim
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Crashed, Failed, Postponed, Returned
from fsmflow.definition.names import FAIL
from fsmflow.engine import followup
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    DataError,
    EntityNotFound,
    FsmflowError,
    TransitionConflict,
    TransitionNotAllowed,
    UnknownState,
    UpgradeError,
)
from fsmflow.log import endings
from fsmflow.points import point
from fsmflow.redaction import hide_in_text
from fsmflow.running.attempt import Attempt, Ended
from fsmflow.running.settlement import loaded
from fsmflow.running.standstill import OwnLock, Watched, likely, watched
from fsmflow.store.sentence import first_line, is_conflict, is_cut, is_locked
from fsmflow.store.verdicts import Verdict, is_prepared_elsewhere
from fsmflow.values import replace

#: After how long a transaction that others got in the way of is run again.
_AGAIN_S: Final = 0.2


class BrokenTransaction(FsmflowError):
    """Recorded where a transactional job left its transaction."""


class _RolledBack(Exception):
    """Ends the transaction of a job whose attempt ended otherwise than by a result that was accepted."""

    def __init__(self, ended: Ended | None) -> None:
        self.ended = ended


def in_transaction(
    runtime: Runtime, attempt: Attempt, run: Callable[[], Ended], settling: Callable[[], None]
) -> Ended | None:
    """Run a job and commit its transition in one transaction; None where that is done, or no longer wanted.

    Where the job fails, or nothing accepts its result, all that it wrote is rolled back, and how it ended is returned,
    to be committed by itself. So it is where the database refuses the COMMIT. After a crash, or a COMMIT that got no
    answer, either everything is there or the lease runs out and the job runs again. What the host calls after its
    COMMIT changes nothing of that, whatever it raises.
    """
    link, rolled_back, returned, committed = runtime.store.link, _RolledBack(None), list[Returned](), Event()
    try:
        with link.jobs_transaction():
            link.after_commit(committed.set)
            try:
                returned.append(_run_and_settle(runtime, attempt, run, settling))
            except _RolledBack as ending:
                rolled_back = ending
                raise
    except _RolledBack as ending:
        return ending.ended
    except Exception as error:  # noqa: BLE001 - of the database: its COMMIT is in doubt, or the transaction is broken
        if committed.is_set():
            endings.callback_failed(attempt.address, error)
            return None
        verdict = link.verdict(error)
        link.roll_back_open_transaction()
        link.forget_connection()
        if rolled_back.ended is not None:
            # COMMIT was never asked for, whatever became of ROLLBACK.
            return rolled_back.ended
        if returned and verdict is not Verdict.PASSING:
            return _refused_at_commit(attempt, returned[0], error, verdict)
        return _in_doubt(attempt, error, has_run=bool(returned))
    return None


def _in_doubt(attempt: Attempt, error: Exception, *, has_run: bool) -> Ended | None:
    if not has_run and is_prepared_elsewhere(error):
        log.settle_waits(attempt.address, error, _AGAIN_S)
        return Postponed(claim=attempt.claim, duration_ms=0, seconds=_AGAIN_S)
    log.transaction_in_doubt(attempt.address, error)
    return None


def _refused_at_commit(attempt: Attempt, ended: Returned, error: Exception, verdict: Verdict) -> Ended:
    """The database has answered: nothing was committed."""
    if verdict is Verdict.RACE:
        return _again(attempt, ended, error)
    refused = DatabaseRefused(attempt.address, first_line(error))
    message = f"job {attempt.spec.job_name!r} returned, but at COMMIT {refused.why}. What it wrote is rolled back"
    message = hide_in_text(message, attempt.root.wide.redact, ended.changes.changed, ended.result)
    return _failed(ended, Facts(kind=DatabaseRefused, message=message, permanent=True))


def _again(attempt: Attempt, ended: Failed | Returned, error: BaseException) -> Postponed:
    """Of the database or of others, not of the job: once more, without counting a failure."""
    log.settle_waits(attempt.address, error, _AGAIN_S)
    return Postponed(claim=attempt.claim, duration_ms=ended.duration_ms, seconds=_AGAIN_S)


def _run_and_settle(
    runtime: Runtime, attempt: Attempt, run: Callable[[], Ended], settling: Callable[[], None]
) -> Returned:
    link = runtime.store.link
    link.set_savepoint()
    name = attempt.spec.job_name
    with link.held() as apart, watched(link, attempt.address, name, apart) as job:
        ended = run()
    if isinstance(ended, Failed):
        raise _RolledBack(
            _lost(runtime, attempt, ended) or _met_others(attempt, ended) or _with_own_lock(ended, name, job)
        )
    if not isinstance(ended, Returned):
        raise _RolledBack(ended)
    settling()
    fault = link.savepoint_fault()
    if fault is not None:
        raise _RolledBack(_cut_off(attempt, ended, fault) if is_cut(fault) else _broke_transaction(attempt, ended))
    _raise_if_refused(runtime, attempt, ended)
    point("transaction.before", attempt.address)
    return ended


def _lost(runtime: Runtime, attempt: Attempt, ended: Failed) -> Crashed | None:
    """How an attempt ended whose job met that its transaction was cut off; None where it failed otherwise."""
    raised = ended.facts.raised
    if raised is None or not is_cut(raised) or runtime.store.link.savepoint_fault() is None:
        return None
    return _cut_off(attempt, ended, raised)


def _met_others(attempt: Attempt, ended: Failed) -> Postponed | None:
    """How an attempt ended whose transaction the database has had begin anew; None where it failed otherwise."""
    raised = ended.facts.raised
    return None if raised is None or not is_conflict(raised) else _again(attempt, ended, raised)


def _cut_off(attempt: Attempt, ended: Failed | Returned, error: BaseException) -> Crashed:
    """As with the end of its worker nothing of it is there, and the job runs again, though not for ever."""
    detail = f"the connection of its transaction was lost: {first_line(error)}"
    log.attempt_crashed(attempt.address, detail)
    return Crashed(claim=ended.claim, duration_ms=ended.duration_ms, detail=detail)


def _with_own_lock(ended: Failed, name: str, job: Watched | None) -> Failed:
    """How an attempt ended, with what is to be said of it where its job has waited for its own transaction."""
    facts = ended.facts
    if job is not None and job.found:
        return replace(ended, facts=replace(facts, kind=OwnLock, message=f"{job.found}. {facts.message}"))
    if facts.raised is not None and is_locked(facts.raised):
        return replace(ended, facts=replace(facts, message=f"{facts.message}; {likely(name)}"))
    return ended


def _broke_transaction(attempt: Attempt, ended: Returned) -> Ended:
    message = (
        f"job {attempt.spec.job_name!r} ended or broke the transaction that it runs in: by a COMMIT, ROLLBACK or DDL "
        f"of its own, or by going on after an error of SQL that it swallowed. Wrap what may fail in database.atomic() "
        f"and let deadlocks pass. What it wrote is rolled back as far as the database still can"
    )
    return _failed(ended, Facts(kind=BrokenTransaction, message=message))


def _raise_if_refused(runtime: Runtime, attempt: Attempt, ended: Returned) -> None:
    """Commit the transition inside the transaction that is open. Raises _RolledBack where it did not come about."""
    try:
        commit, after = followup.apply(
            runtime, lambda: instance_of(attempt.root, loaded(runtime, attempt.claim)), ended
        )
    except (StaleClaim, EntityNotFound):
        endings.result_discarded(attempt.address, attempt.snapshot.state, attempt.claim.attempt, "came to its end")
        raise _RolledBack(None) from None
    except (DatabaseUnavailable, TransitionConflict) as error:
        raise _RolledBack(_again(attempt, ended, error)) from error
    except (UnknownState, UpgradeError):
        raise _RolledBack(ended) from None  # newer code has been there: it is settled, or handed over, as any other
    except DataError as error:
        message = hide_in_text(str(error), attempt.root.wide.redact, ended.changes.changed, ended.result)
        raise _RolledBack(_failed(ended, Facts(kind=type(error), message=message, permanent=True))) from error
    failure = after.failure
    if failure is not None and commit.entries and commit.entries[0].trigger == FAIL:
        facts = Facts(kind=TransitionNotAllowed, message=failure.message, permanent=True)
        raise _RolledBack(_failed(ended, facts))


def _failed(ended: Returned, facts: Facts) -> Failed:
    """How an attempt ended whose job has returned, and which failed all the same."""
    return Failed(claim=ended.claim, duration_ms=ended.duration_ms, facts=facts)
