"""Decides how an attempt ends: returned, failed, postponed, crashed, saved."""

from __future__ import annotations

import zlib
from typing import Any, cast

from fsmflow import clock, codec
from fsmflow.causes import behind
from fsmflow.decision.bypass import is_too_much
from fsmflow.decision.commit import Commit, EventKind, Post
from fsmflow.decision.context import next_undo
from fsmflow.decision.deadline import limit_of
from fsmflow.decision.entity import Claim, Event, Failure
from fsmflow.decision.failure import Facts, clip, facts_of, raised
from fsmflow.decision.fit import Settled
from fsmflow.decision.happenings import Changes, Crashed, Failed, Postponed, Returned, Saved, Unacceptable
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.messages import as_kept, from_kept
from fsmflow.decision.mover import Mover, Refused
from fsmflow.decision.reconciliation import settled_data
from fsmflow.decision.redaction import carried
from fsmflow.decision.work import GRACE_MS, MAX_CRASHES, Work, WorkKind, claimed, hold, hurried
from fsmflow.definition.names import DONE, FAIL, RETRY, TIMEOUT, UNDONE, WAITING, failed_from
from fsmflow.errors import (
    MAX_DURATION_S,
    DatabaseRefused,
    DataError,
    FsmflowError,
    MergeError,
    StepTimeout,
    TransitionNotAllowed,
    UpgradeError,
    WorkerLost,
    text_of,
)
from fsmflow.values import replace

MAX_RESULT_BYTES = 4 * 1024 * 1024
MAX_NOTE = 1_000
#: Stands for the claim of an attempt that ended long ago.
ENDED_CLAIM = Claim(row=0, epoch=0, attempt=0, fence=0, owner="")


class LeadsNowhere(FsmflowError):
    """A job returned, and the transition that took its result is internal; or it asked for one as a branch."""


def returned(mover: Mover, happening: Returned) -> None:
    """The result is merged and its trigger decided; what nothing accepts is withheld, in ``failed_from_X``."""
    duration = _seconds(happening.duration_ms)
    trial = mover.trial()
    try:
        _accept(trial, happening, attempt=happening.claim.attempt or None, duration=duration)
    except BaseException as error:  # noqa: BLE001 - whatever the user's guards and callbacks raise
        rejected(mover, happening, error)
        return
    mover.adopt(trial)


def run_on(commit: Commit, happening: Returned, now: int) -> Commit:
    """The commit, with the claim of the next step in it, where whoever reports the end of this one takes that, too: a
    job of the same queue that would be rung for at once."""
    work, before = commit.after.work, None if commit.before is None else commit.before.work
    if happening.runs_on_ms is None or work is None or before is None or not commit.rings:
        return commit
    if work.kind is not WorkKind.JOB or work.queue != before.queue:
        return commit
    taken = claimed(work, happening.claim.owner, now + happening.runs_on_ms)
    return replace(commit, after=replace(commit.after, work=taken))


def unacceptable(mover: Mover, happening: Unacceptable) -> None:
    """Withhold a result that could be decided and not committed; but not where it is itself too much."""
    rejected(mover, happening.returned, happening.error, keeps=not is_too_much(happening))


def rejected(mover: Mover, happening: Returned, error: BaseException, *, keeps: bool = True) -> None:
    """Withhold a result that nothing accepts, and rest in ``failed_from_X``."""
    # An outcome of a branch would be refused again.
    keeps = keeps and (mover.after.branch_of is None or happening.trigger == DONE)
    withheld = _withheld(happening) if keeps else None
    message = _rejection(happening.trigger, error, withheld=withheld is not None)
    facts = facts_of(error, message, mover.definition.owner)
    if type(error) in (Refused, LeadsNowhere):
        facts = Facts(kind=TransitionNotAllowed, message=message, permanent=True)
    failure = mover.describe(facts, *carried(happening))
    _rest(mover, failure, duration=_seconds(happening.duration_ms), attempt=happening.claim.attempt or None)
    mover.after = replace(mover.after, result_text=withheld)


def accept_withheld(mover: Mover, result_text: str, patch_keys: set[str], attempts: int | None) -> None:
    """After a retry: decide again from a result that was withheld. Nothing is done where it is still refused: the job,
    which the retry has planned, runs again. What the retry has set (``patch_keys``) stands.

    Raises MergeError, with the result still kept: nobody has said that the job should run again."""
    withheld = codec.decode(result_text)
    removed = tuple(key for key in withheld["removed"] if key not in patch_keys)
    changes = Changes(changed=withheld["changed"], removed=removed, base=withheld["base"], edited=frozenset(patch_keys))
    sent = tuple(from_kept(item) for item in withheld.get("sent", ()))
    happening = Returned(
        claim=ENDED_CLAIM, trigger=withheld["trigger"], changes=changes, result=withheld.get("result"), sent=sent
    )
    trial = mover.trial()
    try:
        _accept(trial, happening, attempt=attempts, duration=None)
    except MergeError:
        raise
    except Exception:  # noqa: BLE001 - whatever the user's guards and callbacks raise
        return
    mover.adopt(trial)


def _accept(mover: Mover, happening: Returned, *, attempt: int | None, duration: float | None) -> None:
    trigger, before = happening.trigger, mover.after
    spec = mover.definition.states[before.state]
    if trigger in (FAIL, RETRY):
        raise DataError(f"the job asked for {trigger!r}; a job fails by raising, for good with Fail(...)")
    if before.branch_of is not None and trigger != DONE:
        raise LeadsNowhere(
            "a branch has no outcomes: it is done, or it fails. Return what it found; a guard of its parent's 'done', "
            "or of 'branch_done', decides by that, as self.branches shows it"
        )
    mover.send(happening.sent, before)
    if spec.undo is not None:
        text = codec.encode(happening.result, what="result", limit=MAX_RESULT_BYTES)
        mover.posts.append(
            Post(
                kind=EventKind.RETURNED, trigger=spec.name, key=f"{before.step}.{before.epoch}", text=text, at=mover.now
            )
        )
    settled = settled_data(mover, happening.changes)
    if spec.waits and trigger == DONE:
        _stay(mover, settled, attempt=attempt, duration=duration)
        return
    if spec.undoes and trigger == DONE and next_undo(mover.definition, before, mover.context) is None:
        trigger = UNDONE
    event = mover.event(trigger)
    mover.fire(trigger, data=settled, event=event, by_engine=True, attempt=attempt, duration=duration)
    if mover.after.epoch == before.epoch:
        raise LeadsNowhere(
            f"{trigger!r} is internal from {before.state!r}, and a job that has returned must lead somewhere; name a "
            f"dest, or '=' to run it again"
        )
    if before.branch_of is not None:
        result = codec.encode(happening.result, what="result", limit=MAX_RESULT_BYTES)
        mover.after = replace(mover.after, result_text=result)


def _stay(mover: Mover, settled: Settled, **entry: Any) -> None:
    """The job of a state with ``wait=True`` has asked: from now on the entity waits there, until its deadline."""
    work = mover.after.work
    ends_at = work.deadline if work is not None else None
    left = None
    if work is not None and ends_at is not None:
        left = Work(
            epoch=mover.after.epoch, kind=WorkKind.TIMER, attempt=work.attempt, fence=work.fence, wake_at=ends_at
        )
        left = replace(left, tries=work.tries, why=work.why) if work.overdue else left
        left = hold(left, mover.now) if mover.after.paused else left
    mover.after = replace(
        mover.after,
        data_text=mover.stored(settled.data),
        phase=WAITING,
        work=left,
        failure_text=None,
        fingerprint=None,
    )
    mover.note(HistoryKind.SAVED, edit=mover.edit(settled, None), **entry)


def failed(mover: Mover, happening: Failed) -> None:
    """Retried by itself as long as the policy says so; else ``fail`` is fired."""
    work = _work(mover)
    policy = None if happening.refusals else mover.definition.states[mover.after.state].retry
    facts = happening.facts
    retries = (
        policy is not None
        and not facts.permanent
        and policy.applies_to(facts.kind, *facts.within)
        and work.failures < policy.max
    )
    failure = mover.describe(replace(facts, permanent=not retries))
    duration = _seconds(happening.duration_ms)
    if issubclass(facts.kind, UpgradeError):
        # No guard may see data that it does not expect, and nothing is to be undone for a fault of the deployment.
        _rest(mover, failure, duration=duration, attempt=work.attempt)
        return
    if not happening.refusals and _is_overdue(mover, work, told=happening.overdue):
        _out_of_time(mover, replace(failure, permanent=True), duration=duration, attempt=work.attempt)
        return
    if policy is None or not retries:
        past = next(iter(happening.refusals), None)
        give_up(mover, failure, attempt=work.attempt, duration=duration, past=past)
        return
    spread = zlib.crc32(f"{mover.after.row}-{work.epoch}-{work.attempt}".encode()) / 2**32
    wait = policy.delay_ms(work.failures + 1, spread)
    _run_again(mover, replace(work, failures=work.failures + 1), after_ms=wait)
    mover.after = replace(mover.after, failure_text=failure.to_text())
    mover.note(HistoryKind.ATTEMPT_FAILED, attempt=work.attempt, failure=failure, duration=duration)


def crashed(mover: Mover, happening: Crashed) -> None:
    """Run again at once, up to three times since the state was entered; then ``fail`` with WorkerLost."""
    work = _work(mover)
    once = mover.definition.states[mover.after.state].at_most_once
    exhausted = once or work.crashes >= MAX_CRASHES or bool(happening.refusals)
    lost = "its job runs at most once" if once else f"run {work.crashes + 1} of {MAX_CRASHES + 1} that was lost"
    again = "" if exhausted else "; it runs again under the same idempotency key, and may do twice what it does outside"
    message = f"{happening.detail} ({lost}{again})"
    failure = mover.describe(Facts(kind=WorkerLost, message=message, permanent=exhausted))
    duration = _seconds(happening.duration_ms)
    if exhausted:
        past = next(iter(happening.refusals), None)
        give_up(mover, failure, attempt=work.attempt, duration=duration, past=past)
        return
    _run_again(mover, replace(work, crashes=work.crashes + 1), after_ms=0)
    mover.after = replace(mover.after, failure_text=failure.to_text())
    mover.note(HistoryKind.CRASHED, attempt=work.attempt, failure=failure, duration=duration)


def postponed(mover: Mover, happening: Postponed) -> None:
    """Run again later: no failure, and no history. ``within`` alone bounds how often."""
    work = _work(mover)
    wait = clock.to_ms(min(happening.seconds, MAX_DURATION_S))
    _run_again(mover, replace(work, postponed=work.postponed + 1), after_ms=wait)
    mover.after = replace(mover.after, updated_at=mover.now)


def saved(mover: Mover, happening: Saved) -> None:
    """Commit what the job changed so far."""
    settled = settled_data(mover, happening.changes)
    mover.after = replace(mover.after, data_text=mover.stored(settled.data))
    mover.send(happening.sent, mover.after)
    mover.note(HistoryKind.SAVED, attempt=happening.claim.attempt, edit=mover.edit(settled, None))


def overdue(mover: Mover, *, past: DataError | None = None) -> None:
    """The time of the whole step is over: ``timeout`` is fired where a transition takes it, else the step fails; so it
    does ``past`` what could not be committed."""
    work = _work(mover)
    between = work.kind == WorkKind.JOB and work.owner is None
    attempts = work.attempt - 1 if between else work.attempt
    # Between two attempts it ends none: the last has ended before.
    ended = None if between else attempts
    last = mover.after.failure
    count = "1 attempt was" if attempts == 1 else f"{attempts} attempts were"
    cause = f"; the last failure was {last.error_type}: {last.message}" if last is not None else ""
    made = f", in which {count} begun{cause}" if work.runs else cause
    timer = mover.definition.states[mover.after.state].timer
    message = f"the step was not done in the time that it has{f', {limit_of(timer)}' if timer else ''}{made}"
    failure = replace(mover.describe(Facts(kind=StepTimeout, message=message, permanent=True)), attempts=attempts)
    if past is not None:
        give_up(mover, failure, duration=None, attempt=ended, past=past)
    else:
        _out_of_time(mover, failure, duration=None, attempt=ended)


def _is_overdue(mover: Mover, work: Work, *, told: bool) -> bool:
    """Whether the time of the step is over; ``told`` by its worker, whose clock may be a little ahead."""
    timer = mover.definition.states[mover.after.state].timer
    return timer is not None and timer.bounds and (told or work.is_over(mover.now))


def _out_of_time(mover: Mover, failure: Failure, *, duration: float | None, attempt: int | None) -> None:
    """Leave a step whose time is over, as ``timeout`` says; with the failure, where nothing takes that."""
    trial = mover.trial()
    try:
        fire_timer(trial, TIMEOUT, failure=failure, attempt=attempt, duration=duration)
    except Refused:
        give_up(mover, failure, duration=duration, attempt=attempt)
    except Exception as error:  # noqa: BLE001 - whatever the user's guards and callbacks raise
        rest_after(mover, "deciding 'timeout'", error)
    else:
        mover.adopt(trial)


def fire_timer(mover: Mover, trigger: str, **entry: Any) -> None:
    """Fire what a timer fires, which then runs no more. Raises what firing does."""
    mover.after = replace(mover.after, work=None)
    mover.fire(trigger, data=mover.after.data, event=mover.event(trigger), by_engine=True, **entry)


def give_up(
    mover: Mover,
    failure: Failure,
    *,
    attempt: int | None,
    duration: float | None,
    past: DataError | None = None,
) -> None:
    """Fire ``fail``. Where a guard or callback of it raises, or what it leads to could not be committed, which ``past``
    tells, go to ``failed_from_X`` past it."""
    if past is not None:
        _rest(mover, failure, duration=duration, attempt=attempt, reason=_past(mover, past))
        return
    trial = mover.trial()
    event = mover.event(FAIL)
    try:
        trial.fire(
            FAIL,
            data=trial.after.data,
            event=event,
            by_engine=True,
            failure=failure,
            attempt=attempt,
            duration=duration,
        )
    except BaseException as error:  # noqa: BLE001 - whatever the user's guards and callbacks raise
        one = raised("one", error, why=f"{text_of(error)}{behind(error)}")
        reason = f"past its 'fail' transitions, as {one[:MAX_NOTE]}"
        _rest(mover, failure, duration=duration, attempt=attempt, reason=clip(reason, MAX_NOTE))
        return
    mover.adopt(trial)


def _past(mover: Mover, error: DataError) -> str | None:
    """Why no transition of the user's is taken; None where it is not one of these that was refused."""
    if isinstance(error, DatabaseRefused) and error.state == failed_from(mover.after.state):
        return None
    return clip(f"past where it was to go, as {_why(error)}", MAX_NOTE)


def rest_after(mover: Mover, what: str, error: BaseException) -> None:
    """Go to ``failed_from_X``, past what raised."""
    message = raised(what, error, why=_why(error))
    _rest(mover, mover.describe(facts_of(error, message, mover.definition.owner)))


def _why(error: BaseException) -> str:
    """What a failure says of an error."""
    # Not isinstance, which asks the error itself what it is.
    return cast(DatabaseRefused, error).why if issubclass(type(error), DatabaseRefused) else text_of(error)


def _rest(mover: Mover, failure: Failure, **entry: Any) -> None:
    source = mover.after.state
    mover.enter(failed_from(source), event=Event(trigger=FAIL, at=failure.at), failure=failure)
    mover.note(HistoryKind.TRANSITION, trigger=FAIL, source=source, failure=failure, **entry)


def _run_again(mover: Mover, work: Work, *, after_ms: int) -> None:
    now = mover.now
    again = replace(
        work,
        attempt=work.attempt + 1,
        dispatch=0,
        owner=None,
        lease_until=None,
        wake_at=now + (after_ms or GRACE_MS),
        rung_at=None if after_ms else now,
        progress=None,
    )
    again = hurried(again)
    mover.after = replace(mover.after, work=hold(again, now) if mover.after.paused else again)


def _withheld(happening: Returned) -> str | None:
    """A result as it is stored until somebody retries; None where it cannot be."""
    try:
        found = {
            "trigger": happening.trigger,
            "changed": dict(happening.changes.changed),
            "removed": list(happening.changes.removed),
            "base": dict(happening.changes.base),
            "result": happening.result,
            "sent": [as_kept(asked) for asked in happening.sent],
        }
        return codec.encode(found, what="result", limit=MAX_RESULT_BYTES)
    except DataError:
        return None


def _rejection(trigger: str, error: BaseException, *, withheld: bool) -> str:
    # Not isinstance, which asks the error itself what it is.
    if type(error) is Refused:
        reason = f"nothing accepts it: {'; '.join(error.refusals) or 'no transition takes it'}"
    elif type(error) is LeadsNowhere:
        reason = text_of(error)
    elif issubclass(type(error), DatabaseRefused):
        reason = _why(error)
    else:
        reason = raised("deciding it", error)
    what = "the job returned" if trigger == DONE else f"the job returned Outcome({trigger!r})"
    then = (
        "The result is kept; retry decides again from it" if withheld else "It cannot be kept; retry runs the job again"
    )
    return f"{what}, but {reason}. {then}"


def _work(mover: Mover) -> Work:
    work = mover.after.work
    if work is None:
        raise ValueError(f"{mover.after.address} has no work to settle")
    return work


def _seconds(duration_ms: int | None) -> float | None:
    return None if duration_ms is None else duration_ms / 1000
