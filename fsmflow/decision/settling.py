"""Decides how an attempt ends: returned, failed, postponed, crashed, saved."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import replace
from typing import Any

from fsmflow import clock, codec
from fsmflow.decision.events import Changes, Crashed, Facts, Failed, Postponed, Returned, Saved
from fsmflow.decision.moving import Mover, hold
from fsmflow.decision.records import GRACE_MS, MAX_CRASHES, MAX_POSTPONED, Event, Failure, Snapshot, Work
from fsmflow.definition.names import DONE, FAIL, RETRY, failed_from
from fsmflow.errors import DataError, RetryAfter, TransitionNotAllowed, WorkerLost

MAX_RESULT_BYTES = 4 * 1024 * 1024
_VARYING = re.compile(r"0x[0-9a-f]+|\d+|'[^']*'|\"[^\"]*\"", re.IGNORECASE)


def returned(mover: Mover, happening: Returned) -> None:
    """The result is merged and its trigger decided; what nothing accepts is kept, in ``failed_from_X``."""
    duration = _seconds(happening.duration_ms)
    try:
        trial = Mover(mover.definition, mover.after, mover.now)
        _accept(trial, happening.trigger, happening.changes, attempt=happening.claim.attempt, duration=duration)
    except Exception as error:  # noqa: BLE001 - whatever the user's guards and callbacks raise
        facts = Facts(kind=type(error), message=_rejection(happening.trigger, error), permanent=True)
        failure = describe(facts, mover.after, mover.now)
        _rest(mover, failure, duration=duration, attempt=happening.claim.attempt)
        mover.after = replace(mover.after, result_text=_kept(happening.trigger, happening.changes))
        return
    mover.after = trial.after
    mover.entries += trial.entries


def accept_kept(mover: Mover, patch_keys: set[str], attempts: int | None) -> bool:
    """After a retry: decide again from the result that was kept. False, and nothing done, if it is still refused."""
    kept = codec.decode(mover.before.result_text or "null")
    if kept is None:
        return False
    changed = {key: value for key, value in kept["changed"].items() if key not in patch_keys}
    changes = Changes(changed=changed, removed=tuple(key for key in kept["removed"] if key not in patch_keys))
    trial = Mover(mover.definition, mover.after, mover.now)
    try:
        _accept(trial, kept["trigger"], changes, attempt=attempts, duration=None)
    except Exception:  # noqa: BLE001 - still refused, for whatever reason: the job runs again
        return False
    mover.after = trial.after
    mover.entries += trial.entries
    return True


def _accept(mover: Mover, trigger: str, changes: Changes, *, attempt: int | None, duration: float | None) -> None:
    if trigger in (FAIL, RETRY):
        raise DataError(f"the job asked for {trigger!r}; a job fails by raising, for good with Fail(...)")
    before = mover.after
    data = changes.applied_to(before.data)
    event = mover.event(trigger)
    mover.fire(trigger, data=data, event=event, by_engine=True, attempt=attempt, duration=duration)
    if mover.after.epoch == before.epoch:
        raise TransitionNotAllowed(
            before.address,
            before.state,
            trigger,
            why="it is internal, and a job that has returned must lead somewhere; name a dest, or '=' to run it again",
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
    _run_again(mover, replace(work, postponed=work.postponed + 1), after_ms=clock.to_ms(happening.seconds))
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
    except Exception as error:  # noqa: BLE001 - whatever the user's guards and callbacks raise
        reason = f"past its 'fail' transitions, as one raised {type(error).__name__}: {error}"[:MAX_RESULT_BYTES]
        _rest(mover, failure, duration=duration, attempt=attempt, reason=reason[:1000])
        return
    mover.after = trial.after
    mover.entries += trial.entries


def describe(facts: Facts, snapshot: Snapshot, now: int) -> Failure:
    """The failure that is recorded for an error in the state that the entity is in."""
    kind = f"{snapshot.machine}:{snapshot.state}:{facts.error_type}:{_VARYING.sub('*', facts.message)[:200]}"
    return Failure(
        error_type=facts.error_type,
        message=_clip(facts.message, 2_000),
        traceback=_clip(facts.traceback, 8_000),
        state=snapshot.state,
        attempts=snapshot.work.attempt if snapshot.work else 1,
        at=clock.to_datetime(now),
        fingerprint=hashlib.sha256(kind.encode("utf-8", "replace")).hexdigest()[:12],
        permanent=facts.permanent,
    )


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


def _rejection(trigger: str, error: Exception) -> str:
    if isinstance(error, TransitionNotAllowed):
        reasons = "; ".join(error.refusals) or "no transition takes it"
        told = str(error) if not error.refusals and "internal" in str(error) else f"nothing accepts it: {reasons}"
    else:
        told = f"deciding it raised {type(error).__name__}: {error}"
    what = "the job returned" if trigger == DONE else f"the job returned Outcome({trigger!r})"
    return f"{what}, but {told}. The result is kept; retry decides again from it"


def _work(mover: Mover) -> Work:
    work = mover.after.work
    if work is None:
        raise ValueError(f"{mover.after.address} has no work to settle")
    return work


def _seconds(duration_ms: int | None) -> float | None:
    return None if duration_ms is None else duration_ms / 1000


def _clip(text: str, limit: int) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else "..." + text[-limit:]
