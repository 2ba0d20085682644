"""The lines that tell how attempts and steps end, and what went wrong with those who look on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fsmflow.causes import traceback_of
from fsmflow.errors import name_of, text_of
from fsmflow.log.lines import logger, one_line


def tells(level: int) -> bool:
    """Whether a line of this level would be written anywhere."""
    return logger.isEnabledFor(level)


def step_done(how: str, fields: Mapping[str, Any]) -> None:
    logger.info("step.done: %s", how, extra=fields)


def step_waits(how: str, fields: Mapping[str, Any]) -> None:
    logger.info("step.waits: %s; the job has returned, and the entity waits", how, extra=fields)


def attempt_postponed(how: str, then: str, fields: Mapping[str, Any], *, is_usual: bool) -> None:
    """``is_usual``: what comes with fsmflow does so several times a second."""
    level = logging.DEBUG if is_usual else logging.INFO
    logger.log(level, "attempt.postponed: %s, as the job asked; %s", how, then, extra=fields)


def attempt_failed(how: str, error: str, then: str, fields: Mapping[str, Any]) -> None:
    logger.warning("attempt.failed: %s: %s; %s", how, one_line(error), then, extra=fields)


def observer_failed(name: str, error: BaseException) -> None:
    logger.error(
        "observer.failed: %s: %s: %s; the step goes on without it", name, name_of(type(error)), one_line(text_of(error))
    )


def step_caught(how: str, error: str, fields: Mapping[str, Any], traceback: str, raised: BaseException | None) -> None:
    _with_traceback(logging.WARNING, f"step.caught: {how}: {one_line(error)}", fields, traceback, raised)


def step_failed(
    how: str, error: str, retry: str, fields: Mapping[str, Any], traceback: str, raised: BaseException | None
) -> None:
    line = f"step.failed: {how}: {one_line(error)}; to retry it: {retry}"
    _with_traceback(logging.ERROR, line, fields, traceback, raised)


def _with_traceback(
    level: int, line: str, fields: Mapping[str, Any], traceback: str, raised: BaseException | None
) -> None:
    """A line with a traceback, as fsmflow has recorded it; and with the error itself, for those who listen to logging
    and want that. Like any other line it is not made where nobody wants its level."""
    if not logger.isEnabledFor(level):
        return
    error = None if raised is None else (type(raised), raised, traceback_of(raised))
    record = logger.makeRecord(logger.name, level, __file__, 0, line, (), error, extra=fields)
    # Handlers write this; to have the error written anew would ask it, and it is the user's.
    record.exc_text = traceback.rstrip() or None
    logger.handle(record)


def result_discarded(address: str, state: str, attempt: int, what: str) -> None:
    logger.warning(
        "result.discarded: %s: attempt %d of %r %s, but the step had been taken over, left or cancelled; "
        "nothing was changed",
        address,
        attempt,
        state,
        one_line(what),
        extra={"address": address},
    )


def claim_regained(address: str, attempt: int, what: str) -> None:
    logger.warning(
        "claim.regained: %s: the database has lost the claim of attempt %d, as one that takes over may have; %s",
        address,
        attempt,
        what,
        extra={"address": address},
    )


def callback_failed(address: str, error: BaseException) -> None:
    """Something of the program's, which Django or another host calls after its COMMIT."""
    logger.error(
        "transaction.callback_failed: %s: %s: %s; the step is committed, but what the job had handed to on_commit() "
        "raised this, and what came after it there was not called: give it robust=True",
        address,
        name_of(type(error)),
        one_line(text_of(error)),
        extra={"address": address},
    )


def loop_blocked(pid: int, address: str, others: int) -> None:
    logger.error(
        "loop.blocked: the async job of %s keeps process %d, in which %d other jobs wait, from going on; killing it. "
        "All run again, this one alone. It must await what takes its time, or hand it to asyncio.to_thread()",
        *(address, pid, others),
    )


def limit_passed(address: str, job: str, seconds: float) -> None:
    logger.warning(
        "limit.passed: job %r of %s has run for %.1f s in a thread, which is longer than its limit. Nothing can end it "
        "there, and what it comes to counts; give its call a timeout of its own",
        job,
        address,
        seconds,
        extra={"address": address},
    )


def tasks_left(address: str, job: str) -> None:
    logger.warning(
        "job.tasks: %s: job %r has ended, and a task that it began goes on, though it was cancelled", *(address, job)
    )


def waited_for_itself(address: str, why: str) -> None:
    logger.error("job.waited_for_itself: %s: %s", address, why, extra={"address": address})


def not_watched(address: str, why: str) -> None:
    """Nobody has to do anything: a job that does not wait for itself is as well off."""
    line = "job.not_watched: %s: whether the job waits for itself cannot be seen: %s"
    logger.debug(line, address, why, extra={"address": address})
