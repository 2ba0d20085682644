"""What a connection to a server is opened with, and what may stand between the two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from peewee import Database

#: How long a server may take to answer a client that is new.
CONNECT_S: Final = 5


def postgres_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a URL of PostgreSQL, and ours where it names none."""
    ours = {
        "connect_timeout": CONNECT_S,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    theirs = dict(options)
    if theirs.get("prepare_threshold") == 0:
        theirs["prepare_threshold"] = 1  # what BEGIN is told with it are statements that cannot be prepared
    return {**ours, **theirs}


def is_pooled(db: Database) -> bool:
    """Whether a pooler stands in front of a PostgreSQL server. It greets its clients itself, with a number of its own
    in place of the process that will serve them. One query."""
    told = db.connection().info.backend_pid
    ((serving,),) = db.execute_sql("SELECT pg_backend_pid()").fetchall()
    return bool(told != serving)


def stop_preparing(db: Database) -> bool:
    """Prepare no more statements on this thread's connection to PostgreSQL, and on those that are opened from now on.
    False for a driver that never does."""
    if db.is_closed() or not hasattr(connection := db.connection(), "prepare_threshold"):
        return False
    connection.prepare_threshold = None
    db.connect_params["prepare_threshold"] = None
    return True
