"""Queries that read no more of an index than they give: several parts of it merged in order, and its distinct values.

No planner does either by itself: for ``state IN (...) ORDER BY id`` it would sort all that stands in these states, and
for DISTINCT read all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fsmflow.store.link import Link
from fsmflow.values import dataclass

#: Above every row number, and every time.
BEYOND: Final = 2**62


@dataclass(frozen=True, kw_only=True)
class Order:
    """How rows follow each other: by these columns, the last of which is the number of the row."""

    columns: tuple[str, ...]
    newest: bool

    @property
    def start(self) -> tuple[int, ...]:
        """What comes before every row."""
        return (BEYOND if self.newest else -BEYOND,) * len(self.columns)

    def names(self, *, sorts: bool) -> list[str]:
        """The columns. ``sorts``: written so that no index is chosen for its order, as that of all there is."""
        return [f"+e.{column}" if sorts else f"e.{column}" for column in self.columns]

    def after(self, last: Sequence[Any], mark: str, *, sorts: bool) -> tuple[str, list[Any]]:
        """The condition for what follows on ``last``."""
        sign = "<" if self.newest else ">"
        names = self.names(sorts=sorts)
        if len(names) == 1:
            return f"{names[0]} {sign} {mark}", [last[0]]
        first, second = names
        term = f"{first} {sign}= {mark} AND ({first} {sign} {mark} OR {second} {sign} {mark})"
        return term, [last[0], last[0], last[1]]

    def ending(self) -> str:
        """What follows ORDER BY."""
        return ", ".join(f"{place + 1}{' DESC' if self.newest else ''}" for place in range(len(self.columns)))


def by_row(*, newest: bool) -> Order:
    """In the order of starting."""
    return Order(columns=("id",), newest=newest)


def by_entry(*, newest: bool) -> Order:
    """What stands in its state for longest first."""
    return Order(columns=("entered_at", "id"), newest=newest)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A part of what is looked for, of the entities ``e`` in ``source``, that an index has in order; ``sorts``: that is
    little, and in no order."""

    source: str
    where: str
    params: Sequence[Any]
    sorts: bool = False


def merged(link: Link, arms: Sequence[Arm], order: Order, last: Sequence[Any], limit: int) -> tuple[str, list[Any]]:
    """One statement for the first rows of all arms after ``last``, in order, and its parameters."""
    parts, params = [], []
    for arm in arms:
        after, values = order.after(last, link.mark, sorts=arm.sorts)
        columns = ", ".join(order.names(sorts=arm.sorts))
        sql = f"SELECT {columns} FROM {arm.source} WHERE {arm.where} AND {after}"
        params += [*arm.params, *values]
        if len(arms) > 1 and not link.dialect.merges_unions:
            sql = f"({sql} ORDER BY {order.ending()} LIMIT {limit})"
        parts.append(sql)
    return f"{' UNION ALL '.join(parts)} ORDER BY {order.ending()} LIMIT {limit}", params


def distinct(link: Link, table: str, column: str, where: str, params: Sequence[Any] = ()) -> list[str]:
    """The values of a column that an index has first, or right after what ``where`` sets equal. One query that reads an
    entry of the index for each."""
    least = f"SELECT MIN({column}) FROM {table} WHERE {where}"
    sql = (
        f"WITH RECURSIVE found (value) AS ({least} UNION ALL "
        f"SELECT ({least} AND {column} > found.value) FROM found WHERE found.value IS NOT NULL) "
        f"SELECT value FROM found WHERE value IS NOT NULL"
    )
    return [str(value) for (value,) in link.look(sql, (*params, *params))]
