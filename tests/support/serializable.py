"""As in CockroachDB, and as YugabyteDB may be set: each transaction is serializable, and may be told at any statement,
and at COMMIT, to begin anew. A process that has this among its machines works so; there are none in here."""

from __future__ import annotations

import os

from fsmflow.store.dialects import _PostgresDatabase

_begin = _PostgresDatabase.begin


def begin(db: _PostgresDatabase, *settings: str) -> None:
    """Begin a transaction that is serializable, whatever else is asked of it."""
    _begin(db, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", *settings)


if __name__ in os.environ.get("FSMFLOW_MACHINES", ""):
    _PostgresDatabase.begin = begin  # type: ignore[method-assign,assignment]
