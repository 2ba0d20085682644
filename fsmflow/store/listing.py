"""Listings over many entities: found in pages, by index, and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.work import RUNS
from fsmflow.store.columns import snapshot_of
from fsmflow.store.link import Link
from fsmflow.store.statements import Statements, among
from fsmflow.store.tables import ENTITY, EVENT, WORK
from fsmflow.values import dataclass

PAGE = 500
#: Above every row number.
_BEYOND = 2**62


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which entities are meant; None means all.

    ``failed``: they rest in a failure; ``failing``: their last attempt failed, whether they rest or are run again.
    ``waiting``: their job waits out an interval; ``held``: it did so until a pause came. ``stuck``: something of them
    was tried in vain. ``entered_by``: in their state since this moment at the latest. ``branches``: branches and
    children too, or (``only_branches``) these alone.
    """

    machine: str | None = None
    states: Sequence[str] | None = None
    phase: str | None = None
    entity_id: str | None = None
    failed: bool = False
    failing: bool = False
    stuck: bool = False
    waiting: bool = False
    held: bool = False
    entered_by: int | None = None
    branches: bool = False
    only_branches: bool = False


class Listing:
    """Queries over many entities."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self._link = link
        self._sql = statements

    def find(
        self, wanted: Filter, *, limit: int | None = None, newest: bool = False, after: int = 0
    ) -> Iterator[Snapshot]:
        """The entities that match, the oldest first (or the newest), read in pages; the oldest from ``after`` on.

        Whoever changes what it gives meanwhile meets each entity once.
        """
        last, left = _BEYOND if newest else after, limit
        where, params = self._where(wanted)
        mark = self._link.mark
        order = f"e.id < {mark} ORDER BY e.id DESC" if newest else f"e.id > {mark} ORDER BY e.id"
        sql = f"{self._sql.joined} WHERE {where} AND {order} LIMIT {mark}"
        while left is None or left > 0:
            page = PAGE if left is None else min(PAGE, left)
            rows = self._link.query(sql, (*params, last, page))
            for row in rows:
                snapshot = snapshot_of(row)
                last = snapshot.row
                yield snapshot
            left = None if left is None else left - len(rows)
            if len(rows) < page:
                return

    def count(self, wanted: Filter) -> int:
        """How many entities match. Reads as many rows of an index."""
        where, params = self._where(wanted)
        ((found,),) = self._link.query(f"SELECT COUNT(*) FROM {ENTITY} e WHERE {where}", params)
        return int(found)

    def counts(self, machine: str | None = None, *, branches: bool = False) -> dict[tuple[str, str], int]:
        """How many entities stand in each (machine, state)."""
        where, params = self._where(Filter(machine=machine, branches=branches))
        sql = f"SELECT e.machine, e.state, COUNT(*) FROM {ENTITY} e WHERE {where} GROUP BY e.machine, e.state"
        rows = self._link.query(sql, params)
        return {(found, state): int(count) for found, state, count in sorted(rows)}

    def first_like(self, machine: str, states: Sequence[str], patterns: Sequence[str]) -> str | None:
        """The id of the oldest entity in one of these states whose id is like one of the patterns, as SQL has them.

        Reads as many rows of an index as there are entities in these states, at most."""
        where, params = self._where(Filter(machine=machine, states=states))
        like = " OR ".join([f"e.entity_id LIKE {self._link.mark}"] * len(patterns))
        sql = f"SELECT e.entity_id FROM {ENTITY} e WHERE {where} AND ({like}) ORDER BY e.id LIMIT 1"
        found = self._link.query(sql, (*params, *patterns))
        return str(found[0][0]) if found else None

    def ages(self, machine: str) -> dict[str, tuple[int, int]]:
        """How many entities of a machine stand in each state, and since when the oldest of them does. One query.

        Children count too. Branches that run a job do not: they go by a small machine of their own."""
        sql = (
            f"SELECT e.state, COUNT(*), MIN(e.entered_at) FROM {ENTITY} e "
            f"WHERE e.machine = {self._link.mark} AND e.branch_of IS NULL GROUP BY e.state"
        )
        return {state: (int(count), int(since)) for state, count, since in sorted(self._link.query(sql, (machine,)))}

    def _where(self, wanted: Filter) -> tuple[str, list[Any]]:
        mark = self._link.mark
        terms: list[str] = []
        params: list[Any] = []
        if wanted.only_branches:
            terms.append("e.parent IS NOT NULL")
        elif not wanted.branches:
            terms.append("e.parent IS NULL")
        for column, value in (("machine", wanted.machine), ("phase", wanted.phase), ("entity_id", wanted.entity_id)):
            if value is not None:
                terms.append(f"e.{column} = {mark}")
                params.append(value)
        if wanted.states is not None:
            terms.append(f"e.state IN ({', '.join([mark] * len(wanted.states)) or 'NULL'})")
            params += wanted.states
        if wanted.entered_by is not None:
            terms.append(f"e.entered_at <= {mark}")
            params.append(wanted.entered_by)
        terms += self._flags(wanted)
        if wanted.stuck:
            terms.append(
                f"(e.id IN (SELECT entity FROM {WORK} WHERE tries > 0) "
                f"OR e.id IN (SELECT entity FROM {EVENT} WHERE due_at > 0 AND tries > 0))"
            )
        return " AND ".join(terms) or "1 = 1", params

    def _flags(self, wanted: Filter) -> Iterator[str]:
        """What is asked without a value."""
        if wanted.failed:
            yield "e.fingerprint IS NOT NULL"
        if wanted.failing:
            yield "e.failure IS NOT NULL"
        if wanted.waiting or wanted.held:
            waits = f"x.kind {among(RUNS)} AND x.{self._link.quoted('owner')} IS NULL AND x.rung_at IS NULL"
            held = "> 0" if wanted.held else "IS NULL"
            yield f"EXISTS (SELECT 1 FROM {WORK} x WHERE x.entity = e.id AND {waits} AND x.held {held})"
