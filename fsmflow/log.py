"""All that is logged, in one place: stable event names first, then a sentence for the operator."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fsmflow.errors import name_of, text_of

logger = logging.getLogger("fsmflow")
_of_jobs = logging.getLogger("fsmflow.job")

#: So much of a text of somebody else's is logged.
_LONGEST = 4_000
_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
_WITH_TRACEBACK = logging.Formatter("%(message)s")


class _Heard(logging.Logger):
    """One that a ``dictConfig`` of the user's does not switch off by not naming it. A level of its own still does."""

    @property
    def disabled(self) -> bool:
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Left alone: ``disable_existing_loggers`` is True where nobody says otherwise."""


def configure(level: str) -> None:
    """Write log lines to standard error, as worker and supervisor do. ``transitions`` and RQ only where they warn, and
    peewee too: it would log each statement with the data that it writes. What is printed is seen line by line: it
    would be lost with a process that is killed."""
    logging.basicConfig(level=level, format=_FORMAT)
    for ours in (logger, _of_jobs):
        object.__setattr__(ours, "__class__", _Heard)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    for name in ("transitions", "rq.worker", "peewee"):
        logging.getLogger(name).setLevel(logging.WARNING)


class StepLog(logging.LoggerAdapter[logging.Logger]):
    """``machine.log``: each line begins with the entity, its state and the attempt.

    With a ``mask`` the line is put together here, its traceback too, and handed on as text without what is redacted.
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, object], mask: Callable[[str], str] | None) -> None:
        super().__init__(logger, extra)
        self._mask = mask

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log one line."""
        if not self.isEnabledFor(level):
            return
        if self._mask is not None:
            error = _error_of(kwargs.pop("exc_info", None))
            whole = self.logger.makeRecord(self.logger.name, level, "", 0, msg, args, error)
            msg, args = self._mask(_WITH_TRACEBACK.format(whole)), ()
        extra = self.extra or {}
        start = f"{extra.get('address')} {extra.get('state')} attempt {extra.get('attempt')}"
        # An id may have a '%', which is a placeholder as soon as there are arguments.
        line = f"{start.replace('%', '%%') if args else start}: {msg}"
        self.logger.log(level, line, *args, **{**kwargs, "stacklevel": kwargs.get("stacklevel", 1) + 1})


def step_log(address: str, state: str, attempt: int, mask: Callable[[str], str] | None = None) -> StepLog:
    """The logger that a job gets. ``mask`` takes out of each line what is not to be seen."""
    return StepLog(_of_jobs, {"address": address, "state": state, "attempt": attempt}, mask)


def _error_of(exc_info: Any) -> Any:
    """What ``exc_info=`` of a logging call means."""
    if isinstance(exc_info, BaseException):
        return type(exc_info), exc_info, exc_info.__traceback__
    return sys.exc_info() if exc_info and not isinstance(exc_info, tuple) else exc_info


def dispatch_failed(count: int, error: BaseException) -> None:
    logger.warning(
        "dispatch.failed: %d job(s) are committed but Redis did not take them (%s); they follow when it is back",
        count,
        error,
    )


def result_discarded(address: str, state: str, attempt: int, what: str) -> None:
    logger.warning(
        "result.discarded: %s: attempt %d of %r %s, but the step had been taken over, left or cancelled; "
        "nothing was changed",
        address,
        attempt,
        state,
        what,
    )


def claim_refused(ticket: str) -> None:
    logger.debug("claim.refused: %s is not to be run (done, taken, held or left)", ticket)


def claim_released(address: str, why: str) -> None:
    logger.warning(
        "claim.released: %s: %s; it is offered again later and no attempt is counted", address, _one_line(why)
    )


def claim_abandoned(address: str, why: str) -> None:
    logger.error(
        "claim.abandoned: %s: %s; its step runs at most once, and fails when its lease ends", address, _one_line(why)
    )


def attempt_failed(address: str, state: str, attempt: int, error: str) -> None:
    logger.warning("attempt.failed: %s: attempt %d of %r: %s", address, attempt, state, _one_line(error))


def _one_line(text: str) -> str:
    """A text of somebody else's as it can be written: one line, in UTF-8, of moderate length."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def attempt_crashed(address: str, detail: str) -> None:
    logger.warning("attempt.crashed: %s: %s", address, detail)


def transaction_left_open(address: str, job: str) -> None:
    logger.error("job.transaction_open: %s: job %r left a transaction open; it was rolled back", address, job)


def settle_waits(address: str, error: BaseException, wait_s: float) -> None:
    logger.warning(
        "settle.waits: %s: the result cannot be committed yet (%s); trying again in %.1f s", address, error, wait_s
    )


def commit_refused(address: str, why: str) -> None:
    logger.error("commit.refused: %s: %s; what happened is recorded without that", address, _one_line(why))


def commit_in_doubt(address: str, landed: bool) -> None:
    logger.warning(
        "commit.in_doubt: %s: COMMIT failed; read again: it %s", address, "had landed" if landed else "had not"
    )


def connection_dropped(error: str) -> None:
    logger.info("database.dropped: the connection was thrown away: %s", error)


def sweep_failed(what: str, error: BaseException) -> None:
    logger.error(
        "maintenance.failed: %s: %s: %s; it is tried again", what, name_of(type(error)), _one_line(text_of(error))
    )


def schedule_failed(machine: str, error: BaseException) -> None:
    logger.error(
        "schedule.failed: %s: %s: %s; it is tried again", machine, name_of(type(error)), _one_line(text_of(error))
    )


def schedule_late(machine: str, tick: str, *, skipped: bool) -> None:
    logger.warning(
        "schedule.late: %s: nobody ran at %s; %s",
        machine,
        tick,
        "that tick is skipped" if skipped else "the entity of that tick is started now, and none for ticks before it",
    )


def schedule_held(machine: str, tick: str, address: str, *, waits: bool) -> None:
    logger.warning(
        "schedule.held: %s: %s is not finished, so the tick of %s %s",
        machine,
        address,
        tick,
        "waits for that, and no earlier one does" if waits else "starts nothing",
    )


def hook_failed(address: str, name: str, error: BaseException) -> None:
    logger.error(
        "hook.failed: %s: %s raised %s: %s; the transition stands",
        address,
        name,
        name_of(type(error)),
        _one_line(text_of(error)),
    )


def hook_hangs(seconds: float) -> None:
    logger.error("hook.hangs: a hook has not returned for %g s; it is left to itself", seconds)


def task_failed(what: str, address: str, error: BaseException) -> None:
    logger.warning(
        "task.failed: %s of %s: %s: %s; maintenance does it",
        what,
        address,
        name_of(type(error)),
        _one_line(text_of(error)),
    )


def data_overwritten(address: str, state: str, paths: str) -> None:
    logger.warning(
        "data.overwritten: %s: the job of %r and others both changed %s; the job's values stand, and history tells "
        "what they replace. Write merge(self, key, base, theirs, mine) to decide otherwise",
        address,
        state,
        _one_line(paths),
    )


def message_lost(address: str, trigger: str, to: str, why: str) -> None:
    logger.warning(
        "message.lost: %s sent %r to %s, which cannot be delivered: %s", address, trigger, to, _one_line(why)
    )


def branch_failed(address: str, what: str, error: str) -> None:
    logger.error("branch.failed: %s: %s: a callback raised %s; it is tried again", address, what, _one_line(error))


def branch_refused(address: str, what: str, error: BaseException) -> None:
    logger.info("branch.refused: %s: %s: %s", address, what, _one_line(text_of(error)))


def transaction_in_doubt(address: str, error: BaseException) -> None:
    logger.error(
        "transaction.in_doubt: %s: %s: %s; it was committed whole, or runs again",
        address,
        name_of(type(error)),
        _one_line(text_of(error)),
    )


def redis_was_empty(count: int) -> None:
    logger.warning("redis.empty: Redis is new, or lost what it had; %d job(s) are dispatched from SQL", count)


def job_refused(job_id: str, why: str) -> None:
    logger.error("job.refused: %s in Redis is not fsmflow's: %s; it was dropped and nothing was run", job_id, why)


def timer_refused(address: str, trigger: str, why: str, wait_s: float) -> None:
    logger.warning("timer.refused: %s: %r is due, but %s; it is tried again in %.0f s", address, trigger, why, wait_s)


def left_to_others(row: str, why: str, wait_s: float) -> None:
    logger.warning("entity.unknown: %s is due, but %s; looked at again in %.0f s", row, why, wait_s)


def starting(what: str, facts: Mapping[str, str]) -> None:
    lines = "".join(f"\n    {name:8}  {text}" for name, text in facts.items())
    logger.info("supervisor.starting: %s%s", what, lines)


def queue_of_nobody(queue: str, hint: str, known: Sequence[str]) -> None:
    there = f"; theirs are {', '.join(known)}" if known else ""
    logger.warning("queue.unknown: no machine has a queue %r%s", queue, hint or there)


def worker_started(pid: int, queues: str) -> None:
    logger.info("worker.started: process %d listens on %s", pid, queues)


def worker_lost(pid: int, how: str, doing: str) -> None:
    logger.warning("worker.lost: process %d %s while %s; a new one takes its place", pid, how, doing)


def worker_overrun(pid: int, address: str) -> None:
    logger.warning("worker.overrun: process %d did not stop at the time limit of %s; killing it", pid, address)


def worker_worn(pid: int, why: str) -> None:
    logger.info("worker.worn: process %d %s; it ends now, and a new one takes its place", pid, why)


def worker_born_worn(pid: int, why: str) -> None:
    logger.warning("worker.worn: process %d %s before its first job: it will end after each one", pid, why)


def worker_stays(pid: int, seconds: float) -> None:
    logger.warning(
        "worker.stays: process %d did not end within %g s of its last step, as threads keep it that a job has left; "
        "killing it",
        pid,
        seconds,
    )


def job_left(address: str, job: str, what: str, then: str) -> None:
    logger.warning("job.left: %s: job %r left behind: %s (%s)", address, job, what, _one_line(then))


def fork_ended(pid: int, parent: int, what: str, ended: str) -> None:
    logger.info(
        "job.forked: process %d, which %s forked, has %s, and ends here: only process %d goes on with the step",
        pid,
        what,
        _one_line(ended),
        parent,
    )


def redis_lost(error: BaseException, wait_s: float) -> None:
    logger.warning("redis.lost: %s; trying again in %.1f s", error, wait_s)


def gave_up(how: str) -> None:
    logger.error(
        "supervisor.gave_up: started %s; nothing can be run until that is mended. What they said of it stands above, "
        "and 'fsmflow check' looks at the machines",
        how,
    )


def database_gone(path: str) -> None:
    logger.error(
        "database.gone: %s was deleted or replaced while this worker had it open; the worker ends, as nobody would "
        "read what it writes. Run 'fsmflow worker' again: it works with the file that is there then, or with a new one",
        path,
    )


def stopping(how: str) -> None:
    logger.info("supervisor.stopping: %s", how)
