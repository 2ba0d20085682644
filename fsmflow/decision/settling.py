"""Decides how an attempt ends: returned, failed, postponed, crashed, saved."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

from fsmflow import clock, codec
from fsmflow.decision.events import Changes, Crashed, Facts, Failed, Postponed, Returned, Saved
from fsmflow.decision.failing import clip, describe
from fsmflow.decision.moving import Mover, Refused, hold
from fsmflow.decision.records import GRACE_MS, MAX_CRASHES, MAX_POSTPONED, Event, Failure, Work
from fsmflow.definition.names import DONE, FAIL, RETRY, failed_from
from fsmflow.errors import MAX_DURATION_S, DataError, FsmflowError, RetryAfter, TransitionNotAllowed, WorkerLost, told

MAX_RESULT_BYTES = 4 * 1024 * 1024
MAX_NOTE = 1_000


class LeadsNowhere(FsmflowError):
    """A job returned, and the transition that took its result is internal."""


def returned(mover: Mover, happening: Returned) -> None:
    """The result is merged and its trigger decided; what nothing accepts is kept, in ``failed_from_X``."""
    duration = _seconds(happening.duration_ms)
    try:
        trial = Mover(mover.definition, mover.after, mover.now)
        _accept(trial, happening.trigger, happening.changes, attempt=happening.claim.attempt, duration=duration)
    except BaseException as error:  # noqa: BLE001 - whatever the user's guards and callbacks raise
        kept = _kept(happening.trigger, happening.changes)
        message = _rejection(happening.trigger, error, kept=kept is not None)
        kind = TransitionNotAllowed if isinstance(error, (Refused, LeadsNowhere)) else type(error)
        failure = describe(Facts(kind=kind, message=message, permanent=True), mover.after, mover.now)
        _rest(mover, failure, duration=duration, attempt=happening.claim.attempt)
        mover.after = replace(mover.after, result_text=kept)
        return
    mover.after = trial.after
    mover.entries += trial.entries


def accept_kept(mover: Mover, result_text: str, patch_keys: set[str], attempts: int | None) -> None:
    """After a retry: decide again from the result that was kept. Nothing is done where it is still refused: the job,
    which the retry has planned, runs again."""
    kept = codec.decode(result_text)
    changed = {key: value for key, value in kept["changed"].items() if key not in patch_keys}
    changes = Changes(changed=changed, removed=tuple(key for key in kept["removed"] if key not in patch_keys))
    trial = Mover(mover.definition, mover.after, mover.now)
    try:
        _accept(trial, kept["trigger"], changes, attempt=attempts, duration=None)
    except Exception:  # noqa: BLE001 - whatever the user's guards and callbacks raise
        return
    mover.after = trial.after
    mover.entries += trial.entries


def _accept(mover: Mover, trigger: str, changes: Changes, *, attempt: int | None, duration: float | None) -> None:
    if trigger in (FAIL, RETRY):
        raise DataError(f"the job asked for {trigger!r}; a job fails by raising, for good with Fail(...)")
    before = mover.after
    data = changes.applied_to(before.data)
    event = mover.event(trigger)
    mover.fire(trigger, data=data, event=event, by_engine=True, attempt=attempt, duration=duration)
    if mover.after.epoch == before.epoch:
        raise LeadsNowhere(
            f"{trigger!r} is internal from {before.state!r}, and a job that has returned must lead somewhere; name a "
            f"dest, or '=' to run it again"
        )


def failed(mover: Mover, happening: Failed) -> None:
    """Retried by itself as long as the policy says so; else ``fail`` is fired."""
    work = _work(mover)
    policy = mover.definition.states[mover.after.state].retry
    facts = happening.facts
    retries = (
        policy is not None and not facts.permanent and policy.applies_to(facts.kind) and work.failures < policy.max
    )
    failure = describe(replace(facts, permanent=not retries), mover.after, mover.now)
    duration = _seconds(happening.duration_ms)
    if policy is None or not retries:
        give_up(mover, failure, duration=duration)
        return
    spread = zlib.crc32(f"{mover.after.row}-{work.epoch}-{work.attempt}".encode()) / 2**32
    wait = policy.delay_ms(work.failures + 1, spread)
    _run_again(mover, replace(work, failures=work.failures + 1), after_ms=wait)
    mover.after = replace(mover.after, failure_text=failure.to_text())
    mover.note("attempt_failed", attempt=work.attempt, failure=failure, duration=duration)


def crashed(mover: Mover, happening: Crashed) -> None:
    """Run again at once, up to three times since the state was entered; then ``fail`` with WorkerLost."""
    work = _work(mover)
    exhausted = work.crashes >= MAX_CRASHES
    message = f"{happening.detail} (run {work.crashes + 1} of {MAX_CRASHES + 1} that was lost)"
    failure = describe(Facts(kind=WorkerLost, message=message, permanent=exhausted), mover.after, mover.now)
    duration = _seconds(happening.duration_ms)
    if exhausted:
        give_up(mover, failure, duration=duration)
        return
    _run_again(mover, replace(work, crashes=work.crashes + 1), after_ms=0)
    mover.after = replace(mover.after, failure_text=failure.to_text())
    mover.note("crashed", attempt=work.attempt, failure=failure, duration=duration)


def postponed(mover: Mover, happening: Postponed) -> None:
    """Run again later; no failure, and no history, until there were too many."""
    work = _work(mover)
    if work.postponed >= MAX_POSTPONED:
        message = f"the job raised RetryAfter more than {MAX_POSTPONED:,} times in one step"
        facts = Facts(kind=RetryAfter, message=message, permanent=True)
        give_up(mover, describe(facts, mover.after, mover.now), duration=_seconds(happening.duration_ms))
        return
    wait = clock.to_ms(min(happening.seconds, MAX_DURATION_S))
    _run_again(mover, replace(work, postponed=work.postponed + 1), after_ms=wait)
    mover.after = replace(mover.after, updated_at=mover.now)


def saved(mover: Mover, happening: Saved) -> None:
    """Commit what the job changed so far."""
    data = happening.changes.applied_to(mover.after.data)
    mover.after = replace(mover.after, data_text=codec.encode(data))
    mover.note("saved", attempt=happening.claim.attempt)


def give_up(mover: Mover, failure: Failure, *, duration: float | None) -> None:
    """Fire ``fail``. Where a guard or callback of it raises, go to ``failed_from_X`` past it."""
    attempt = _work(mover).attempt
    trial = Mover(mover.definition, mover.after, mover.now)
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
        reason = f"past its 'fail' transitions, as one raised {type(error).__name__}: {told(error)[:MAX_NOTE]}"
        _rest(mover, failure, duration=duration, attempt=attempt, reason=clip(reason, MAX_NOTE))
        return
    mover.after = trial.after
    mover.entries += trial.entries


def _rest(mover: Mover, failure: Failure, **entry: Any) -> None:
    source = mover.after.state
    mover.enter(failed_from(source), event=Event(trigger=FAIL, at=failure.at), failure=failure)
    mover.note("transition", trigger=FAIL, source=source, failure=failure, **entry)


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
    mover.after = replace(mover.after, work=hold(again, now) if mover.after.paused else again)


def _kept(trigger: str, changes: Changes) -> str | None:
    try:
        kept = {"trigger": trigger, "changed": dict(changes.changed), "removed": list(changes.removed)}
        return codec.encode(kept, what="result", limit=MAX_RESULT_BYTES)
    except DataError:
        return None


def _rejection(trigger: str, error: BaseException, *, kept: bool) -> str:
    if isinstance(error, Refused):
        reason = f"nothing accepts it: {'; '.join(error.refusals) or 'no transition takes it'}"
    elif isinstance(error, LeadsNowhere):
        reason = told(error)
    else:
        reason = f"deciding it raised {type(error).__name__}: {told(error)}"
    what = "the job returned" if trigger == DONE else f"the job returned Outcome({trigger!r})"
    then = "The result is kept; retry decides again from it" if kept else "It cannot be kept; retry runs the job again"
    return f"{what}, but {reason}. {then}"


def _work(mover: Mover) -> Work:
    work = mover.after.work
    if work is None:
        raise ValueError(f"{mover.after.address} has no work to settle")
    return work


def _seconds(duration_ms: int | None) -> float | None:
    return None if duration_ms is None else duration_ms / 1000
