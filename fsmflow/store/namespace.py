"""The schema of PostgreSQL in which an installation has its tables, where it is told one.

Each statement names it with each table, so nothing hangs on what a connection was told before: a pooler may give each
transaction another one, and a transaction of the caller's goes on to find the caller's own tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from peewee import Database

from fsmflow.errors import ConfigurationError
from fsmflow.scope import scope
from fsmflow.store.tables import NAMES

_TABLE: Final = re.compile(rf'(?<![\w."])("?)({"|".join(sorted(NAMES, key=len, reverse=True))})\1(?!\w)')


@lru_cache(maxsize=4096)
def placed(sql: str, schema: str) -> str:
    """A statement, with each table of ours in that schema."""
    return _TABLE.sub(rf'"{schema}".\2', sql)


@scope
def upgrading(db: Database, lock: int, schema: str | None) -> Iterator[None]:
    """One transaction of PostgreSQL, in which one process at a time changes the tables of a schema; those of others are
    changed meanwhile. Where a schema is named it is made if it is not there, and it is where tables are looked for and
    made; after it whatever was before is again. Raises ConfigurationError."""
    with db.atomic():
        db.execute_sql("SET LOCAL lock_timeout = '60s'")
        if schema is None:
            db.execute_sql("SELECT pg_advisory_xact_lock(%s)", (lock,)).fetchall()
            yield
            return
        db.execute_sql("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (lock, schema)).fetchall()
        _make(db, schema)
        ((before,),) = db.execute_sql("SELECT current_setting('search_path')").fetchall()
        _look_in(db, f'"{schema}"')
        yield
        _look_in(db, before)


def _look_in(db: Database, path: str) -> None:
    """Until the end of the transaction."""
    db.execute_sql("SELECT set_config('search_path', %s, true)", (path,)).fetchall()


def _make(db: Database, schema: str) -> None:
    ((is_there, user, may_make),) = db.execute_sql(
        "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = %s), current_user, "
        "has_database_privilege(current_database(), 'CREATE')",
        (schema,),
    ).fetchall()
    if is_there:
        return
    if not may_make:
        raise ConfigurationError(
            f"there is no schema {schema} in the database, and {user} may not make it; whoever may runs: "
            f"CREATE SCHEMA {schema} AUTHORIZATION {user}"
        )
    db.execute_sql(f'CREATE SCHEMA "{schema}"')
