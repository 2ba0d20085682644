"""How a database would find what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from fsmflow.store.store import Store

_EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN "}


def plans_of(store: Store, act: Callable[[Store], Any]) -> str:
    """The plan of each query that ``act`` makes, line by line."""
    asked: list[tuple[str, Any]] = []
    query = store.link.rows

    def noted(sql: str, params: Any = ()) -> list[Any]:
        asked.append((sql, params))
        return query(sql, params)

    with patch.object(store.link, "rows", noted):
        act(store)
    explain = _EXPLAIN[store.link.dialect.name]
    rows = [row for sql, params in asked for row in query(f"{explain}{sql}", params)]
    # MySQL has a column for the index.
    return "\n".join(" ".join(map(str, row)) if store.link.dialect.name == "mysql" else str(row[-1]) for row in rows)
