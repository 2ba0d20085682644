"""Fills a database as it would stand after years: copies of lives, each with its own number, data and times."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from _bench_lives import SHARES, Life, lives
from _bench_machines import BenchOrder, BenchParcel
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Snapshot
from fsmflow.engine.runtime import Runtime
from fsmflow.store.columns import (
    HISTORY_COLUMNS,
    NEW_ENTITY_COLUMNS,
    TERM_COLUMNS,
    WORK_COLUMNS,
    entry_values,
    new_entity_values,
    work_values,
)
from fsmflow.store.tables import ENTITY, HISTORY, TERM, WORK
from fsmflow.values import replace

_PAGE: Final = 400
_DAY_MS: Final = 86_400_000
_YEARS_MS: Final = 3 * 365 * _DAY_MS
#: Each line of a history is so much later than the one before.
_APART_MS: Final = 1_000
_AT: Final = HISTORY_COLUMNS.index("at")


def fill(runtime: Runtime, count: int, *, history: int) -> None:
    """Write so many orders, parcels for some of them, and so many lines of history for each order or as many as it
    needs. ``verify`` finds nothing wrong with it."""
    filling = _Filling(runtime, count, lives(history))
    started = time.monotonic()
    for first in range(0, count, _PAGE * 50):
        last = min(count, first + _PAGE * 50)
        with runtime.store.link.transaction():
            for page in range(first, last, _PAGE):
                filling.write(range(page, min(last, page + _PAGE)))
        print(f"\r{last:,} of {count:,} written", end="", file=sys.stderr, flush=True)
    print(f" in {time.monotonic() - started:.0f} s", file=sys.stderr)
    for machine in (BenchOrder, BenchParcel):
        runtime.store.search.note(machine.name, dict.fromkeys(machine.search))
    if runtime.store.link.dialect.name == "postgresql":
        for table in (ENTITY, WORK, TERM):
            runtime.store.link.execute(f"VACUUM ANALYSE {table}")


class _Filling:
    """What each copy is made of."""

    def __init__(self, runtime: Runtime, count: int, lived: dict[str, Life]) -> None:
        self._store, self._count, self._lived = runtime.store, count, lived
        self._now = runtime.store.link.now()
        self._chance = random.Random(1)
        self._names = list(SHARES)
        self._weights = list(SHARES.values())
        parcels = {f"{name} parcel": life.parcel for name, life in lived.items() if life.parcel is not None}
        self._lines = {name: _values(life) for name, life in {**lived, **parcels}.items()}

    def write(self, numbers: Iterable[int]) -> None:
        """Orders of these numbers, and their parcels. Inside a transaction."""
        orders = [self._order(number) for number in numbers]
        written = self._write(orders, BenchOrder.search)
        parcels = [
            (f"{name} parcel", self._parcel(parcel.entity, order))
            for (name, _), order in zip(orders, written, strict=True)
            if (parcel := self._lived[name].parcel) is not None
        ]
        self._write(parcels, BenchParcel.search)

    def _order(self, number: int) -> tuple[str, Snapshot]:
        [name] = self._chance.choices(self._names, self._weights)
        pattern = self._lived[name].entity
        created = self._now - _YEARS_MS + number * (_YEARS_MS // self._count)
        entered = min(self._now, created + self._chance.randrange(5 * _DAY_MS))
        data = {
            "customer": f"c{self._chance.randrange(self._count // 10 + 1)}",
            "amount": self._chance.randrange(10_000),
            "tenant": "acme",
            "parcels": [{"tracking": f"T{number}"}] if self._lived[name].parcel else [],
        }
        work = None if pattern.work is None else replace(pattern.work, wake_at=self._now + _DAY_MS, rung_at=None)
        return name, replace(
            pattern,
            entity_id=str(number),
            data_text=_text(data),
            created_at=created,
            entered_at=entered,
            updated_at=entered,
            work=work,
        )

    def _parcel(self, pattern: Snapshot, order: Snapshot) -> Snapshot:
        [item] = json.loads(order.data_text)["parcels"]
        return replace(
            pattern,
            entity_id=f"{order.address}/shipping/0",
            data_text=_text(item),
            item_text=_text(item),
            created_at=order.created_at,
            entered_at=order.entered_at,
            updated_at=order.updated_at,
            parent=order.row,
        )

    def _write(self, named: Sequence[tuple[str, Snapshot]], fields: Sequence[str]) -> list[Snapshot]:
        """They as they are written, each with its row."""
        if not named:
            return []
        store, link = self._store, self._store.link
        insert = link.dialect.insert_many
        entities = [entity for _, entity in named]
        link.execute(*insert(ENTITY, NEW_ENTITY_COLUMNS, [new_entity_values(each) for each in entities]))
        rows = [each.row for each in store.entities.with_rows(entities)]
        made = [replace(each, row=row) for row, each in zip(rows, entities, strict=True)]
        if work := [(each.row, *work_values(each.work)) for each in made if each.work is not None]:
            link.execute(*insert(WORK, ("entity", *WORK_COLUMNS), work))
        if terms := [term for each in made for term in store.search.rows(each, fields)]:
            link.execute(*insert(TERM, TERM_COLUMNS, terms))
        lines = [line for (name, _), each in zip(named, made, strict=True) for line in self._history(name, each)]
        for first in range(0, len(lines), 1_000):
            link.execute(*insert(HISTORY, HISTORY_COLUMNS, lines[first : first + 1_000]))
        self._count_failures(zip(named, made, strict=True))
        return made

    def _history(self, name: str, entity: Snapshot) -> list[list[Any]]:
        lines = [[entity.row, *values] for values in self._lines[name]]
        for place, line in enumerate(reversed(lines)):
            line[_AT] = entity.entered_at - place * _APART_MS
        return lines

    def _count_failures(self, made: Iterable[tuple[tuple[str, Snapshot], Snapshot]]) -> None:
        commits = [
            Commit(before=None, after=each, entries=tuple(self._lived[name].lines[-1:]))
            for (name, _), each in made
            if each.fingerprint is not None
        ]
        self._store.groups.count(commits)


def _values(life: Life) -> list[list[Any]]:
    """The values of its history but for the entity; each line is of a commit of its own."""
    return [entry_values(line, f"{line.seq:016x}") for line in life.lines]


def _text(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))
