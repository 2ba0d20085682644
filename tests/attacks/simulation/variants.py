"""Wrong variants of the protocol: each takes one guard out of the real code. A simulation that does not find them
would find nothing else either."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest import mock

from fsmflow.decision import outbox, reconciliation, settlement
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Claim, Snapshot
from fsmflow.decision.happenings import Changes
from fsmflow.decision.merge import Merged
from fsmflow.decision.mover import Mover
from fsmflow.decision.permit import Entrant, Stage
from fsmflow.decision.work import Work
from fsmflow.engine import fanout
from fsmflow.running import claim, executor
from fsmflow.running.job import Job
from fsmflow.running.maintenance import holds
from fsmflow.running.maintenance.doorbells import Doorbells
from fsmflow.running.maintenance.losses import Losses
from fsmflow.store import bundles
from fsmflow.store.doubt import Doubt
from fsmflow.store.permits import Permits
from fsmflow.store.statements import Statements
from fsmflow.store.store import Store
from fsmflow.store.tables import ENTITY, HISTORY
from fsmflow.store.work import WorkRows
from fsmflow.store.writes import Gathered, Lost
from tests.attacks.simulation.doorbell import SimulatedDoorbell

Patches = Callable[[Statements], list[Any]]


def _statements(sql: Statements, **changes: tuple[str, str]) -> list[Any]:
    """Replace a text in each of these statements. Raises AssertionError where it is not there any more."""
    patches = []
    for name, (old, new) in changes.items():
        before = getattr(sql, name)
        assert old in before, f"{name} is {before!r}: the variant is out of date"
        patches.append(mock.patch.object(sql, name, before.replace(old, new)))
    return patches


def _no_reconciler(sql: Statements) -> list[Any]:
    return [mock.patch.object(Doorbells, "ring", return_value=True)]


def _no_lease(sql: Statements) -> list[Any]:
    return [mock.patch.object(Losses, "expire", return_value=None)]


def _no_fence(sql: Statements) -> list[Any]:
    """What settles is guarded by epoch and attempt alone."""
    guard = ('"fence" = ? AND "owner" = ?', '("fence" = ? OR "owner" = ? OR 1)')
    names = ("update_work_guarded", "delete_work_guarded", "lock_work_guarded", "release")
    return [*_statements(sql, **dict.fromkeys(names, guard)), mock.patch.object(Claim, "holds", _same_attempt)]


def _same_attempt(claim: Claim, snapshot: Any) -> bool:
    work = snapshot.work
    return work is not None and (work.epoch, work.attempt) == (claim.epoch, claim.attempt)


def _any_attempt(sql: Statements) -> list[Any]:
    """What settles asks only whether somebody runs something."""
    guard = (
        '"epoch" = ? AND "attempt" = ? AND "fence" = ? AND "owner" = ?',
        '("epoch" = ? OR "attempt" = ? OR "fence" = ? OR "owner" = ? OR 1)',
    )
    names = ("update_work_guarded", "delete_work_guarded", "lock_work_guarded", "release")
    holds = mock.patch.object(Claim, "holds", lambda claim, snapshot: snapshot.work is not None)
    return [*_statements(sql, **dict.fromkeys(names, guard)), holds]


def _claim_twice(sql: Statements) -> list[Any]:
    return _statements(sql, claim=('AND "owner" IS NULL', ""))


def _claim_held(sql: Statements) -> list[Any]:
    return _statements(sql, claim=("AND held IS NULL", ""))


def _one_id(sql: Statements) -> list[Any]:
    """Doorbells of one step share an id, and an id is taken once."""
    seen: set[Any] = set()
    real = SimulatedDoorbell._push

    def push(self: SimulatedDoorbell, ticket: Any) -> None:
        key = (id(self), ticket.row, ticket.epoch)
        if key not in seen:
            seen.add(key)
            real(self, ticket)

    return [mock.patch.object(SimulatedDoorbell, "_push", push)]


def _doubt_is_failure(sql: Statements) -> list[Any]:
    return [mock.patch.object(Doubt, "landed", return_value=False)]


def _crashes_for_ever(sql: Statements) -> list[Any]:
    return [mock.patch.object(settlement, "MAX_CRASHES", 1_000)]


def _join_early(sql: Statements) -> list[Any]:
    return _statements(sql, first_unsettled=("BETWEEN 0 AND 1", "BETWEEN 0 AND 0"))


def _items_read_once(sql: Statements) -> list[Any]:
    return [mock.patch.object(fanout, "may_differ", return_value=False)]


def _never_taken(sql: Statements) -> list[Any]:
    """A message stays after it was delivered."""
    return _statements(
        sql, take_event=("DELETE FROM fsmflow_event WHERE id = ?", "UPDATE fsmflow_event SET id = id WHERE id = ?")
    )


def _not_durable(sql: Statements) -> list[Any]:
    """The claim of a job that runs at most once may be lost with the database server."""
    real = WorkRows.heartbeat

    def heartbeat(self: WorkRows, claim: Claim, **options: Any) -> bool:
        return real(self, claim, **{**options, "durable": False})

    return [mock.patch.object(WorkRows, "heartbeat", heartbeat)]


def _not_transactional(sql: Statements) -> list[Any]:
    """A transactional job commits what it wrote before its transition."""
    return [mock.patch.object(executor, "in_transaction", lambda runtime, attempt, run, settling: run())]


def _not_merged(sql: Statements) -> list[Any]:
    """The end of a job writes the keys that it changed over what others wrote there meanwhile."""
    return [mock.patch.object(Changes, "applied_to", lambda changes, data, _=None: Merged(changes.laid_over(data)))]


def _outlives(sql: Statements) -> list[Any]:
    """A message that ends with a visit is not taken back as that is left."""

    def sorted_out(mail: Any, before: Snapshot, after: Snapshot, context: Any) -> Any:
        return outbox.sorted_out(mail, replace(before, bound=False), after, context)

    return [mock.patch("fsmflow.decision.mover.sorted_out", sorted_out)]


def _told_only(sql: Statements) -> list[Any]:
    """What is taken back is told of, and its row stays."""

    def sorted_out(*given: Any) -> Any:
        found = outbox.sorted_out(*given)
        found.takes.clear()
        return found

    return [mock.patch("fsmflow.decision.mover.sorted_out", sorted_out)]


def _begins_anyhow(sql: Statements) -> list[Any]:
    """A job begins though the time of its step is over."""
    return [mock.patch.object(Job, "_begin", return_value=None)]


def _branches_begin_anyhow(sql: Statements) -> list[Any]:
    """A branch begins though the time of the step is over."""
    return [mock.patch.object(claim, "_is_over", return_value=False)]


def _first_attempt_alone(sql: Statements) -> list[Any]:
    """Only the first attempt of a step is bounded by its time."""
    real = settlement._run_again

    def run_again(mover: Mover, work: Work, *, after_ms: int) -> None:
        real(mover, replace(work, deadline=None), after_ms=after_ms)

    return [mock.patch.object(settlement, "_run_again", run_again)]


def _not_looked_at(sql: Statements) -> list[Any]:
    """Nobody looks at the deadline of what also has something else to do."""
    return [mock.patch.object(Work, "is_over", return_value=False)]


def _never_asked(sql: Statements) -> list[Any]:
    """The machine is not asked how what was changed by two is merged."""
    return [mock.patch.object(reconciliation, "_resolved", return_value=None)]


def _runs_on_anyhow(sql: Statements) -> list[Any]:
    """A worker goes on with a step that a pause holds."""
    return [mock.patch.object(Commit, "rings", property(lambda commit: commit.after.work is not None))]


def _held_by_nobody(sql: Statements) -> list[Any]:
    """A claim does not look at the holds."""
    return [mock.patch.object(claim, "_is_kept_back", return_value=False)]


def _held_for_ever(sql: Statements) -> list[Any]:
    """What a hold has parked is not let go after it."""
    return [mock.patch.object(holds, "_let_go", return_value=0)]


class _Unguarded(Gathered):
    """Writes, whether or not there is what is to be written, and whoever has written there: an entity under any
    revision, and no line of history is refused."""

    def run(self, sql: str, params: Sequence[Any], lost: Lost | None = None) -> None:
        guard = ' AND "revision" = ?'
        if sql.startswith(f"UPDATE {ENTITY}") and sql.endswith(guard):
            sql, params = sql.removesuffix(guard), params[:-1]
        super().run(sql.replace(f"INSERT INTO {HISTORY}", f"INSERT OR IGNORE INTO {HISTORY}"), params)


def _together_anyhow(sql: Statements) -> list[Any]:
    """What is committed together asks for no claim and no revision."""
    return [mock.patch.object(bundles, "Gathered", _Unguarded)]


def _counted_by_nobody(sql: Statements) -> list[Any]:
    """A permit is given to whoever asks first, whoever has one."""
    return [mock.patch.object(Permits, "_room", return_value=1)]


def _outlives_its_claim(sql: Statements) -> list[Any]:
    """A permit is good for ever, whatever became of the claim that it is of."""
    return [mock.patch.object(Entrant, "has_permit", property(lambda entrant: entrant.stage is Stage.HELD))]


def _handed_over_in_words(sql: Statements) -> list[Any]:
    """Who is taken out of the line for the next job gets no permit."""
    real = Permits._take

    def take(self: Permits, *given: Any) -> Any:
        with mock.patch.object(Permits, "_let_in", return_value=None):
            return real(self, *given)

    return [mock.patch.object(Permits, "_take", take)]


VARIANTS: Final[dict[str, Patches]] = {
    "messages that outlive their visit": _outlives,
    "messages that are taken back in words alone": _told_only,
    "no reconciler": _no_reconciler,
    "leases that never run out": _no_lease,
    "no fence": _no_fence,
    "any attempt settles": _any_attempt,
    "claimed twice": _claim_twice,
    "claimed while held": _claim_held,
    "one doorbell id for a step": _one_id,
    "a COMMIT in doubt taken for a failure": _doubt_is_failure,
    "crashes without a limit": _crashes_for_ever,
    "joined too early": _join_early,
    "items that are read once": _items_read_once,
    "messages that stay": _never_taken,
    "at most once, not durably": _not_durable,
    "a transactional job outside of its transaction": _not_transactional,
    "data that are not merged": _not_merged,
    "a merge that is not asked for": _never_asked,
    "jobs that begin after the time of their step": _begins_anyhow,
    "branches that begin after the time of their step": _branches_begin_anyhow,
    "time that bounds the first attempt alone": _first_attempt_alone,
    "deadlines that nobody looks at": _not_looked_at,
    "a next step that is taken in a pause": _runs_on_anyhow,
    "claims that do not look at the holds": _held_by_nobody,
    "parked for ever by a hold": _held_for_ever,
    "many committed together without their guards": _together_anyhow,
    "permits that nobody counts": _counted_by_nobody,
    "permits that outlive their claims": _outlives_its_claim,
    "handed over without a permit": _handed_over_in_words,
}


@contextmanager
def applied(name: str | None, store: Store) -> Iterator[None]:
    """Inside, the code is wrong in this way; None for the code as it is."""
    with ExitStack() as stack:
        for patch in VARIANTS[name](store.work._sql) if name is not None else ():
            stack.enter_context(patch)
        yield
