"""Entities, their history and their event keys, as they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.store.columns import entry_of, snapshot_of
from fsmflow.store.link import Link
from fsmflow.store.statements import Statements
from fsmflow.store.tables import ENTITY
from fsmflow.values import replace

PAGE = 500
#: Rows of one statement: SQLite takes 32,766 parameters at most.
_ROWS: Final = 200

Item = TypeVar("Item")


class Entities:
    """Reads entities; nothing is written here. What is to stay as it was read is locked."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self._link = link
        self._sql = statements

    def load(self, machine: str, entity_id: str) -> Snapshot | None:
        """The entity as it is now; inside a transaction of the caller's, locked, so that it is the latest."""
        return self._latest(self._link.query(self._sql.load, (machine, entity_id)))

    def look(self, machine: str, entity_id: str) -> Snapshot | None:
        """The entity as it is now, for whoever decides nothing by it; inside a transaction of the caller's, as that
        sees it. Nothing is locked."""
        rows = self._link.query(self._sql.load, (machine, entity_id))
        return snapshot_of(rows[0]) if rows else None

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

    def load_rows(self, rows: Sequence[int]) -> dict[int, Snapshot]:
        """The entities of these row ids, as far as they are there."""
        found: dict[int, Snapshot] = {}
        for page in pages(rows):
            among, values = self._link.dialect.among(page)
            snapshots = map(snapshot_of, self._link.query(f"{self._sql.joined} WHERE e.id {among}", values))
            found |= {snapshot.row: snapshot for snapshot in snapshots}
        return found

    def _latest(self, rows: Sequence[Any]) -> Snapshot | None:
        """In a transaction of the caller's, which may show what was there when it began: as it is now, and locked.

        Only the entity's row is locked, as it is known to exist: MySQL would lock the gap where a missing row
        belongs, and two callers would dead-lock in it.
        """
        if not rows:
            return None
        found = snapshot_of(rows[0])
        if self._link.in_transaction and self._link.dialect.locking:
            locked = self._link.query(self._sql.lock_entity, (found.row,))
            if not locked or locked[0][0] != found.revision:
                rows = self._link.query(self._sql.load_row_locked, (found.row,))
                return snapshot_of(rows[0]) if rows else None
        return found

    def seq_of_key(self, row: int, key: str, *, known: bool = False) -> int | None:
        """The history entry that an event key led to, if it was used.

        ``known``: it may have been used by somebody whom a transaction of the caller's does not see yet.
        """
        found = self._of_key(row, key, known=known)
        return None if found is None else int(found[0])

    def form_of_key(self, row: int, key: str, *, known: bool = False) -> str | None:
        """The form of the request that used up an event key, where that had one; ``known`` as above."""
        found = self._of_key(row, key, known=known)
        return None if found is None else found[1]

    def _of_key(self, row: int, key: str, *, known: bool) -> Sequence[Any] | None:
        latest = known and self._link.in_transaction
        rows = self._link.query(self._sql.event_by_key_locked if latest else self._sql.event_by_key, (row, key))
        return rows[0] if rows else None

    def history(self, row: int, *, after: int = 0, limit: int = PAGE) -> list[HistoryEntry]:
        """Entries in order, from the one after ``after``."""
        rows = self._link.query(self._sql.history, (row, after, limit))
        return [entry_of(values) for values in rows]

    def whole(self, rows: Sequence[int]) -> Iterator[tuple[Snapshot, list[HistoryEntry]]]:
        """The entities of these rows, in their order, each with all of its history; those that are gone are left out.
        Two queries for each 200."""
        for page in pages(rows):
            among, values = self._link.dialect.among(page)
            found = {
                one.row: one
                for one in map(snapshot_of, self._link.query(f"{self._sql.joined} WHERE e.id {among}", values))
            }
            lines: dict[int, list[HistoryEntry]] = {row: [] for row in page}
            for row, *line in self._link.query(self._sql.histories.format(among=among), values):
                lines[row].append(entry_of(line))
            yield from ((found[row], lines[row]) for row in page if row in found)

    def last_source(self, row: int, dest: str) -> str | None:
        """The state from which an entity last came to ``dest``; None where it has not been there."""
        rows = self._link.query(self._sql.last_source, (row, dest))
        return str(rows[0][0] or dest) if rows else None

    def entry(self, row: int, seq: int) -> HistoryEntry:
        """One entry that is known to be there."""
        (values,) = self._link.query(self._sql.entry, (row, seq))
        return entry_of(values)

    def past_epoch(self, row: int, epoch: int) -> HistoryEntry | None:
        """The first entry that tells of a later epoch than this; None while there is none."""
        rows = self._link.query(self._sql.past_epoch, (row, epoch))
        return entry_of(rows[0]) if rows else None

    def last_edit(self, row: int) -> HistoryEntry | None:
        """The last entry that tells of an edit of the data. Reads back to it, or all of the history."""
        rows = self._link.query(self._sql.last_edit, (row,))
        return entry_of(rows[0]) if rows else None

    def lock(self, parent: int) -> Snapshot | None:
        """Inside a transaction: the parent as it is now, and stays until the end of that."""
        self._link.rows(self._sql.lock_entity, (parent,))
        rows = self._link.rows(self._sql.load_row_locked, (parent,))
        return snapshot_of(rows[0]) if rows else None

    def there(self, machine: str, ids: Sequence[str]) -> dict[str, str]:
        """Which of these ids a machine has, and in which state."""
        found: dict[str, str] = {}
        for page in pages(ids):
            among, values = self._link.dialect.among(page)
            sql = f"SELECT entity_id, state FROM {ENTITY} WHERE machine = {self._link.mark} AND entity_id {among}"
            found |= dict(self._link.query(sql, (machine, *values)))
        return found

    def with_rows(self, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
        """New entities as they are once they are written, in the transaction that has done so or after it."""
        rows = self._rows_of(snapshots)
        return [replace(after, row=row) for after, row in zip(snapshots, rows, strict=True)]

    def _rows_of(self, snapshots: Sequence[Snapshot]) -> list[int]:
        found: dict[tuple[str, str], int] = {}
        for machine in {snapshot.machine for snapshot in snapshots}:
            ids = [snapshot.entity_id for snapshot in snapshots if snapshot.machine == machine]
            among, values = self._link.dialect.among(ids)
            sql = f"SELECT entity_id, id FROM {ENTITY} WHERE machine = {self._link.mark} AND entity_id {among}"
            found |= {(machine, id_): int(row) for id_, row in self._link.rows(sql, (machine, *values))}
        return [found[snapshot.machine, snapshot.entity_id] for snapshot in snapshots]


def pages(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """As many at a time as go into one statement."""
    for start in range(0, len(items), _ROWS):
        yield items[start : start + _ROWS]
