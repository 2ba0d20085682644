"""The branches of a step: counted, paged and made, all by index."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from peewee import IntegrityError

from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.context import Progress
from fsmflow.decision.entity import Claim, ClaimLost, Snapshot, Standing
from fsmflow.store.entities import entry_values, guard_values
from fsmflow.store.events import post_values
from fsmflow.store.link import Link, first_line
from fsmflow.store.own_rows import OwnRows
from fsmflow.store.statements import (
    EVENT_COLUMNS,
    HISTORY_COLUMNS,
    NEW_ENTITY_COLUMNS,
    WORK_COLUMNS,
    Statements,
    new_entity_values,
    snapshot_of,
    work_values,
)
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, WORK

#: Rows of one INSERT: SQLite takes 32,766 parameters at most.
_ROWS = 200


class Branches:
    """Reads over the branches of a step, and the writing of many entities at once."""

    def __init__(self, link: Link, statements: Statements, own_rows: OwnRows) -> None:
        self._link = link
        self._sql = statements
        self._own_rows = own_rows

    def lock(self, parent: int) -> Snapshot | None:
        """Inside a transaction: the parent as it is now, and stays until the end of that."""
        self._link.rows(self._sql.lock_entity, (parent,))
        rows = self._link.rows(self._sql.load_row_locked, (parent,))
        return snapshot_of(rows[0]) if rows else None

    def hold(self, claim: Claim) -> None:
        """Inside a transaction: until its end, the claim stays live. Raises ClaimLost where it is gone."""
        if not self._link.rows(self._sql.lock_work_guarded, guard_values(claim)):
            raise ClaimLost(f"entity row {claim.row}: the claim is gone")

    def first_unsettled(self, parent: int, step: int) -> int | None:
        """How a branch stands for which the parent has to wait: QUEUED if any is, else ACTIVE; None without any."""
        rows = self._link.query(self._sql.first_unsettled, (parent, step))
        return int(rows[0][0]) if rows else None

    def failed_since(self, parent: Snapshot) -> bool:
        """Whether a branch has failed since the parent entered the step, or went back into it."""
        since = 0 if parent.epoch == parent.step else parent.entered_at + 1
        return bool(self._link.query(self._sql.failed_since, (parent.row, parent.step, since)))

    def has(self, parent: int, step: int, *standings: Standing) -> bool:
        """Whether any branch stands so."""
        return any(self.count(parent, step, standing, most=1) for standing in standings)

    def count(self, parent: int, step: int, standing: Standing, *, most: int) -> int:
        """How many branches stand so, ``most`` where there are more."""
        ((found,),) = self._link.query(self._sql.count_standing, (parent, standing.value, step, most))
        return int(found)

    def progress(self, parent: int, step: int) -> Progress:
        """How many there are of each kind."""
        found = {standing: int(count) for standing, count in self._link.query(self._sql.tally, (parent, step))}
        return Progress(
            done=found.get(Standing.DONE, 0) + found.get(Standing.DONE_TOLD, 0),
            failed=found.get(Standing.FAILED, 0) + found.get(Standing.FAILED_TOLD, 0),
            running=found.get(Standing.ACTIVE, 0),
            total=sum(found.values()),
        )

    def standing(self, parent: int, step: int, standing: Standing, *, after: int = -1, limit: int) -> list[Snapshot]:
        """Branches that stand so, by index."""
        rows = self._link.query(self._sql.by_standing, (parent, standing.value, step, after, limit))
        return [snapshot_of(row) for row in rows]

    def page(self, parent: int, step: int, *, after: int = -1, limit: int) -> list[Snapshot]:
        """Branches by index, from the one after ``after``."""
        return [snapshot_of(row) for row in self._link.query(self._sql.branches, (parent, step, after, limit))]

    def unsettled(self, parent: int, *, after: int = 0, limit: int) -> list[Snapshot]:
        """What is not settled of any step of the parent, by row."""
        return [snapshot_of(row) for row in self._link.query(self._sql.unsettled, (parent, after, limit))]

    def left_over(self, parent: int, *, after: int, limit: int) -> list[Snapshot]:
        """What is not settled or rests in a failure, of any step of the parent, by row."""
        return [snapshot_of(row) for row in self._link.query(self._sql.left_over, (parent, after, limit))]

    def unlike(self, parent: Snapshot, *, after: int, limit: int) -> list[Snapshot]:
        """What is not settled and is of another step than the parent is in, or is paused where that is not, and what
        rests in a failure of another step, by row."""
        params = (parent.row, after, int(parent.paused), parent.step, parent.step, limit)
        return [snapshot_of(row) for row in self._link.query(self._sql.unlike, params)]

    def last_step(self, parent: int) -> int:
        """The last step of the parent that has branches; 0 where none has."""
        ((last,),) = self._link.query(self._sql.last_step, (parent,))
        return int(last or 0)

    def made(self, parent: int, step: int) -> int:
        """How many branches the step has by now."""
        ((last,),) = self._link.query(self._sql.last_index, (parent, step))
        return 0 if last is None else int(last) + 1

    def firsts(self, parent: int) -> list[tuple[int, str]]:
        """(step, entity id) of the first branch of each step of the parent."""
        return [(int(step), str(id_)) for step, id_ in self._link.query(self._sql.first_branches, (parent,))]

    def there(self, machine: str, ids: Sequence[str]) -> dict[str, str]:
        """Which of these ids a machine has, and in which state."""
        found: dict[str, str] = {}
        for start in range(0, len(ids), _ROWS):
            page = ids[start : start + _ROWS]
            among, values = self._among(page)
            sql = f"SELECT entity_id, state FROM {ENTITY} WHERE machine = {self._link.mark} AND entity_id {among}"
            found |= dict(self._link.query(sql, (machine, *values)))
        return found

    def insert(
        self,
        commits: Sequence[Commit],
        claim: Claim | None = None,
        *,
        token: str | None = None,
        if_paused: Callable[[Commit], Commit] = lambda commit: commit,
    ) -> list[Snapshot]:
        """Write many new entities in one durable transaction of 4 or 5 statements for each 200 of them.

        ``claim`` is that of the parent, and ``if_paused`` makes of a commit what it is under a parent that is paused.
        Raises ClaimLost where it is gone, and CommitLost where one is there already: nothing is written then,
        unless it was written by a first try whose COMMIT got no answer. By ``token``, ``landed`` can tell.
        """
        token = token or os.urandom(8).hex()

        def insert() -> list[Snapshot]:
            wanted = commits
            if claim is not None:
                parent = self.lock(claim.row)
                self.hold(claim)
                wanted = [if_paused(commit) for commit in commits] if parent is not None and parent.paused else commits
            try:
                return [snapshot for page in _pages(wanted) for snapshot in self._insert(page, token)]
            except IntegrityError as error:
                raise CommitLost(first_line(error)) from error

        return self._link.write(insert)

    def landed(self, commits: Sequence[Commit], token: str) -> list[Snapshot] | None:
        """What ``insert`` has written under ``token``; None where it has not. Four queries for 200, only after an
        error."""
        made: list[Snapshot] = []
        for page in _pages(commits):
            there = self.there(page[0].after.machine, [commit.after.entity_id for commit in page])
            if len(there) < len(page):
                return None
            made += self._with_rows(page)
        found = self._link.query(self._sql.token, (made[0].row, commits[0].entries[-1].seq)) if made else []
        return made if found and found[0][0] == token else None

    def _insert(self, commits: Sequence[Commit], token: str) -> list[Snapshot]:
        self._many(ENTITY, NEW_ENTITY_COLUMNS, [new_entity_values(commit.after) for commit in commits])
        made = self._with_rows(commits)
        work = [(item.row, *work_values(item.work)) for item in made if item.work is not None]
        self._many(WORK, ("entity", *WORK_COLUMNS), work)
        both = list(zip(made, commits, strict=True))
        history = [(item.row, *entry_values(entry, token)) for item, commit in both for entry in commit.entries]
        self._many(HISTORY, HISTORY_COLUMNS, history)
        events = [(item.row, *post_values(post)) for item, commit in both for post in commit.posts]
        self._many(EVENT, EVENT_COLUMNS, events)
        for item, commit in both:
            if commit.status_field is not None:
                self._own_rows.write_status(commit.status_field, item, lenient=False)
        return made

    def _with_rows(self, commits: Sequence[Commit]) -> list[Snapshot]:
        rows = self._rows_of([commit.after for commit in commits])
        return [Snapshot(**{**commit.after.__dict__, "row": row}) for commit, row in zip(commits, rows, strict=True)]

    def _rows_of(self, snapshots: Sequence[Snapshot]) -> list[int]:
        found: dict[tuple[str, str], int] = {}
        for machine in {snapshot.machine for snapshot in snapshots}:
            ids = [snapshot.entity_id for snapshot in snapshots if snapshot.machine == machine]
            among, values = self._among(ids)
            sql = f"SELECT entity_id, id FROM {ENTITY} WHERE machine = {self._link.mark} AND entity_id {among}"
            found |= {(machine, id_): int(row) for id_, row in self._link.rows(sql, (machine, *values))}
        return [found[snapshot.machine, snapshot.entity_id] for snapshot in snapshots]

    def _among(self, values: Sequence[str]) -> tuple[str, Sequence[Any]]:
        """What follows a column that has one of these values, and the parameters of that."""
        if self._link.is_postgres:
            return f"= ANY({self._link.mark})", (list(values),)
        return f"IN ({', '.join([self._link.mark] * len(values))})", values

    def _many(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        names = ", ".join(map(self._link.quoted, columns))
        if self._link.is_postgres:
            # Thousands of parameters take its driver longer than the database: one text, read there by the table's own
            # types, takes a third of the time.
            text = json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False)
            source = f"json_populate_recordset(NULL::{table}, {self._link.mark}::json)"
            self._link.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {source}", (text,))
            return
        marks = f"({', '.join([self._link.mark] * len(columns))})"
        sql = f"INSERT INTO {table} ({names}) VALUES {', '.join([marks] * len(rows))}"
        self._link.execute(sql, [value for row in rows for value in row])


def _pages(commits: Sequence[Commit]) -> Iterator[Sequence[Commit]]:
    for start in range(0, len(commits), _ROWS):
        yield commits[start : start + _ROWS]
