"""All that is logged, in one place: stable event names first, then a sentence for the operator."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fsmflow.causes import likely
from fsmflow.errors import NotPermitted, name_of, noted, text_of
from fsmflow.log.lines import logger, one_line
from fsmflow.log.reminder import Reminder

_released = Reminder()


def variable_misspelt(told: str) -> None:
    logger.warning("settings.misspelt: %s", told)


def dispatch_failed(count: int, error: BaseException, *, again: bool = False) -> None:
    """Whoever goes on calling while Redis is away need not be told ``again``."""
    logger.log(
        logging.DEBUG if again else logging.WARNING,
        "dispatch.failed: %d job(s) are committed but Redis did not take them (%s); they follow when it is back",
        count,
        likely(one_line(text_of(error))),
    )


def dispatch_works() -> None:
    logger.warning("dispatch.back: Redis takes jobs again")


def claim_refused(ticket: str) -> None:
    logger.debug("claim.refused: %s is not to be run (done, taken, held or left)", ticket)


def claim_released(address: str, why: str, *, as_usual: bool) -> None:
    """Thousands may be given back for one reason, as a machine that a worker lacks: one of them is told in a minute.
    Nobody has to know of what happens ``as_usual``."""
    logger.log(
        logging.DEBUG if as_usual or not _released.is_due(why.replace(address, "")) else logging.WARNING,
        "claim.released: %s: %s; it is offered again later and no attempt is counted",
        address,
        one_line(why),
        extra={"address": address},
    )


def hold_in_force(hold: str) -> None:
    logger.warning("hold.in_force: %s; 'fsmflow hold' shows what waits for it", one_line(hold))


def held_back(address: str, state: str, hold: str) -> None:
    logger.info(
        "held.back: %s waits in %s: %s keeps it back; 'fsmflow hold' shows it, and 'fsmflow release' ends it",
        address,
        state,
        one_line(hold),
        extra={"address": address, "state": state},
    )


def claim_abandoned(address: str, why: str) -> None:
    logger.error(
        "claim.abandoned: %s: %s; its step runs at most once, and fails when its lease ends",
        address,
        one_line(why),
        extra={"address": address},
    )


def attempt_crashed(address: str, detail: str) -> None:
    logger.warning("attempt.crashed: %s: %s", address, detail, extra={"address": address})


def transaction_left_open(address: str, job: str, what: str = "") -> None:
    line = "job.transaction_open: %s: job %r left a transaction open; it was rolled back%s"
    logger.error(line, address, job, what and f": {what}", extra={"address": address})


def written_apart(why: str) -> None:
    logger.warning("job.written_apart: %s", why)


def settle_waits(address: str, error: BaseException, wait_s: float, *, again: bool = False) -> None:
    """The first time it is a warning: as often as it is tried ``again``, the same could be said."""
    level = logging.DEBUG if again else logging.WARNING
    line = "settle.waits: %s: the result cannot be committed yet (%s); trying again in %.1f s"
    logger.log(level, line, address, one_line(text_of(error)), wait_s, extra={"address": address})


def commit_refused(address: str, why: str) -> None:
    logger.error(
        "commit.refused: %s: %s; what happened is recorded without that",
        address,
        one_line(why),
        extra={"address": address},
    )


def commit_in_doubt(address: str, landed: bool) -> None:
    logger.warning(
        "commit.in_doubt: %s: COMMIT failed; read again: it %s",
        address,
        "had landed" if landed else "had not",
        extra={"address": address},
    )


def connection_dropped(error: str) -> None:
    logger.info("database.dropped: the connection was thrown away: %s", error)


def sweep_failed(what: str, error: BaseException) -> None:
    logger.error(
        "maintenance.failed: %s: %s: %s; it is tried again",
        what,
        name_of(type(error)),
        one_line(text_of(error) + noted(error)),
    )


def schedule_failed(machine: str, error: BaseException) -> None:
    logger.error(
        "schedule.failed: %s: %s: %s; it is tried again", machine, name_of(type(error)), one_line(text_of(error))
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


def schedule_is_paused(machine: str, tick: str, by: str | None) -> None:
    logger.info(
        "schedule.paused: %s: the tick of %s starts nothing, as the schedule is paused by %s; 'fsmflow schedule resume "
        "%s' ends that",
        machine,
        tick,
        by or "somebody",
        machine,
    )


def pruned(machine: str, what: str) -> None:
    logger.info("retention.pruned: %s: %s deleted, as its retention says", machine, what)


def retention_failed(error: BaseException) -> None:
    logger.error("retention.failed: %s: %s; it is tried again", name_of(type(error)), one_line(text_of(error)))


def hook_failed(address: str, name: str, error: BaseException) -> None:
    logger.error(
        "hook.failed: %s: %s raised %s: %s; the transition stands",
        address,
        name,
        name_of(type(error)),
        one_line(text_of(error)),
        extra={"address": address},
    )


def hook_hangs(seconds: float) -> None:
    logger.error("hook.hangs: a hook has not returned for %g s; it is left to itself", seconds)


def task_failed(what: str, address: str, error: BaseException) -> None:
    logger.warning(
        "task.failed: %s of %s: %s: %s; maintenance does it",
        what,
        address,
        name_of(type(error)),
        one_line(text_of(error)),
        extra={"address": address},
    )


def data_overwritten(address: str, state: str, paths: str) -> None:
    logger.warning(
        "data.overwritten: %s: the job of %r and others both changed %s; the job's values stand, and history tells "
        "what they replace. Write merge(self, key, base, theirs, mine) to decide otherwise",
        address,
        state,
        one_line(paths),
        extra={"address": address},
    )


def message_lost(address: str, trigger: str, to: str, why: str) -> None:
    logger.warning(
        "message.lost: %s sent %r to %s, which cannot be delivered: %s",
        address,
        trigger,
        to,
        one_line(why),
        extra={"address": address},
    )


def branch_failed(address: str, what: str, error: str) -> None:
    logger.error(
        "branch.failed: %s: %s: a callback raised %s; it is tried again",
        address,
        what,
        one_line(error),
        extra={"address": address},
    )


def branch_refused(address: str, what: str, error: BaseException) -> None:
    logger.info("branch.refused: %s: %s: %s", address, what, one_line(text_of(error)), extra={"address": address})


def transaction_in_doubt(address: str, error: BaseException) -> None:
    logger.error(
        "transaction.in_doubt: %s: %s: %s; it was committed whole, or runs again",
        address,
        name_of(type(error)),
        one_line(text_of(error)),
        extra={"address": address},
    )


def redis_was_empty(count: int, level: int) -> None:
    logger.log(level, "redis.empty: Redis is new, or lost what it had; %d job(s) are dispatched from SQL", count)


def job_refused(job_id: str, why: str) -> None:
    logger.error(
        "job.refused: %s in Redis is not fsmflow's: %s; nothing of it was run, and it is among RQ's failed jobs; this "
        "queue is fsmflow's own, so enqueue it elsewhere",
        job_id,
        why,
    )


def timer_refused(address: str, trigger: str, why: str, wait_s: float) -> None:
    logger.warning(
        "timer.refused: %s: its %s is due, and cannot be taken: %s; it is tried again in %.0f s, and by 'resume' now",
        address,
        trigger,
        why,
        wait_s,
        extra={"address": address},
    )


def permission_refused(error: NotPermitted) -> None:
    logger.warning(
        "permission.refused: %s: %s asked for %r: %s",
        error.address,
        "nobody" if error.actor is None else repr(error.actor),
        error.trigger,
        one_line(text_of(error)),
        extra={"address": error.address},
    )


def redacted_seen(address: str, actor: str | None) -> None:
    logger.warning("redacted.seen: %s: %r was shown what it redacts", address, actor, extra={"address": address})


def left_to_others(row: str, why: str, wait_s: float) -> None:
    logger.warning("entity.unknown: %s is due, but %s; looked at again in %.0f s", row, why, wait_s)


def starting(what: str, facts: Mapping[str, str]) -> None:
    lines = "".join(f"\n    {name:8}  {text}" for name, text in facts.items())
    logger.info("supervisor.starting: %s%s", what, lines)


def others_listen(who: str) -> None:
    logger.warning(
        "worker.others: workers with other code listen on these queues, too: %s; they go on with it until they are "
        "stopped",
        who,
    )


def reload_watches(folders: str) -> None:
    logger.info("reload.watching: the worker starts anew when code changes in %s", folders)


def reload_begins(what: str) -> None:
    logger.info("reload.changed: %s has changed; the worker starts anew", what)


def reload_waits(status: int) -> None:
    logger.warning("reload.waiting: the worker has ended with status %d; it starts anew once code changes", status)


def worker_started(pid: int, queues: str) -> None:
    logger.info("worker.started: process %d listens on %s", pid, queues)


def worker_cannot_start(pid: int, error: BaseException) -> None:
    logger.error("worker.failed: process %d cannot start: %s", pid, error)


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
    logger.warning(
        "job.left: %s: job %r left behind: %s (%s)", address, job, what, one_line(then), extra={"address": address}
    )


def fork_ended(pid: int, parent: int, what: str, ended: str) -> None:
    logger.info(
        "job.forked: process %d, which %s forked, has %s, and ends here: only process %d goes on with the step",
        pid,
        what,
        one_line(ended),
        parent,
    )


def farewell_failed(error: BaseException) -> None:
    logger.debug("worker.unheard: Redis was not told that this worker ends: %s", one_line(text_of(error)))


def outage_begins(server: str, error: BaseException, level: int) -> None:
    logger.log(
        level, f"{server}.lost: %s; it is tried again until it answers", likely(one_line(text_of(error)).rstrip("."))
    )


def outage_ends(server: str, seconds: float, level: int) -> None:
    logger.log(level, f"{server}.back: it answers again, after %.1f s", seconds)


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


def redis_unknown(error: BaseException) -> None:
    logger.debug("redis.unknown: which server is the master of Redis cannot be told now: %s", one_line(text_of(error)))
