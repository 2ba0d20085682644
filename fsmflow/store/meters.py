"""Meters: numbers that only grow, of attempts, doorbells and sweeps. Supervisors add to them once in a while, and no
step ever does, so that nothing waits for a count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from fsmflow.store.columns import METER_KEY
from fsmflow.store.link import Link
from fsmflow.store.tables import METER

#: Rows of one statement.
_PAGE: Final = 100


class Meter(NamedTuple):
    """Of what a number is. ``label``: an outcome or a queue; ``at_most``: the upper edge of a bucket, in milliseconds.
    What does not apply is empty, or 0."""

    name: str
    machine: str = ""
    state: str = ""
    label: str = ""
    at_most: int = 0


class Meters:
    """The meters of one database."""

    def __init__(self, link: Link) -> None:
        self._link = link
        columns = ", ".join(map(link.quoted, (*METER_KEY, "value")))
        value, notation = link.quoted("value"), link.dialect.notation
        self._insert = f"INSERT INTO {METER} ({columns}) VALUES "
        key = [link.quoted(name) for name in METER_KEY]
        self._grow = f" {notation.or_else(key)} {value} = {METER}.{value} + {notation.offered(value)}"
        self._all = f"SELECT {columns} FROM {METER}"
        self._row = f"({', '.join([link.mark] * (len(METER_KEY) + 1))})"

    def add(self, counted: Mapping[Meter, int]) -> None:
        """Add these numbers, all or none of them; those of a commit that got no answer may be added twice. The commit
        need not be durable: a crash of the database server may lose it. Raises DatabaseUnavailable."""
        # In the same order whoever adds.
        rows = [(*meter, number) for meter, number in sorted(counted.items())]

        def add() -> None:
            for first in range(0, len(rows), _PAGE):
                page = rows[first : first + _PAGE]
                sql = f"{self._insert}{', '.join([self._row] * len(page))}{self._grow}"
                self._link.execute(sql, [value for row in page for value in row])

        if rows:
            self._link.write(add, hasty=True)

    def all(self) -> dict[Meter, int]:
        """Every meter. One query, over as many rows as there are states, and a few for each."""
        return {
            Meter(str(name), str(machine), str(state), str(label), int(at_most)): int(value)
            for name, machine, state, label, at_most, value in self._link.look(self._all)
        }
