"""Listings over many entities: found in pages, each by an index, and counted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.work import RUNS
from fsmflow.definition.names import PHASES
from fsmflow.store.arms import Arm, by_entry, by_row, distinct, merged
from fsmflow.store.columns import snapshot_of
from fsmflow.store.indexes import BRANCH, CHILD, OWNED, ROOT, SCOPES
from fsmflow.store.link import Link
from fsmflow.store.reach import Reach, within
from fsmflow.store.search import Search, Sought
from fsmflow.store.statements import Statements, among
from fsmflow.store.tables import ENTITY, EVENT, WORK
from fsmflow.values import dataclass, replace

PAGE = 500
#: Rows are found by index so many at once, and then loaded in pages.
_FOUND: Final = 10_000
#: Of more states than this, as a pattern gives them, those are left out in which nothing stands.
_ARMS: Final = 60
_ANY: Final = "1 = 1"
#: What was tried in vain, by the entity that it belongs to.
_TRIED: Final = (
    f"SELECT entity FROM {WORK} WHERE tries > 0 UNION SELECT entity FROM {EVENT} WHERE due_at > 0 AND tries > 0"
)


@dataclass(frozen=True, kw_only=True)
class Since:
    """A state of a machine, and a moment."""

    machine: str
    state: str
    at: int


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which entities are meant; None means all.

    ``failed``: they rest in a failure; ``failing``: their last attempt failed, whether they rest or are run again.
    ``waiting``: their job waits out an interval; ``held``: it did so until a pause came. ``stuck``: something of them
    was tried in vain. ``rows``: they are among these. ``entered_by``: in their state since this moment at the latest.
    ``overdue``: in one of these states since then at the latest, and no branch that runs a job. ``branches``: branches
    and children too, or (``only_branches``) these alone. ``fingerprints``: they rest in a failure that has one of
    these. ``reach``: they are within the reach of whoever asks.
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
    overdue: Sequence[Since] | None = None
    fingerprints: Sequence[str] | None = None
    branches: bool = False
    only_branches: bool = False
    sought: Sought | None = None
    rows: Sequence[int] | None = None
    reach: Reach | None = None

    @property
    def is_rare(self) -> bool:
        """Whether something is asked for that few entities have, by which these are found."""
        return self.failed or self.failing or self.stuck or self.waits

    @property
    def waits(self) -> bool:
        """Whether something is asked of their work."""
        return self.waiting or self.held

    @property
    def scopes(self) -> tuple[str, ...]:
        """Which of what is told apart by index is meant."""
        return (CHILD, BRANCH) if self.only_branches else SCOPES if self.branches else (ROOT,)


class Listing:
    """Queries over many entities."""

    def __init__(self, link: Link, statements: Statements, search: Search) -> None:
        self._link = link
        self._search = search
        self._sql = statements

    def find(
        self,
        wanted: Filter,
        *,
        limit: int | None = None,
        newest: bool = False,
        after: int | None = None,
        after_term: str | None = None,
    ) -> Iterator[Snapshot]:
        """The entities that match, the oldest first (or the newest), read in pages; with ``after`` those of later rows.

        What is ``sought`` by terms comes in the order of one of these, where it is asked for or not one value is meant;
        ``after_term``: of which term ``after`` is.

        With ``entered_by``, and neither branches nor ``after``, those that stand in their state for longest (or
        shortest) come first. Whoever changes what it gives meanwhile meets each entity once.
        """
        where, params = self._where(wanted)
        joined = f"{self._sql.by_rows} JOIN {WORK} x ON x.entity = e.id" if wanted.waits else self._sql.by_rows
        left = limit
        page_size = _FOUND if limit is None else min(_FOUND, limit)
        if wanted.rows is not None:
            found = _pages(wanted.rows, newest=newest, after=after)
        elif wanted.sought is not None:
            last = (after_term, after or 0)
            found = self._search.found(wanted.sought, where, params, page=page_size, newest=newest, last=last)
        else:
            found = self._found(wanted, page=page_size, newest=newest, after=after)
        for rows in found:
            for start in range(0, len(rows), PAGE):
                page = rows[start : start + PAGE]
                chosen, values = self._link.dialect.among(page)
                sql = f"{joined} WHERE e.id {chosen} AND {where}"
                loaded = {row[0]: row for row in self._link.look(sql, (*values, *params))}
                for row in [row for row in page if row in loaded][:left]:
                    left = None if left is None else left - 1
                    yield snapshot_of(loaded[row])
                if left == 0:
                    return

    def within(self, rows: Collection[int], reach: Reach) -> set[int]:
        """Which of these are within reach. A query for so many at once."""
        found: set[int] = set()
        term, params = within(self._link, reach)
        every = sorted(set(rows))
        for start in range(0, len(every), PAGE):
            among, values = self._link.dialect.among(every[start : start + PAGE])
            sql = f"SELECT e.id FROM {ENTITY} e WHERE e.id {among} AND {term}"
            found.update(int(row) for (row,) in self._link.look(sql, (*values, *params)))
        return found

    def count(self, wanted: Filter) -> int:
        """How many entities match. Reads as many rows of an index."""
        where, params = self._where(wanted)
        # Of what is stuck nothing else is asked: to read each entity as well would take most of the time.
        source = f"({_TRIED}) x" if wanted.stuck and not params and where == _ANY else self._source(wanted)
        ((found,),) = self._link.look(f"SELECT COUNT(*) FROM {source} WHERE {where}", params)
        return int(found)

    def first_like(self, machine: str, states: Sequence[str], patterns: Sequence[str]) -> str | None:
        """The id of the oldest entity in one of these states whose id is like one of the patterns, as SQL has them.

        Reads as many rows of an index as there are entities in these states, at most."""
        where, params = self._where(Filter(machine=machine, states=states))
        like = " OR ".join([f"e.entity_id LIKE {self._link.mark}"] * len(patterns))
        sql = f"SELECT e.entity_id FROM {ENTITY} e WHERE {where} AND ({like}) ORDER BY e.id LIMIT 1"
        found = self._link.look(sql, (*params, *patterns))
        return str(found[0][0]) if found else None

    def machines(self) -> list[str]:
        """The machines of which there are entities. One query that reads an entry of an index for each."""
        return distinct(self._link, ENTITY, "machine", "1 = 1")

    def states(self, machine: str, scope: str) -> list[str]:
        """The states in which entities of a machine stand, of this scope. One query, likewise."""
        return distinct(self._link, ENTITY, "state", f"machine = {self._link.mark} AND {scope}", (machine,))

    def places(self, machine: str | None, *, branches: bool) -> Iterator[tuple[str, str]]:
        """Each (machine, state) in which entities stand. A query for each machine, likewise."""
        for each in [machine] if machine is not None else self.machines():
            for scope in SCOPES if branches else (ROOT,):
                yield from ((each, state) for state in self.states(each, scope))

    def _found(self, wanted: Filter, *, page: int, newest: bool, after: int | None) -> Iterator[list[int]]:
        """The numbers of the rows that match, in order and so many at once, by an index that has little else."""
        timed = (wanted.entered_by is not None or wanted.overdue is not None) and after is None
        by_time = timed and wanted.scopes == (ROOT,) and not wanted.is_rare
        order = by_entry(newest=newest) if by_time else by_row(newest=newest)
        arms = list(self._arms(wanted, by_time=by_time))
        last: Sequence[Any] = order.start if after is None else (after,)
        found = page if arms else 0
        while 0 < found == page:
            rows = self._link.look(*merged(self._link, arms, order, last, page))
            found = len(rows)
            last = rows[-1] if rows else last
            yield [int(row[-1]) for row in rows]

    def _arms(self, wanted: Filter, *, by_time: bool) -> Iterator[Arm]:
        """The parts of an index that have what is wanted in order, so that nothing is sorted; of what is rare, all of
        that."""
        if wanted.is_rare:
            where, params = self._where(wanted)
            yield Arm(source=self._source(wanted), where=where, params=params, sorts=True)
            return
        if wanted.overdue is not None:
            yield from self._overdue(wanted, wanted.overdue)
            return
        machines = [wanted.machine] if wanted.machine is not None else self.machines()
        many = len(machines) * len(wanted.states or ()) > _ARMS
        for machine in machines:
            for scope in wanted.scopes:
                states = wanted.states
                if states is None and wanted.entity_id is None and (by_time or scope != ROOT):
                    states = self.states(machine, scope)
                elif many and states is not None:
                    states = sorted(set(states).intersection(self.states(machine, scope)))
                if scope == ROOT and self._search.is_small(wanted.reach, machine):
                    yield self._small(replace(wanted, machine=machine, states=states))
                    continue
                yield from self._arms_of(replace(wanted, machine=machine, states=states), scope)

    def _overdue(self, wanted: Filter, overdue: Sequence[Since]) -> Iterator[Arm]:
        """The parts for each state in which something may be overdue."""
        for each in overdue:
            if wanted.machine in (None, each.machine) and (wanted.states is None or each.state in wanted.states):
                at = each.at if wanted.entered_by is None else min(each.at, wanted.entered_by)
                one = replace(wanted, machine=each.machine, states=[each.state], entered_by=at, overdue=None)
                for scope in wanted.scopes:
                    if scope != BRANCH:
                        yield from self._arms_of(one, scope)

    def _small(self, wanted: Filter) -> Arm:
        """All of a machine that is within the reach of a team which has little, by its terms."""
        assert wanted.reach is not None
        source, owned, values = self._search.of_team(wanted.reach, str(wanted.machine))
        where, params = self._where(replace(wanted, branches=False, only_branches=False))
        return Arm(source=source, where=f"{owned} AND {where}", params=[*values, *params], sorts=True)

    def _arms_of(self, wanted: Filter, scope: str) -> Iterator[Arm]:
        """The parts for one machine, of branches or of what is none: by state, by phase, or all of it."""
        rest = replace(wanted, machine=None, states=None, branches=True, only_branches=False)
        fixed = f"e.machine = {self._link.mark} AND {scope}"
        column: str | None = None
        values: Sequence[str] = ()
        if wanted.states is not None:
            column, values = "state", wanted.states
        elif scope == ROOT and wanted.entity_id is None:
            column, values = "phase", PHASES if wanted.phase is None else (wanted.phase,)
            rest = replace(rest, phase=None)
        if wanted.reach is not None:
            # By itself, and of one machine, it is told by its own term.
            theirs, more = within(self._link, wanted.reach, owned=scope != ROOT, machine=wanted.machine)
            rest = replace(rest, reach=None)
        where, params = self._where(rest)
        if wanted.reach is not None:
            where, params = f"{theirs} AND {where}", [*more, *params]
        for value in values:
            term = f"{fixed} AND e.{column} = {self._link.mark} AND {where}"
            yield Arm(source=f"{ENTITY} e", where=term, params=[wanted.machine, value, *params])
        if column is None:
            is_one = wanted.entity_id is not None
            yield Arm(
                source=f"{ENTITY} e", where=f"{fixed} AND {where}", params=[wanted.machine, *params], sorts=is_one
            )

    def _source(self, wanted: Filter) -> str:
        """From where rows are read: where few have what is asked for, from what says so."""
        if wanted.stuck:
            return f"({_TRIED}) x JOIN {ENTITY} e ON e.id = x.entity"
        if wanted.waits:
            # There is hardly any work beside all there is.
            return f"{WORK} x {self._link.dialect.then_join} {ENTITY} e ON e.id = x.entity"
        hint = self._link.dialect.by_index(f"{ENTITY}_failing") if wanted.failing or wanted.failed else ""
        return f"{ENTITY} e{hint}"

    def _where(self, wanted: Filter) -> tuple[str, list[Any]]:
        mark = self._link.mark
        terms: list[str] = []
        params: list[Any] = []
        if wanted.scopes is not SCOPES:
            terms.append(OWNED if wanted.only_branches else ROOT)
        for column, value in (("machine", wanted.machine), ("phase", wanted.phase), ("entity_id", wanted.entity_id)):
            if value is not None:
                terms.append(f"e.{column} = {mark}")
                params.append(value)
        for column, values in (("state", wanted.states), ("fingerprint", wanted.fingerprints)):
            if values is not None:
                terms.append(f"e.{column} IN ({', '.join([mark] * len(values)) or 'NULL'})")
                params += values
        if wanted.entered_by is not None:
            terms.append(f"e.entered_at <= {mark}")
            params.append(wanted.entered_by)
        more, values = self._rest(wanted)
        return " AND ".join([*terms, *more, *self._flags(wanted)]) or _ANY, [*params, *values]

    def _rest(self, wanted: Filter) -> tuple[list[str], list[Any]]:
        """What is overdue, and what is within reach."""
        mark, terms, params = self._link.mark, list[str](), list[Any]()
        if wanted.overdue is not None:
            each = f"(e.machine = {mark} AND e.state = {mark} AND e.entered_at <= {mark})"
            terms.append(f"e.branch_of IS NULL AND ({' OR '.join([each] * len(wanted.overdue)) or '1 = 0'})")
            params += [value for since in wanted.overdue for value in (since.machine, since.state, since.at)]
        if wanted.reach is not None:
            sql, values = within(self._link, wanted.reach, owned=wanted.scopes != (ROOT,))
            terms.append(sql)
            params += values
        return terms, params

    def _flags(self, wanted: Filter) -> Iterator[str]:
        """What is asked without a value. ``x`` is the work, where it is about that."""
        if wanted.failed or wanted.failing:
            yield "e.failure IS NOT NULL"
        if wanted.failed:
            yield "e.fingerprint IS NOT NULL"
        if wanted.waits:
            held = "> 0" if wanted.held else "IS NULL"
            free = f"x.{self._link.quoted('owner')} IS NULL AND x.rung_at IS NULL AND x.parked IS NULL"
            yield f"x.kind {among(RUNS)} AND {free} AND x.held {held}"


def _pages(rows: Sequence[int], *, newest: bool, after: int | None) -> Iterator[list[int]]:
    """These rows in order, from the one that follows on ``after``."""
    ranked = sorted(rows, reverse=newest)
    left = ranked if after is None else [row for row in ranked if (row < after if newest else row > after)]
    for start in range(0, len(left), _FOUND):
        yield left[start : start + _FOUND]
