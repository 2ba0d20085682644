"""Small facts and secrets that all processes share: rows of two tables, each changed by compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence

from fsmflow.store.link import Link
from fsmflow.store.tables import META


class Meta:
    """Reads and writes by name, in one of the two."""

    def __init__(self, link: Link, table: str = META) -> None:
        self._link = link
        self._table = table
        self._name, self._value = link.quoted("name"), link.quoted("value")

    def get(self, names: Sequence[str]) -> dict[str, str]:
        """Those of these that are there. One query."""
        if not names:
            return {}
        marks = ", ".join([self._link.mark] * len(names))
        sql = f"SELECT {self._name}, {self._value} FROM {self._table} WHERE {self._name} IN ({marks})"
        return {str(name): str(value) for name, value in self._link.query(sql, tuple(names))}

    def add(self, name: str, value: str) -> bool:
        """Write one that is not there yet. False where somebody else has."""
        mark = self._link.mark
        sql = f"INSERT INTO {self._table} ({self._name}, {self._value}) VALUES ({mark}, {mark})"
        return self._link.add(sql, (name, value))

    def swap(self, name: str, old: str, new: str) -> bool:
        """Change one that still has its old value. False where somebody else has changed it.

        Inside a transaction, others who want to change it wait until that ends.
        """
        mark = self._link.mark
        sql = f"UPDATE {self._table} SET {self._value} = {mark} WHERE {self._name} = {mark} AND {self._value} = {mark}"
        return bool(self._link.execute(sql, (new, name, old)).rowcount == 1)
