"""What a column and a table are: made, written and read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from peewee import BigIntegerField, CharField, Field, FloatField, IntegerField, SmallIntegerField

from fsmflow.store.dialect import Dialect
from fsmflow.store.indexes import Index
from fsmflow.values import dataclass

#: None where a database has no such column.
Make = Callable[[Dialect], Field | None]


class Column:
    """``attribute``: what it is called in the value, where not as in the table. ``store`` makes of that what a driver
    takes, ``load`` makes of what a driver gives the attribute."""

    def __init__(
        self,
        name: str,
        make: Make,
        attribute: str | None = None,
        *,
        store: Callable[[Any], Any] | None = None,
        load: Callable[[Any], Any] | None = None,
    ) -> None:
        self.name = name
        self.make = make
        self.attribute = attribute or name
        self.store = store
        self.load = load


class Columns:
    """Some columns in an order. All that can be is worked out beforehand: each step writes and reads several rows."""

    def __init__(self, *columns: Column) -> None:
        self.all = columns
        self.names = tuple(column.name for column in columns)
        self._attributes = tuple(column.attribute for column in columns)
        self._get = attrgetter(*self._attributes)
        self._stores = [(index, column.store) for index, column in enumerate(columns) if column.store is not None]
        self._loads = [(column.attribute, column.load) for column in columns if column.load is not None]

    def values(self, value: Any) -> list[Any]:
        """What is written of a value, in order."""
        found = list(self._get(value))
        for index, store in self._stores:
            found[index] = store(found[index])
        return found

    def attributes(self, row: Sequence[Any]) -> dict[str, Any]:
        """What a row holds of a value, by attribute; the row may go on with other columns."""
        found = dict(zip(self._attributes, row, strict=False))
        for attribute, load in self._loads:
            found[attribute] = load(found[attribute])
        return found


@dataclass(frozen=True, kw_only=True)
class Table:
    """``key``: the columns that no two rows have alike, where they are several; the primary key, where no column is.
    ``fill``: to which percentage new rows fill a page, where a database keeps room there for new versions of rows."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    fill: int = 100


def chars(most: int, **options: Any) -> Make:
    """Texts of at most so many characters."""
    return lambda dialect: CharField(most, **options)


def long_text(**options: Any) -> Make:
    """Texts of any length."""
    return lambda dialect: dialect.text_field(**options)


def whole(**options: Any) -> Make:
    """Whole numbers."""
    return lambda dialect: IntegerField(**options)


def small(**options: Any) -> Make:
    """Small ones, and yes or no."""
    return lambda dialect: SmallIntegerField(**options)


def big(**options: Any) -> Make:
    """Numbers of rows, and times: UTC in milliseconds."""
    return lambda dialect: BigIntegerField(**options)


def real(**options: Any) -> Make:
    """Numbers with a fraction."""
    return lambda dialect: FloatField(**options)
