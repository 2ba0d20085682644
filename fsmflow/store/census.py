"""Counts over all entities, for a look at what a deployment would meet."""

from __future__ import annotations

from fsmflow.decision.entity import Standing
from fsmflow.store.indexes import BRANCH, CHILD, ROOT
from fsmflow.store.link import Link
from fsmflow.store.tables import ENTITY, WORK
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Group:
    """Entities that stand alike, branches of one fan-out by themselves, by name where they have any. ``row`` is that of
    the first."""

    machine: str
    branch_of: str | None
    branch_name: str | None
    state: str
    phase: str
    version: int
    count: int
    row: int


class Census:
    """Reads rows as they are stored; nothing is decoded, and nothing is loaded but the groups."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def groups(self) -> list[Group]:
        """All entities, counted. One statement that reads every row of the table once; branches that wait for their
        turn are left out, as they go on with their parent."""
        # A child goes by its own machine, whatever it is called.
        name = "CASE WHEN branch_of IS NULL THEN NULL ELSE branch_name END"
        columns = f"machine, branch_of, {name}, state, phase, version"
        sql = (
            f"SELECT {columns}, COUNT(*), MIN(id) FROM {ENTITY} "
            f"WHERE standing IS NULL OR standing <> {Standing.QUEUED.value} GROUP BY {columns}"
        )
        found = [
            Group(
                machine=str(machine),
                branch_of=None if branch_of is None else str(branch_of),
                branch_name=None if branch_name is None else str(branch_name),
                state=str(state),
                phase=str(phase),
                version=int(version),
                count=int(count),
                row=int(row),
            )
            for machine, branch_of, branch_name, state, phase, version, count, row in self._link.query(sql)
        ]
        return sorted(found, key=_order)

    def without_work(self, group: Group) -> tuple[int, int]:
        """How many of a group have nothing to do by themselves, no timer and no job, and the first row of these.

        Reads as many rows as stand in the state, by index."""
        scopes = (ROOT, CHILD) if group.branch_of is None else (BRANCH,)
        found = [self._without_work(group, scope) for scope in scopes]
        return sum(count for count, _ in found), min((row for count, row in found if count), default=0)

    def _without_work(self, group: Group, scope: str) -> tuple[int, int]:
        mark, entity = self._link.mark, self._link.quoted("entity")
        sql = (
            f"SELECT COUNT(*), MIN(e.id) FROM {ENTITY} e LEFT JOIN {WORK} w ON w.{entity} = e.id "
            f"WHERE e.machine = {mark} AND e.state = {mark} AND e.phase = {mark} AND e.version = {mark} "
            f"AND {scope} AND w.{entity} IS NULL"
        )
        values = [group.machine, group.state, group.phase, group.version]
        if group.branch_of is not None:
            sql += f" AND e.branch_of = {mark}"
            values.append(group.branch_of)
            sql += " AND e.branch_name IS NULL" if group.branch_name is None else f" AND e.branch_name = {mark}"
            values += [] if group.branch_name is None else [group.branch_name]
        ((count, row),) = self._link.query(sql, values)
        return int(count), int(row or 0)

    def address(self, row: int) -> str:
        """The address of an entity that is known to be there, or was a moment ago."""
        sql = f"SELECT machine, entity_id FROM {ENTITY} WHERE id = {self._link.mark}"
        rows = self._link.query(sql, (row,))
        return ":".join(rows[0]) if rows else f"row {row}"


def _order(group: Group) -> tuple[str, str, str, str, int]:
    return group.machine, group.branch_of or "", group.branch_name or "", group.state, group.version
