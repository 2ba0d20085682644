"""The table of terms: what the data of entities hold in the fields that their machines declare by ``search``.

A term is written in the commit that changes the field, so it is never seen without the data, and the data never without
it, once what was there before the declaration has been brought in. What was is noted as a fact, by machine and field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from fsmflow import codec
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.terms import Bounds, terms_in
from fsmflow.store.columns import TERM_COLUMNS
from fsmflow.store.link import Link
from fsmflow.store.meta import Meta
from fsmflow.store.reach import Reach
from fsmflow.store.tables import ENTITY, TERM
from fsmflow.store.writes import Writes
from fsmflow.values import dataclass

#: Entities that are brought in by one transaction.
PAGE: Final = 200
#: Below this an entity is found by what few have, and all of these are sorted.
_FEW: Final = 10_000
#: The fact that says what was brought in.
_FACT: Final = "search"
_TRIES: Final = 5

#: The term and the row of the last one that somebody got.
Last = tuple[str | None, int]


@dataclass(frozen=True, kw_only=True)
class Sought:
    """What is looked for by terms: all that is in ``bounds``, by the name of the field, in the order of ``by``, where
    that is given. Names are those of the table."""

    bounds: tuple[tuple[str, Bounds], ...] = ()
    by: str | None = None


def name_of(machine: str, field: str) -> str:
    """What a field of a machine is called in the table; machines have no dots in their names."""
    return f"{machine}.{field}"


class Search:
    """Writes terms, and finds by them."""

    def __init__(self, link: Link, meta: Meta) -> None:
        self._link = link
        self._meta = meta
        mark = link.mark
        self._name, self._value = link.quoted("name"), link.quoted("value")
        self._columns = f"entity, {self._name}, {self._value}"
        added = f"INSERT INTO {TERM} ({self._columns}) VALUES ({mark}, {mark}, {mark})"
        self._put = added + link.dialect.replacing(("entity", self._name), self._value)
        self._remove = f"DELETE FROM {TERM} WHERE entity = {mark} AND {self._name} = {mark}"

    def write(self, before: Snapshot | None, after: Snapshot, fields: Sequence[str], writes: Writes) -> None:
        """Inside a transaction that has locked the entity: what has changed of its terms. No statement where nothing
        has."""
        if before is not None and before.data_text == after.data_text:
            return
        old = {} if before is None else terms_in(before.data, fields)
        new = terms_in(after.data, fields)
        for field in fields:
            if old.get(field) == new.get(field):
                continue
            name = name_of(after.machine, field)
            if field in new:
                writes.run(self._put, (after.row, name, new[field]))
            else:
                writes.run(self._remove, (after.row, name))

    def rows(self, made: Snapshot, fields: Sequence[str]) -> list[tuple[int, str, str]]:
        """The rows of a new entity."""
        found = terms_in(made.data, fields) if fields else {}
        return [(made.row, name_of(made.machine, field), term) for field, term in found.items()]

    def found(
        self, sought: Sought, where: str, params: Sequence[Any], *, page: int, newest: bool, last: Last
    ) -> Iterator[list[int]]:
        """The numbers of the rows that have these terms, and of which ``where`` is true, in pages.

        In the order of a field, or of starting; ``last``: those that follow on this term and this row.
        """
        fixed, values, column = self._statement(sought)
        sign, ending = ("<", " DESC") if newest else (">", "")
        order = f"d.entity{ending}" if column is None else f"{column}{ending}, d.entity{ending}"
        found = page
        while found == page:
            after, place = self._after(column, last, sign)
            sql = f"{fixed} AND {where}{after} ORDER BY {order} LIMIT {page}"
            rows = self._link.look(sql, (*values, *params, *place))
            found = len(rows)
            if rows:
                last = (None if column is None else rows[-1][0], int(rows[-1][-1]))
                yield [int(row[-1]) for row in rows]

    def _statement(self, sought: Sought) -> tuple[str, list[Any], str | None]:
        """All but what pages differ by; its parameters; and the column that it goes by, None for the row."""
        driver, by = self._plan(sought)
        mark = self._link.mark
        source, terms = f"{TERM} d CROSS JOIN {ENTITY} e", [f"d.{self._name} = {mark}", "e.id = d.entity"]
        values: list[Any] = [driver]
        if by not in (None, driver):
            source += f" CROSS JOIN {TERM} o"
            terms += ["o.entity = d.entity", f"o.{self._name} = {mark}"]
            values.append(by)
        for name, bounds in sought.bounds:
            alias = "d" if name == driver else "o" if name == by else "t"
            term, more = self._within(alias, bounds)
            terms.append(self._exists(term) if alias == "t" else term)
            values += [name, *more] if alias == "t" else more
        column = None if by is None else f"{'d' if by == driver else 'o'}.{self._value}"
        columns = "d.entity" if column is None else f"{column}, d.entity"
        return f"SELECT {columns} FROM {source} WHERE {' AND '.join(terms)}", values, column

    def _plan(self, sought: Sought) -> tuple[str, str | None]:
        """By which field entities are found, and by which they are sorted: by the one that few have, else by the order
        that is asked for, else by what lies between two values, in that order."""
        exact = {name: bounds for name, bounds in sought.bounds if bounds.among}
        counted = {name: self._count(name, bounds) for name, bounds in exact.items()}
        least = min(counted, key=lambda name: counted[name], default=None)
        if least is not None and (sought.by is None or counted[least] < _FEW):
            return least, sought.by
        if sought.by is not None:
            return sought.by, sought.by
        return sought.bounds[0][0], sought.bounds[0][0]

    def _count(self, name: str, bounds: Bounds) -> int:
        term, values = self._within("d", bounds)
        sql = f"SELECT 1 FROM {TERM} d WHERE d.{self._name} = {self._link.mark} AND {term} LIMIT {_FEW}"
        return len(self._link.look(sql, (name, *values)))

    def is_small(self, reach: Reach | None, machine: str) -> bool:
        """Whether those within reach of a machine are better found by their terms than by anything else, as there are
        few. One query, by index; none where all are within reach."""
        name = None if reach is None else reach.names.get(machine)
        if name is None or reach is None:
            return False
        return self._count(name, Bounds(among=reach.sorted_terms)) < _FEW

    def of_team(self, reach: Reach, machine: str) -> tuple[str, str, list[Any]]:
        """Where the entities ``e`` of a machine are found whose own terms are within reach: source, condition, and its
        parameters."""
        term, values = self._within("d", Bounds(among=reach.sorted_terms))
        where = f"d.{self._name} = {self._link.mark} AND {term} AND e.id = d.entity"
        return f"{TERM} d CROSS JOIN {ENTITY} e", where, [reach.names[machine], *values]

    def _within(self, alias: str, bounds: Bounds) -> tuple[str, list[str]]:
        column, mark = f"{alias}.{self._value}", self._link.mark
        if bounds.among:
            return f"{column} IN ({', '.join([mark] * len(bounds.among))})", list(bounds.among)
        low, high = ">=" if bounds.has_low else ">", "<=" if bounds.has_high else "<"
        return f"{column} {low} {mark} AND {column} {high} {mark}", [bounds.low, bounds.high]

    def _exists(self, term: str) -> str:
        return (
            f"EXISTS (SELECT 1 FROM {TERM} t WHERE t.entity = e.id AND t.{self._name} = {self._link.mark} AND {term})"
        )

    def _after(self, column: str | None, last: Last, sign: str) -> tuple[str, list[Any]]:
        (term, row), mark = last, self._link.mark
        if column is None:
            return (f" AND d.entity {sign} {mark}", [row]) if row else ("", [])
        if term is None:
            return "", []
        condition = f"{column} {sign}= {mark} AND ({column} {sign} {mark} OR d.entity {sign} {mark})"
        return f" AND {condition}", [term, term, row]

    def progress(self) -> dict[str, dict[str, int | None]]:
        """By machine, up to which row each field was brought in; None where all are. One query."""
        stored: dict[str, dict[str, int | None]] = json.loads(self._meta.get([_FACT]).get(_FACT, "{}"))
        return stored

    def note(self, machine: str, fields: Mapping[str, int | None], *, drop: Sequence[str] = ()) -> None:
        """Note how far these are; and that of ``drop`` nothing is there any more."""
        for _ in range(_TRIES):
            text = self._meta.get([_FACT]).get(_FACT)
            if text is None:
                self._meta.add(_FACT, "{}")
                continue
            noted = json.loads(text)
            kept = {name: row for name, row in {**noted.get(machine, {}), **fields}.items() if name not in drop}
            changed = json.dumps({**noted, machine: kept}, separators=(",", ":"))
            if changed == text or self._link.write(partial(self._meta.swap, _FACT, text, changed)):
                return

    def bring_in(self, machine: str, fields: Sequence[str], after: int) -> int | None:
        """Write what is missing of the terms of a page of entities, and take away what is wrong; after which row to go
        on, None at the end. One transaction, in which nobody else writes these entities."""
        dialect, mark = self._link.dialect, self._link.mark
        sql = (
            f"SELECT id FROM {ENTITY}{dialect.by_row} WHERE machine = {mark} AND branch_of IS NULL AND id > {mark} "
            f"ORDER BY id LIMIT {PAGE}"
        )
        rows = [int(row) for (row,) in self._link.query(sql, (machine, after))]
        if rows:
            self._link.write(partial(self._mend, machine, fields, rows))
        return rows[-1] if len(rows) == PAGE else None

    def _mend(self, machine: str, fields: Sequence[str], rows: Sequence[int]) -> None:
        dialect = self._link.dialect
        among, values = dialect.among(rows)
        sql = f"SELECT id, data FROM {ENTITY} WHERE id {among} ORDER BY id{dialect.locking}"
        names = {name_of(machine, field) for field in fields}
        wanted = {
            (int(row), name_of(machine, field)): term
            for row, text in self._link.rows(sql, values)
            for field, term in terms_in(codec.decode(text), fields).items()
        }
        sql = f"SELECT {self._columns} FROM {TERM} WHERE entity {among}"
        there = {(int(row), name): term for row, name, term in self._link.rows(sql, values) if name in names}
        for key in there.keys() - wanted.keys():
            self._link.execute(self._remove, key)
        missing = [(*key, term) for key, term in wanted.items() if key not in there]
        for key, term in wanted.items():
            if key in there and there[key] != term:
                self._link.execute(self._put, (*key, term))
        if missing:
            self._link.execute(*dialect.insert_many(TERM, TERM_COLUMNS, missing))

    def drop(self, machine: str, field: str) -> None:
        """Take away all terms of a field that is declared no more, in pages."""
        name, mark = name_of(machine, field), self._link.mark
        sql = f"SELECT entity FROM {TERM} WHERE {self._name} = {mark} LIMIT 1000"
        while rows := [int(row) for (row,) in self._link.query(sql, (name,))]:
            among, values = self._link.dialect.among(rows)
            gone = f"DELETE FROM {TERM} WHERE {self._name} = {mark} AND entity {among}"
            self._link.write(partial(self._link.execute, gone, (name, *values)))
