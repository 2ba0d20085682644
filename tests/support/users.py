"""The database of the user's own: a table, the database object, and what another connection sees."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import peewee

from fsmflow.store.link import open_database
from tests.support.bench import Bench
from tests.support.concurrency import in_threads


class Row(peewee.Model):
    """A table of the user's own."""

    id: Any  # peewee makes it
    text = peewee.CharField()


def texts() -> list[str]:
    return [row.text for row in Row.select().order_by(Row.id)]


@contextlib.contextmanager
def users_database(database_url: str) -> Iterator[peewee.Database]:
    """The user's database object, as users make it: without what fsmflow sets on its own."""
    ours = open_database(database_url)
    if isinstance(ours, peewee.SqliteDatabase):
        db: peewee.Database = peewee.SqliteDatabase(ours.database, pragmas={"journal_mode": "wal"}, timeout=10)
    elif isinstance(ours, peewee.PostgresqlDatabase):
        db = peewee.PostgresqlDatabase(ours.database, prefer_psycopg3=True, **ours.connect_params)
    else:
        mine = {key: value for key, value in ours.connect_params.items() if key not in ("client_flag", "init_command")}
        db = peewee.MySQLDatabase(ours.database, **mine)
    with db.bind_ctx([Row]):
        db.create_tables([Row])
        yield db
        db.close()


def elsewhere(bench: Bench, action: Callable[[], Any]) -> Any:
    """What another thread, and so another connection, sees."""
    return in_threads(1, bench.runtime.store.link, lambda number: action())[0]
