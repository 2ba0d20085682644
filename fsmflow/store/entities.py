"""Entities, their history and their event keys: loading them, and committing decisions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from peewee import IntegrityError

from fsmflow import clock, codec, log
from fsmflow.decision.records import Claim, Commit, Failure, HistoryEntry, Snapshot
from fsmflow.errors import DatabaseUnavailable, FsmflowError
from fsmflow.store.link import TRANSIENT, Link, first_line
from fsmflow.store.statements import (
    HISTORY_COLUMNS,
    Statements,
    entity_values,
    snapshot_of,
    work_values,
)

PAGE = 500
_DOUBT_TRIES = 6
_DOUBT_PAUSE_S = 0.1


class CommitLost(FsmflowError):
    """Somebody else wrote first: decide again on what is there now."""


class ClaimLost(FsmflowError):
    """The claim under which an attempt wanted to commit is no longer live."""


class Entities:
    """Reads and writes of entities. Every write is one transaction under the entity's revision."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self._link = link
        self._sql = statements

    def load(self, machine: str, entity_id: str) -> Snapshot | None:
        """The entity as it is now; inside a transaction of the caller's, locked, so that it is the latest."""
        if self._link.in_transaction and not self._link.is_sqlite:
            self._link.query(self._sql.lock_entity, (machine, entity_id))
        rows = self._link.query(self._sql.load, (machine, entity_id))
        return snapshot_of(rows[0]) if rows else None

    def load_row(self, row: int) -> Snapshot | None:
        """The entity of a row id."""
        rows = self._link.query(self._sql.load_row, (row,))
        return snapshot_of(rows[0]) if rows else None

    def seq_of_key(self, row: int, key: str) -> int | None:
        """The history entry that an event key led to, if it was used."""
        rows = self._link.query(self._sql.event_by_key, (row, key))
        return int(rows[0][0]) if rows else None

    def history(self, row: int, *, after: int = 0, limit: int = PAGE) -> list[HistoryEntry]:
        """Entries in order, from the one after ``after``."""
        rows = self._link.query(self._sql.history, (row, after, limit))
        return [_entry_of(dict(zip(HISTORY_COLUMNS, values, strict=True))) for values in rows]

    def entry(self, row: int, seq: int) -> HistoryEntry:
        """One entry."""
        return self.history(row, after=seq - 1, limit=1)[0]

    def commit(self, commit: Commit, on_commit: Callable[[Snapshot], None]) -> Snapshot:
        """Write a decision in one durable transaction, then hand what was written to ``on_commit``.

        Raises CommitLost where the entity has moved on, has been started or the key been used meanwhile, ClaimLost
        where the claim is gone, and DatabaseUnavailable where nothing is known to be written. An error from COMMIT
        is looked into: what landed counts as written. Statements: entity, work, one per history entry, and the key.
        """
        token = os.urandom(8).hex()
        history = [_entry_values(entry, token) for entry in commit.entries]
        nested = self._link.in_transaction
        written: list[Snapshot] = []
        try:
            with self._link.transaction():
                written.append(self._write(commit, history))
        except IntegrityError as error:
            raise CommitLost(f"{commit.after.address}: {first_line(error)}") from error
        except TRANSIENT as error:
            self._link.forget_connection()
            if nested or not written:
                raise _unavailable(commit, error, in_doubt=False) from error
            landed = self._landed(written[0], commit, token)
            if landed is not True:
                raise _unavailable(commit, error, in_doubt=landed is None) from error
        self._link.after_commit(lambda: on_commit(written[0]))
        return written[0]

    def _write(self, commit: Commit, history: list[tuple[Any, ...]]) -> Snapshot:
        after = self._write_entity(commit)
        self._write_work(commit, after)
        for values in history:
            self._link.execute(self._sql.insert_history, (after.row, *values))
        if commit.key is not None:
            entry = commit.entries[0]
            values = (after.row, "key", commit.key, entry.trigger, None, entry.actor, after.updated_at, entry.seq)
            self._link.execute(self._sql.insert_event, values)
        return after

    def _write_entity(self, commit: Commit) -> Snapshot:
        after = commit.after
        values = entity_values(after)
        if commit.before is not None:
            cursor = self._link.execute(self._sql.update_entity, (*values, after.row, commit.before.revision))
            if cursor.rowcount != 1:
                raise CommitLost(f"{after.address} has moved on")
            return after
        values = (*values, after.machine, after.entity_id, after.created_at)
        cursor = self._link.execute(self._sql.insert_entity, values)
        row = cursor.fetchone()[0] if self._link.is_postgres else cursor.lastrowid
        return Snapshot(**{**after.__dict__, "row": int(row)})

    def _write_work(self, commit: Commit, after: Snapshot) -> None:
        before = commit.before.work if commit.before else None
        guard = guard_values(commit.claim) if commit.claim else None
        if after.work is before:
            if guard and not self._link.rows(self._sql.lock_work_guarded, guard):
                raise ClaimLost(f"{after.address}: the claim is gone")
            return
        if after.work is None:
            sql, params = self._sql.delete_work, [after.row]
            guarded = self._sql.delete_work_guarded
        elif before is None:
            self._link.execute(self._sql.insert_work, (after.row, *work_values(after.work)))
            return
        else:
            sql, params = self._sql.update_work, [*work_values(after.work), after.row]
            guarded = self._sql.update_work_guarded
        if guard is None:
            self._link.execute(sql, params)
        elif self._link.execute(guarded, [*params[:-1], *guard]).rowcount != 1:
            raise ClaimLost(f"{after.address}: the claim is gone")

    def _landed(self, after: Snapshot, commit: Commit, token: str) -> bool | None:
        """Whether a COMMIT that raised took effect; None where the database does not come back to tell."""
        for turn in range(_DOUBT_TRIES):
            try:
                if commit.entries:
                    rows = self._link.query(self._sql.token, (after.row, commit.entries[-1].seq))
                    landed = bool(rows) and rows[0][0] == token
                else:
                    now = self.load_row(after.row)
                    landed = now is not None and now.revision == after.revision and now.work == after.work
            except DatabaseUnavailable:
                clock.pause(_DOUBT_PAUSE_S * 2**turn)
                continue
            log.commit_in_doubt(after.address, landed)
            return landed
        return None


def _unavailable(commit: Commit, error: BaseException, *, in_doubt: bool) -> DatabaseUnavailable:
    known = "it is not known whether it was committed" if in_doubt else "nothing was changed"
    message = f"the database did not take the change of {commit.after.address}, and {known}: {first_line(error)}"
    return DatabaseUnavailable(message, in_doubt=in_doubt)


def guard_values(claim: Claim) -> tuple[Any, ...]:
    """The values of GUARD_COLUMNS."""
    return (claim.row, claim.epoch, claim.attempt, claim.fence, claim.owner)


def _entry_values(entry: HistoryEntry, token: str) -> tuple[Any, ...]:
    return (
        entry.seq,
        entry.kind,
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
            "at": clock.to_datetime(values["at"]),
            "payload": codec.decode(values["payload"]) if values["payload"] else {},
            "failure": Failure.from_text(values["failure"]) if values["failure"] else None,
            "duration": None if values["duration"] is None else values["duration"] / 1000,
        }
    )
