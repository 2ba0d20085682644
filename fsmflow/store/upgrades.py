"""Brings the tables of an earlier release up to those of this one, one migration after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final

from peewee import Field

from fsmflow.store.link import Link
from fsmflow.store.tables import META

Migration = Callable[[Link], None]

#: It brings all drivers along that are installed, and is hardly ever needed.
_CHANGES: Final = "playhouse.migrate"
#: By the schema that each leads to; the first release made schema 1.
MIGRATIONS: Final[Mapping[int, Migration]] = {}


def upgrade(link: Link, version: int, wanted: int) -> None:
    """Change tables of schema ``version`` so that they are those of ``wanted``. Runs under the lock of ``create``.

    Each migration is noted once it is done. Where a database commits each change of a table by itself (MySQL), one that
    was interrupted is taken again from its beginning: it looks at what is there before it changes anything.
    """
    for number in range(version + 1, wanted + 1):
        MIGRATIONS[number](link)
        sql = f"UPDATE {META} SET {link.quoted('value')} = {link.mark} WHERE {link.quoted('name')} = {link.mark}"
        link.execute(sql, (str(number), "schema"))


def add_column(link: Link, table: str, name: str, field: Field) -> None:
    """Part of a migration: the column, where it is not there yet."""
    if name not in {column.name for column in link.db.get_columns(table)}:
        changes = import_module(_CHANGES)
        changes.migrate(changes.SchemaMigrator.from_database(link.db).add_column(table, name, field))


def drop_index(link: Link, table: str, name: str) -> None:
    """Part of a migration: no such index any more."""
    if name in {index.name for index in link.db.get_indexes(table)}:
        changes = import_module(_CHANGES)
        changes.migrate(changes.SchemaMigrator.from_database(link.db).drop_index(table, name))
