"""Makes the tables that ``columns`` describes.

``SCHEMA_VERSION`` grows with every change of them; ``upgrade`` brings a database up to it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, cast

from peewee import SQL, CompositeKey, Model

from fsmflow.store import partitions
from fsmflow.store.column import Table
from fsmflow.store.columns import TABLES
from fsmflow.store.dialect import Dialect
from fsmflow.store.link import Link
from fsmflow.store.tables import META, SECRET
from fsmflow.store.upgrades import upgrade
from fsmflow.store.views import show

SCHEMA_VERSION = 1
#: The fact that somebody wants the views.
_SHOWN = "views"


def create(link: Link, *, views: bool = False, wanted: int | None = None) -> None:
    """Create what is missing of the tables; with ``views``, the views for people too, which are kept up from then on.
    ``wanted``: in how many parts work and history are to be. Safe to be run by several processes at once, and again.
    Raises ConfigurationError where there can be no such parts."""
    db = link.db
    with db.connection_context() if db.is_closed() else nullcontext(), link.dialect.upgrading(db, link.schema):
        _bring_up(link, views=views, wanted=wanted)


def empty(link: Link) -> None:
    """Take away all rows but those that say which installation this is, and with what it signs. For good."""
    kept = (META, SECRET)

    def delete() -> None:
        for table in TABLES:
            if table.name not in kept:
                link.execute(f"DELETE FROM {table.name}")

    link.write(delete)


def _bring_up(link: Link, *, views: bool, wanted: int | None) -> None:
    """Upgrade the tables that are there, and create those that are not."""
    known = _meta(link) if link.db.table_exists(META) else None
    if wanted is not None:
        partitions.check(link, wanted, known)
    models, version = _models(link, wanted), (known or {}).get("schema")
    if version is not None and int(version) < SCHEMA_VERSION:
        upgrade(link, int(version), SCHEMA_VERSION)
    link.dialect.create_tables(link.db, models)
    facts = {"schema": str(SCHEMA_VERSION), "installation": os.urandom(4).hex()}
    if wanted is not None:
        partitions.make(link, wanted, {table.name: table.fill for table in TABLES})
        facts[partitions.FACT] = str(wanted)
    _write_meta(link, {**facts, _SHOWN: "1"} if views else facts)
    if _SHOWN in _meta(link):
        show(link)


def _meta(link: Link) -> dict[str, str]:
    return dict(link.rows(f"SELECT {link.quoted('name')}, {link.quoted('value')} FROM {META}"))


def _write_meta(link: Link, facts: Mapping[str, str]) -> None:
    """Write those that are not known yet."""
    known = _meta(link)
    for name, value in facts.items():
        if name not in known:
            columns = f"{link.quoted('name')}, {link.quoted('value')}"
            link.execute(f"INSERT INTO {META} ({columns}) VALUES ({link.mark}, {link.mark})", (name, value))


def _models(link: Link, wanted: int | None) -> list[type[Model]]:
    class Base(Model):
        class Meta:
            database = link.db
            table_settings = link.dialect.table_settings(link.db)

    def settings(table: Table) -> list[str] | None:
        return partitions.settings_of(link, table.name, wanted) or link.dialect.notation.filled(table.fill)

    return [_model(Base, table, link.dialect, settings(table)) for table in TABLES]


def _model(base: type[Model], table: Table, dialect: Dialect, settings: list[str] | None) -> type[Model]:
    meta: dict[str, Any] = {"table_name": table.name} | ({"table_settings": settings} if settings else {})
    made = {column.name: column.make(dialect) for column in table.columns}
    fields = {name: field for name, field in made.items() if field is not None}
    has_primary = any(field.primary_key for field in fields.values())
    if table.key and not has_primary:
        meta |= {"primary_key": CompositeKey(*table.key), "without_rowid": dialect.without_rowid}
    model: Any = type(table.name, (base,), {**fields, "Meta": type("Meta", (), meta)})
    if table.key and has_primary:
        key = [getattr(model, column) for column in table.key]
        model.add_index(model.index(*key, unique=True, name=f"{table.name}_key"))
    for index in table.indexes:
        if columns := index.columns_in(partial=dialect.has_partial_indexes, wakes=dialect.wakes):
            where = SQL(index.where) if index.where and dialect.has_partial_indexes else None
            wanted = [getattr(model, column) for column in columns]
            name = f"{table.name}_{index.name}"
            model.add_index(model.index(*wanted, unique=index.unique, where=where, name=name))
    return cast(type[Model], model)
