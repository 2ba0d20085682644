"""Entities, their history and their event keys: loading them, and committing decisions."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from peewee import DatabaseError, IntegrityError

from fsmflow import clock, codec, log
from fsmflow.decision.commit import Commit, CommitLost, EventKind
from fsmflow.decision.entity import Claim, ClaimLost, Failure, Snapshot
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.work import NUDGE_MS, Work
from fsmflow.errors import ConfigurationError, DatabaseUnavailable
from fsmflow.points import point
from fsmflow.store.events import post_values
from fsmflow.store.link import TRANSIENT, Link, first_line
from fsmflow.store.own_rows import OwnRows
from fsmflow.store.statements import (
    HISTORY_COLUMNS,
    Statements,
    entity_values,
    new_entity_values,
    snapshot_of,
    work_values,
)

PAGE = 500
_TRIES = 5
_PAUSE_S = 0.05
#: A slow lock is waited for once, not as often as there are tries.
_PATIENCE_S = 5.0
_DOUBT_TRIES = 6
_DOUBT_PAUSE_S = 0.1


class Entities:
    """Reads and writes of entities. Every write is one transaction under the entity's revision."""

    def __init__(self, link: Link, statements: Statements, own_rows: OwnRows) -> None:
        self._link = link
        self._sql = statements
        self._own_rows = own_rows

    def load(self, machine: str, entity_id: str) -> Snapshot | None:
        """The entity as it is now; inside a transaction of the caller's, locked, so that it is the latest."""
        return self._latest(self._link.query(self._sql.load, (machine, entity_id)))

    def load_existing(self, machine: str, entity_id: str) -> Snapshot | None:
        """``load`` for an entity that is known to be there, though a transaction of the caller's may not see it yet."""
        found = self.load(machine, entity_id)
        if found is None and self._link.in_transaction:
            rows = self._link.query(self._sql.load_locked, (machine, entity_id))
            found = snapshot_of(rows[0]) if rows else None
        return found

    def load_row(self, row: int) -> Snapshot | None:
        """The entity of a row id."""
        return self._latest(self._link.query(self._sql.load_row, (row,)))

    def _latest(self, rows: Sequence[Any]) -> Snapshot | None:
        """In a transaction of the caller's, which may show what was there when it began: as it is now, and locked.

        Only the entity's row is locked, as it is known to exist: MySQL would lock the gap where a missing row
        belongs, and two callers would dead-lock in it.
        """
        if not rows:
            return None
        found = snapshot_of(rows[0])
        if self._link.in_transaction and not self._link.is_sqlite:
            locked = self._link.query(self._sql.lock_entity, (found.row,))
            if not locked or locked[0][0] != found.revision:
                rows = self._link.query(self._sql.load_row_locked, (found.row,))
                return snapshot_of(rows[0]) if rows else None
        return found

    def seq_of_key(self, row: int, key: str, *, known: bool = False) -> int | None:
        """The history entry that an event key led to, if it was used.

        ``known``: it may have been used by somebody whom a transaction of the caller's does not see yet.
        """
        latest = known and self._link.in_transaction
        rows = self._link.query(self._sql.event_by_key_locked if latest else self._sql.event_by_key, (row, key))
        return int(rows[0][0]) if rows else None

    def history(self, row: int, *, after: int = 0, limit: int = PAGE) -> list[HistoryEntry]:
        """Entries in order, from the one after ``after``."""
        rows = self._link.query(self._sql.history, (row, after, limit))
        return [_entry_of(dict(zip(HISTORY_COLUMNS, values, strict=True))) for values in rows]

    def last_source(self, row: int, dest: str) -> str | None:
        """The state from which an entity last came to ``dest``; None where it has not been there."""
        rows = self._link.query(self._sql.last_source, (row, dest))
        return str(rows[0][0] or dest) if rows else None

    def entry(self, row: int, seq: int) -> HistoryEntry:
        """One entry that is known to be there."""
        ((*values,),) = self._link.query(self._sql.entry, (row, seq))
        return _entry_of(dict(zip(HISTORY_COLUMNS, values, strict=True)))

    def commit(self, commit: Commit, on_commit: Callable[[Snapshot], None]) -> Snapshot:
        """Write a decision in one durable transaction, then hand what was written to ``on_commit``.

        Raises CommitLost where the entity has moved on, has been started or the key been used meanwhile, ClaimLost
        where the claim is gone, and DatabaseUnavailable. A deadlock, a slow lock or a lost connection is tried again,
        as the revision still guards the write, unless it took a transaction of the caller's with it. An error from
        COMMIT is looked into: what landed counts as written. Statements: entity, work, one per history entry, key.
        """
        token = os.urandom(8).hex()
        if not self._link.in_transaction:
            after = self._insist(commit, token)
            point("commit.after", after.address)
            on_commit(after)
            return after
        after = self._try(commit, token)
        self._link.after_commit(lambda: self._tell(after, token if commit.entries else None, on_commit))
        return after

    def _insist(self, commit: Commit, token: str) -> Snapshot:
        started, doubtful = clock.monotonic(), None
        for turn in range(_TRIES):
            try:
                return self._try(commit, token)
            except (CommitLost, ClaimLost):
                # It may be an earlier try of this that was first: a COMMIT can take effect after it was looked for.
                if doubtful is not None and self._landed(doubtful, commit, token):
                    return doubtful
                raise
            except _Interrupted as error:
                if error.after is not None:
                    doubtful = error.after
                    if self._landed(doubtful, commit, token):
                        return doubtful
                if turn == _TRIES - 1 or clock.monotonic() - started > _PATIENCE_S:
                    doubted = token if doubtful is not None else None
                    raise _unavailable(commit, error.what, token=doubted) from error
                clock.pause(_PAUSE_S * 2**turn)
        raise AssertionError("unreachable")

    def _try(self, commit: Commit, token: str) -> Snapshot:
        after = None
        try:
            with self._link.transaction():
                after = self._write(commit, token)
                point("commit.before", commit.after.address)
        except IntegrityError as error:
            raise CommitLost(f"{commit.after.address}: {first_line(error)}") from error
        except TRANSIENT as error:
            self._link.forget_connection()
            raise _Interrupted(commit, first_line(error), after) from error
        except DatabaseError as error:
            raise ConfigurationError(f"the database refused a statement of fsmflow: {first_line(error)}") from error
        return after

    def _tell(self, after: Snapshot, token: str | None, on_commit: Callable[[Snapshot], None]) -> None:
        """After the caller's commit, which may have left out what we wrote: a savepoint of it may be rolled back."""
        try:
            now = self.load_row(after.row)
            there = now is not None and now.address == after.address
            if there and token is not None:
                there = self.has_written(after.row, token)
        except ConfigurationError as error:
            log.dispatch_failed(1, error)
            return
        if there and now is not None:
            # Work that has been overtaken by a later call of the same transaction is not rung for.
            on_commit(after if now.work == after.work else replace(after, work=None))

    def _write(self, commit: Commit, token: str) -> Snapshot:
        """Write a decision, and what is committed with it: first that of a parent, whose row is locked first."""
        for other in commit.also:
            self._write(other, token)
        after = self._write_entity(commit)
        self._write_work(commit, after)
        for entry in commit.entries:
            self._link.execute(self._sql.insert_history, (after.row, *entry_values(entry, token)))
        if commit.key is not None:
            entry = commit.entries[commit.key_entry]
            trigger = entry.trigger or entry.kind.value
            values = (
                after.row,
                EventKind.KEY.value,
                commit.key,
                trigger,
                None,
                entry.actor,
                after.updated_at,
                None,
                entry.seq,
            )
            self._link.execute(self._sql.insert_event, values)
        self._write_around(commit, after)
        return after

    def _write_around(self, commit: Commit, after: Snapshot) -> None:
        """What a decision writes besides the entity: events, branches that were told of, the user's own row."""
        for taken in commit.takes:
            if self._link.execute(self._sql.take_event, (taken,)).rowcount != 1:
                raise CommitLost(f"{after.address}: an event has been used by somebody else")
        for post in commit.posts:
            self._link.execute(self._sql.insert_event, (after.row, *post_values(post)))
        for branch in commit.told:
            if self._link.execute(self._sql.tell, (branch,)).rowcount != 1:
                raise CommitLost(f"{after.address} has been told of this branch")
        if commit.status_field is not None:
            self._own_rows.write_status(commit.status_field, after, lenient=commit.lenient)
        settles = after.has_settled and (commit.before is None or not commit.before.has_settled)
        if settles and after.parent is not None:
            soon = after.updated_at + NUDGE_MS
            self._link.execute(self._sql.nudge, (soon, after.parent, soon, after.updated_at))

    def _write_entity(self, commit: Commit) -> Snapshot:
        after = commit.after
        if commit.before is not None:
            params = (*entity_values(after), after.row, commit.before.revision)
            if self._link.execute(self._sql.update_entity, params).rowcount != 1:
                raise CommitLost(f"{after.address} has moved on")
            return after
        cursor = self._link.execute(self._sql.insert_entity, new_entity_values(after))
        row = cursor.fetchone()[0] if self._link.is_postgres else cursor.lastrowid
        return Snapshot(**{**after.__dict__, "row": int(row)})

    def _write_work(self, commit: Commit, after: Snapshot) -> None:
        before = commit.before.work if commit.before else None
        guard = guard_values(commit.claim) if commit.claim else None
        if after.work is before:
            if guard and not self._link.rows(self._sql.lock_work_guarded, guard):
                raise ClaimLost(f"{after.address}: the claim is gone")
            if guard is None and before is not None and after.paused and not (commit.before and commit.before.paused):
                self._check_claimed(after, before)
            return
        if after.work is None:
            sql, params = self._sql.delete_work, [after.row]
            guarded = self._sql.delete_work_guarded
        elif before is None:
            self._link.execute(self._sql.insert_work, (after.row, *work_values(after.work)))
            return
        elif guard is None and (before.epoch, before.attempt) == (after.work.epoch, after.work.attempt):
            self._write_going_on(after, before, after.work)
            return
        else:
            sql, params = self._sql.update_work, [*work_values(after.work), after.row]
            guarded = self._sql.update_work_guarded
        if guard is None:
            self._link.execute(sql, params)
        elif self._link.execute(guarded, [*params[:-1], *guard]).rowcount != 1:
            raise ClaimLost(f"{after.address}: the claim is gone")

    def _write_going_on(self, after: Snapshot, before: Work, work: Work) -> None:
        """Change work that goes on, as a pause or a deadline does. A claim leaves the revision alone, and one may have
        come, or gone, since it was read."""
        guard = guard_of(after, before)
        if before.owner is not None:
            done = self._link.execute(self._sql.update_work_guarded, (*work_values(work), *guard)).rowcount
        else:
            params = (*work_values(work), after.row, before.epoch, before.attempt, before.fence, before.dispatch)
            done = self._link.execute(self._sql.update_work_unclaimed, params).rowcount
        if done != 1:
            raise CommitLost(f"{after.address}: its attempt {before.attempt} has been claimed or given back")

    def _check_claimed(self, after: Snapshot, before: Work) -> None:
        """What is claimed is left alone by a pause, and held once it ends; a claim that the database server lost in a
        crash was taken for a live one. Raises CommitLost."""
        if before.owner is not None and not self._link.rows(self._sql.lock_work_guarded, guard_of(after, before)):
            raise CommitLost(f"{after.address}: the claim of its attempt {before.attempt} is gone")

    def has_written(self, row: int, token: str) -> bool:
        """Whether a commit that was in doubt is in the history of an entity, among the latest of it."""
        return any(found == token for (found,) in self._link.query(self._sql.last_tokens, (row,)))

    def _landed(self, after: Snapshot, commit: Commit, token: str) -> bool:
        """Whether a COMMIT that raised took effect. Raises DatabaseUnavailable where nobody is there to tell."""
        for turn in range(_DOUBT_TRIES):
            try:
                if commit.entries:
                    rows = self._link.query(self._sql.token, (after.row, commit.entries[-1].seq))
                    landed = bool(rows) and rows[0][0] == token
                else:
                    now = self.load_row(after.row)
                    landed = now is not None and now.revision == after.revision and now.work == after.work
            except DatabaseUnavailable as error:
                if turn == _DOUBT_TRIES - 1:
                    raise _unavailable(commit, str(error), token=token) from error
                clock.pause(_DOUBT_PAUSE_S * 2**turn)
                continue
            log.commit_in_doubt(after.address, landed)
            return landed
        raise AssertionError("unreachable")


class _Interrupted(DatabaseUnavailable):
    """A transaction that did not end as it should; ``after`` is what it wrote where only its COMMIT is in doubt."""

    def __init__(self, commit: Commit, what: str, after: Snapshot | None) -> None:
        self.what = what
        self.after = after
        super().__init__(str(_unavailable(commit, what, token=None)))


def _unavailable(commit: Commit, what: str, *, token: str | None) -> DatabaseUnavailable:
    """``token``: that of a commit that is in doubt."""
    known = "it is not known whether it was committed" if token else "nothing was changed"
    message = f"the database did not take the change of {commit.after.address}, and {known}: {what}"
    return DatabaseUnavailable(message, in_doubt=token is not None, token=token)


def guard_values(claim: Claim) -> tuple[Any, ...]:
    """The values of GUARD_COLUMNS."""
    return (claim.row, claim.epoch, claim.attempt, claim.fence, claim.owner)


def guard_of(entity: Snapshot, work: Work) -> tuple[Any, ...]:
    """The values of GUARD_COLUMNS for the claim that is on the work of an entity."""
    return (entity.row, work.epoch, work.attempt, work.fence, work.owner)


def entry_values(entry: HistoryEntry, token: str) -> tuple[Any, ...]:
    return (
        entry.seq,
        entry.kind.value,
        clock.from_datetime(entry.at),
        entry.trigger,
        entry.source,
        entry.dest,
        entry.epoch,
        entry.attempt,
        entry.actor,
        entry.reason,
        codec.encode(entry.payload, what="payload") if entry.payload else None,
        entry.key,
        entry.failure.to_text() if entry.failure else None,
        None if entry.duration is None else round(entry.duration * 1000),
        token,
    )


def _entry_of(values: dict[str, Any]) -> HistoryEntry:
    del values["entity"], values["token"]
    return HistoryEntry(
        **{
            **values,
            "kind": HistoryKind(values["kind"]),
            "at": clock.to_datetime(values["at"]),
            "payload": codec.decode(values["payload"]) if values["payload"] else {},
            "failure": Failure.from_text(values["failure"]) if values["failure"] else None,
            "duration": None if values["duration"] is None else values["duration"] / 1000,
        }
    )
