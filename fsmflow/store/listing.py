"""Listings over many entities: found in pages, by index, and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fsmflow.decision.records import Snapshot
from fsmflow.store.link import Link
from fsmflow.store.statements import Statements, snapshot_of
from fsmflow.store.tables import ENTITY

PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which entities are meant; None means all."""

    machine: str | None = None
    states: Sequence[str] | None = None
    phase: str | None = None
    entity_id: str | None = None
    failed: bool = False


class Listing:
    """Queries over many entities."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self._link = link
        self._sql = statements

    def find(self, wanted: Filter, *, limit: int | None = None) -> Iterator[Snapshot]:
        """The entities that match, the oldest first, read in pages."""
        last, left = 0, limit
        where, params = self._where(wanted)
        mark = self._link.mark
        while left is None or left > 0:
            page = PAGE if left is None else min(PAGE, left)
            sql = f"{self._sql.joined} WHERE {where} AND e.id > {mark} ORDER BY e.id LIMIT {mark}"
            rows = self._link.query(sql, (*params, last, page))
            for row in rows:
                snapshot = snapshot_of(row)
                last = snapshot.row
                yield snapshot
            left = None if left is None else left - len(rows)
            if len(rows) < page:
                return

    def counts(self, machine: str | None = None) -> dict[tuple[str, str], int]:
        """How many entities stand in each (machine, state)."""
        where, params = self._where(Filter(machine=machine))
        sql = f"SELECT e.machine, e.state, COUNT(*) FROM {ENTITY} e WHERE {where} GROUP BY e.machine, e.state"
        rows = self._link.query(sql, params)
        return {(found, state): int(count) for found, state, count in sorted(rows)}

    def _where(self, wanted: Filter) -> tuple[str, list[str]]:
        mark = self._link.mark
        terms, params = ["e.parent IS NULL"], []
        for column, value in (("machine", wanted.machine), ("phase", wanted.phase), ("entity_id", wanted.entity_id)):
            if value is not None:
                terms.append(f"e.{column} = {mark}")
                params.append(value)
        if wanted.states is not None:
            terms.append(f"e.state IN ({', '.join([mark] * len(wanted.states)) or 'NULL'})")
            params += wanted.states
        if wanted.failed:
            terms.append("e.fingerprint IS NOT NULL")
        return " AND ".join(terms), params
