"""How many entities stand in each state, and since when the oldest does: read from a few entries of an index.

Small numbers are exact. A large one would take as long as there are entities: it is the one that maintenance has found
by counting a part at a time, and is told with when that was.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fsmflow.store.indexes import ROOT, SCOPES
from fsmflow.store.link import Link
from fsmflow.store.listing import Listing
from fsmflow.store.meta import Meta
from fsmflow.store.reach import Reach, within
from fsmflow.store.search import Search
from fsmflow.store.tables import ENTITY
from fsmflow.values import dataclass

#: So many are counted whenever somebody asks.
MANY: Final = 10_000
#: What is older than this was left by maintenance that runs no more.
_OLD_MS: Final = 600_000
#: Where so many times as many stood less than so long ago, there are too many still, and no index is asked again.
_FAR: Final = 2
_LATELY_MS: Final = 60_000
#: The fact that holds what was found.
_FACT: Final = "counts"
#: States of one statement.
_STATES: Final = 50


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Where entities stand: of a machine, in a state, in one of ``SCOPES``."""

    machine: str
    state: str
    scope: str

    @property
    def name(self) -> str:
        """As it stands in the fact."""
        return f"{SCOPES.index(self.scope)}:{self.machine}:{self.state}"


@dataclass(frozen=True, kw_only=True)
class Count:
    """``since``: when the oldest entered the state, in milliseconds; None where that is not known, as of many children.
    ``at``: when they were counted, None where just now."""

    cell: Cell
    count: int
    since: int | None
    at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What maintenance has found of places where many stand: when it began to count, and how many there were."""

    at: int
    counts: Mapping[str, int]


class Counts:
    """Counts by machine and state. Nothing is written by who asks."""

    def __init__(self, link: Link, listing: Listing, search: Search, meta: Meta) -> None:
        self._link = link
        self._search = search
        self._listing = listing
        self._meta = meta

    def look(
        self,
        now: int,
        machine: str | None = None,
        *,
        scopes: Collection[str] = (ROOT,),
        exact: bool = False,
        reach: Reach | None = None,
    ) -> list[Count]:
        """How many stand in each cell, at this moment ``now``. Some queries, whatever the numbers. With ``reach`` those
        within it, all of which are read; a machine that tells no teams apart is counted as ever.

        ``exact``: everything is counted, which takes as long as there are entities. So is what is large where no
        maintenance has counted it lately.
        """
        if reach is not None:
            machines = [machine] if machine is not None else self._listing.machines()
            return [one for each in machines for scope in scopes for one in self._within_reach(reach, now, each, scope)]
        summary = None if exact else self.summary()
        if summary is not None and summary.at < now - _OLD_MS:
            summary = None
        lately = summary.counts if summary is not None and summary.at >= now - _LATELY_MS else {}
        large = {name for name, count in lately.items() if count > _FAR * MANY}
        return [self._known(found, summary) for found in self._glances(machine, scopes, large)]

    def _within_reach(self, reach: Reach, now: int, machine: str, scope: str) -> Iterator[Count]:
        """The cells of a machine and a scope, of what is within reach alone. What tells teams apart itself is read by
        its terms: as many rows as the teams have there."""
        if scope == ROOT and machine not in reach.names:
            within_any = machine in reach.free or machine in reach.opened
            yield from self.look(now, machine) if within_any else ()
            return
        if scope == ROOT:
            source, term, params = self._search.of_team(reach, machine)
        else:
            source, (term, params) = f"{ENTITY} e", within(self._link, reach)
        sql = (
            f"SELECT e.state, COUNT(*), MIN(e.entered_at) FROM {source} "
            f"WHERE e.machine = {self._link.mark} AND {scope} AND {term} GROUP BY e.state"
        )
        for state, count, since in self._link.look(sql, (machine, *params)):
            yield Count(cell=Cell(machine=machine, state=str(state), scope=scope), count=int(count), since=int(since))

    def large(self) -> list[Cell]:
        """The places where more stand than are counted whenever somebody asks."""
        return [found.cell for found in self._glances(None, SCOPES) if found.count > MANY]

    def part(self, cell: Cell, after: int, most: int) -> tuple[int, int | None]:
        """Count at most so many of a cell after this row: how many, and after which row to go on, None at the end."""
        sql = (
            f"SELECT COUNT(*), MAX(id) FROM (SELECT id FROM {ENTITY} WHERE {self._of(cell.scope)} "
            f"AND id > {self._link.mark} ORDER BY id LIMIT {most}) counted"
        )
        ((count, last),) = self._link.look(sql, (cell.machine, cell.state, after))
        return int(count), int(last) if count == most else None

    def summary(self) -> Summary | None:
        """What was found last, whoever has; None where nobody has yet."""
        found = self._meta.get([_FACT]).get(_FACT)
        return None if found is None else Summary(**json.loads(found))

    def keep(self, summary: Summary) -> None:
        """Keep what was found. Of two who do so at once, the one or the other is kept."""
        text = json.dumps({"at": summary.at, "counts": dict(summary.counts)}, separators=(",", ":"))
        before = self._meta.get([_FACT]).get(_FACT)
        if before is None:
            self._meta.add(_FACT, text)
        else:
            self._link.write(lambda: self._meta.swap(_FACT, before, text))

    def _known(self, found: Count, summary: Summary | None) -> Count:
        if found.count <= MANY:
            return found
        cell = found.cell
        if summary is not None and cell.name in summary.counts:
            return Count(cell=cell, count=summary.counts[cell.name], since=found.since, at=summary.at)
        sql = f"SELECT COUNT(*) FROM {ENTITY} WHERE {self._of(cell.scope)}"
        ((count,),) = self._link.look(sql, (cell.machine, cell.state))
        return Count(cell=cell, count=int(count), since=found.since)

    def _glances(self, machine: str | None, scopes: Collection[str], large: Collection[str] = ()) -> Iterator[Count]:
        """What an index tells at a glance of each cell: at most one more than ``MANY``, and just that of those that are
        known to be ``large``."""
        for each in [machine] if machine is not None else self._listing.machines():
            for scope in scopes:
                states = self._listing.states(each, scope)
                for first in range(0, len(states), _STATES):
                    yield from self._glance(each, scope, states[first : first + _STATES], large)

    def _glance(self, machine: str, scope: str, states: Sequence[str], large: Collection[str]) -> Iterable[Count]:
        of = self._of(scope)
        # The oldest of many is found by the index on the time of entry, which only what is by itself has.
        since = f"(SELECT MIN(entered_at) FROM {ENTITY} WHERE {of})" if scope == ROOT else "MIN(counted.entered_at)"
        column = "1" if scope == ROOT else "entered_at"
        parts, params = [], []
        cells = [Cell(machine=machine, state=state, scope=scope) for state in states]
        for number, cell in enumerate(cells):
            most = 1 if cell.name in large else MANY + 1
            parts.append(
                f"SELECT {number}, COUNT(*), {since} FROM (SELECT {column} FROM {ENTITY} WHERE {of} "
                f"LIMIT {most}) counted"
            )
            params += [machine, cell.state] * (2 if scope == ROOT else 1)
        rows: list[Any] = self._link.look(" UNION ALL ".join(parts), params)
        for number, found, oldest in rows:
            if found:
                count = MANY + 1 if cells[number].name in large else int(found)
                unknown = (scope != ROOT and count > MANY) or oldest is None
                yield Count(cell=cells[number], count=count, since=None if unknown else int(oldest))

    def _of(self, scope: str) -> str:
        return f"machine = {self._link.mark} AND state = {self._link.mark} AND {scope}"
