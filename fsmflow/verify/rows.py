"""The rows as they are stored, read in pages by key; the page of entities and all that belongs to it at one moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from fsmflow.store.reader import Reader
from fsmflow.store.tables import ENTITY, EVENT, FAILURE, HISTORY, MEMBER, META, TERM, WORK
from fsmflow.values import dataclass

#: Entities of one page, with their data; rows of history that are held at once.
PAGE: Final = 200
CHUNK: Final = 5_000
_BEYOND: Final = 2**62


class Work(NamedTuple):
    """A row of ``work``."""

    entity: int
    epoch: int
    kind: str
    attempt: int
    owner: str | None
    lease_until: int | None
    wake_at: int
    held: int | None
    queue: str | None
    failures: int
    crashes: int
    postponed: int
    deadline: int | None
    parked: int | None


class Entity(NamedTuple):
    """A row of ``entity``."""

    id: int
    machine: str
    entity_id: str
    state: str
    phase: str
    epoch: int
    revision: int
    seq: int
    data: str
    step: int
    step_name: str
    visits: str
    event: str
    result: str | None
    failure: str | None
    fingerprint: str | None
    paused: int
    version: int
    parent: int | None
    parent_step: int | None
    parent_index: int | None
    branch_of: str | None
    branch_name: str | None
    item: str | None
    standing: int | None
    kept: int
    bound: int
    entered_at: int
    updated_at: int

    @property
    def address(self) -> str:
        return f"{self.machine}:{self.entity_id}"


class Entry(NamedTuple):
    """A row of ``history``."""

    entity: int
    seq: int
    kind: str
    at: int
    trigger: str | None
    source: str | None
    dest: str
    epoch: int
    attempt: int | None
    payload: str | None
    key: str | None
    failure: str | None
    edit: str | None
    version: int
    token: str


class Event(NamedTuple):
    """A row of ``event``."""

    id: int
    entity: int
    kind: str
    key: str | None
    trigger: str
    payload: str | None
    at: int
    due_at: int | None
    seq: int | None
    until: int | None


class Above(NamedTuple):
    """Of an entity that has branches: where it stands."""

    id: int
    state: str
    phase: str
    step: int
    paused: int
    updated_at: int


class Pruned(NamedTuple):
    """What was deleted of a machine, as it was noted: entities, and up to when keys had been used that are gone."""

    entities: int
    keys_until: int


class Tally(NamedTuple):
    """The branches of one step of an entity, counted; ``named`` have a name, and ``names`` is how many names."""

    parent: int
    step: int
    total: int
    first: int
    last: int
    named: int
    names: int


@dataclass(frozen=True)
class Span:
    """The entity rows of one page, and the row numbers that it answers for: those after ``after`` up to ``upto``.
    ``only``: these alone, as others are of another machine."""

    entities: tuple[Entity, ...]
    after: int
    upto: int
    only: tuple[int, ...] | None = None

    @property
    def is_last(self) -> bool:
        return len(self.entities) < PAGE


class Rows:
    """Reads of one database. Inside ``Reader.moment`` alone do they belong together."""

    def __init__(self, reader: Reader, machine: str | None) -> None:
        self._reader = reader
        self._machine = machine

    def page(self, before: Span | None) -> Span:
        """The page of entities after another one; the first after None. All go by row, those of a machine by id."""
        select = f"SELECT {self._columns('e', Entity)} FROM {ENTITY} e WHERE"
        last = None if before is None else before.entities[-1]
        if self._machine is None:
            after = last.id if last is not None else 0
            found = self._entities(f"{select} e.id > ? ORDER BY e.id", (after,))
            return Span(found, after, found[-1].id if len(found) == PAGE else _BEYOND)
        after_id = last.entity_id if last is not None else ""
        found = self._entities(
            f"{select} e.machine = ? AND e.entity_id > ? ORDER BY e.entity_id", (self._machine, after_id)
        )
        return Span(found, 0, _BEYOND, tuple(sorted(entity.id for entity in found)))

    def _entities(self, sql: str, params: Sequence[Any]) -> tuple[Entity, ...]:
        return tuple(map(Entity._make, self._reader.rows(f"{sql} LIMIT {PAGE}", params)))

    def work(self, span: Span) -> list[Work]:
        """The work rows of a page."""
        return self._of(span, WORK, Work, "x.entity")

    def holds(self) -> frozenset[int]:
        """The numbers of the holds that are in force, or not yet forgotten."""
        sql = f"SELECT {self._reader.quoted('value')} FROM {META} WHERE {self._reader.quoted('name')} = 'holds'"
        return frozenset(hold["number"] for (text,) in self._reader.rows(sql, ()) for hold in json.loads(text)["holds"])

    def events(self, span: Span) -> list[Event]:
        """The event rows of a page, in the order in which they were written."""
        return self._of(span, EVENT, Event, "x.id")

    def history(self, span: Span) -> Iterator[Entry]:
        """The history of a page, entity by entity, in order; a limited number of rows is held at once."""
        after, seq = span.after, None
        while True:
            if seq is None:
                where, params = self._where(span, after)
            else:
                where, params = "x.entity = ? AND x.seq > ?", [after, seq]
            sql = f"SELECT {self._columns('x', Entry)} FROM {HISTORY} x WHERE {where}"
            rows = self._reader.rows(f"{sql} ORDER BY x.entity, x.seq LIMIT {CHUNK}", params)
            yield from map(Entry._make, rows)
            if len(rows) == CHUNK:
                after, seq = rows[-1][0], rows[-1][1]
            elif seq is not None:
                seq = None
            else:
                return

    def parents(self, span: Span) -> dict[int, Above]:
        """The parents of the branches and children of a page, by row."""
        wanted = sorted({entity.parent for entity in span.entities if entity.parent is not None})
        if not wanted:
            return {}
        sql = f"SELECT {self._columns('e', Above)} FROM {ENTITY} e WHERE e.id IN ({_marks(wanted)})"
        return {found[0]: Above._make(found) for found in self._reader.rows(sql, wanted)}

    def known_failures(self, span: Span) -> set[str]:
        """Those fingerprints of a page that have a group."""
        wanted = sorted({entity.fingerprint for entity in span.entities if entity.fingerprint is not None})
        if not wanted:
            return set()
        sql = f"SELECT fingerprint FROM {FAILURE} WHERE fingerprint IN ({_marks(wanted)})"
        return {str(found) for (found,) in self._reader.rows(sql, wanted)}

    def repairs_that_are_gone(self) -> list[int]:
        """The rows of repairs that have members, and do not exist. Reads an index of all members."""
        sql = (
            f"SELECT m.repair FROM (SELECT DISTINCT repair FROM {MEMBER}) m "
            f"LEFT JOIN {ENTITY} e ON e.id = m.repair WHERE e.id IS NULL ORDER BY m.repair"
        )
        return [int(repair) for (repair,) in self._reader.rows(sql)]

    def searched(self) -> dict[str, dict[str, str]]:
        """By machine, what is all in of what it is searched by: the name in the table, and the field."""
        sql = f"SELECT {self._reader.quoted('value')} FROM {META} WHERE {self._reader.quoted('name')} = 'search'"
        noted = json.loads(next((text for (text,) in self._reader.rows(sql, ())), "{}"))
        return {
            machine: {f"{machine}.{field}": field for field, left in fields.items() if left is None}
            for machine, fields in noted.items()
        }

    def terms(self, span: Span) -> dict[int, dict[str, str]]:
        """What the entities of a page are found by: terms by name, by row."""
        ids = [entity.id for entity in span.entities]
        found: dict[int, dict[str, str]] = {}
        name, value = self._reader.quoted("name"), self._reader.quoted("value")
        sql = f"SELECT entity, {name}, {value} FROM {TERM} WHERE entity IN ({_marks(ids)})"
        for row, key, term in self._reader.rows(sql, ids) if ids else ():
            found.setdefault(int(row), {})[str(key)] = str(term)
        return found

    def tallies(self, span: Span) -> list[Tally]:
        """The branches of the entities of a page, counted by step."""
        ids = [entity.id for entity in span.entities]
        if not ids:
            return []
        sql = (
            f"SELECT parent, parent_step, COUNT(*), MIN(parent_index), MAX(parent_index), COUNT(branch_name), "
            f"COUNT(DISTINCT branch_name) FROM {ENTITY} "
            f"WHERE parent IN ({_marks(ids)}) GROUP BY parent, parent_step"
        )
        return [Tally(*map(int, found)) for found in self._reader.rows(sql, ids)]

    def pruned(self) -> dict[str, Pruned]:
        """What was deleted on purpose, by machine."""
        name, value = self._reader.quoted("name"), self._reader.quoted("value")
        stored = self._reader.rows(f"SELECT {value} FROM {META} WHERE {name} = ?", ("pruned",))
        found = json.loads(stored[0][0]) if stored else {}
        return {machine: Pruned(account["entities"], account["keys_until"]) for machine, account in found.items()}

    def standings(self, parent: int, step: int) -> dict[int, int]:
        """How many branches of a step stand how; from the index alone."""
        sql = f"SELECT standing, COUNT(*) FROM {ENTITY} WHERE parent = ? AND parent_step = ? GROUP BY standing"
        return {standing: int(count) for standing, count in self._reader.rows(sql, (parent, step))}

    def last_change(self, parent: int, step: int) -> int:
        """When a branch of a step was last written; 0 where it has none."""
        sql = f"SELECT MAX(updated_at) FROM {ENTITY} WHERE parent = ? AND parent_step = ?"
        ((last,),) = self._reader.rows(sql, (parent, step))
        return int(last or 0)

    def _of(self, span: Span, table: str, kind: Any, order: str) -> list[Any]:
        where, params = self._where(span, span.after)
        sql = f"SELECT {self._columns('x', kind)} FROM {table} x WHERE {where} ORDER BY {order}"
        make: Callable[[Sequence[Any]], Any] = kind._make
        return list(map(make, self._reader.rows(sql, params)))

    def _where(self, span: Span, after: int) -> tuple[str, list[Any]]:
        if span.only is None:
            return "x.entity > ? AND x.entity <= ?", [after, span.upto]
        return f"x.entity > ? AND x.entity IN ({_marks(span.only)})", [after, *span.only]

    def _columns(self, alias: str, kind: Any) -> str:
        return ", ".join(f"{alias}.{self._reader.quoted(name)}" for name in kind._fields)


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values)) or "NULL"
