"""The tables. ``SCHEMA_VERSION`` grows with every change of them; ``upgrade`` brings a database up to it."""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from typing import Any

from peewee import (
    BigIntegerField,
    CharField,
    CompositeKey,
    FloatField,
    IntegerField,
    Model,
    SmallIntegerField,
)

from fsmflow.store.dialects import Dialect
from fsmflow.store.link import Link
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, META, WORK
from fsmflow.store.upgrades import upgrade

SCHEMA_VERSION = 2


def create(link: Link) -> None:
    """Create what is missing of the tables. Safe to be run by several processes at once, and again."""
    db = link.db
    with db.connection_context() if db.is_closed() else nullcontext(), link.dialect.upgrading(db):
        _bring_up(link)


def _bring_up(link: Link) -> None:
    """Upgrade the tables that are there, and create those that are not."""
    db, models = link.db, _models(link)
    version = _meta(link).get("schema") if db.table_exists(META) else None
    if version is not None and int(version) < SCHEMA_VERSION:
        upgrade(db, int(version))
        sql = f"UPDATE {META} SET {link.quoted('value')} = {link.mark} WHERE {link.quoted('name')} = {link.mark}"
        link.execute(sql, (str(SCHEMA_VERSION), "schema"))
    link.dialect.create_tables(db, models)
    _write_meta(link)


def _meta(link: Link) -> dict[str, str]:
    return dict(link.rows(f"SELECT {link.quoted('name')}, {link.quoted('value')} FROM {META}"))


def _write_meta(link: Link) -> None:
    known = _meta(link)
    for name, value in (("schema", str(SCHEMA_VERSION)), ("installation", secrets.token_hex(4))):
        if name not in known:
            columns = f"{link.quoted('name')}, {link.quoted('value')}"
            link.execute(f"INSERT INTO {META} ({columns}) VALUES ({link.mark}, {link.mark})", (name, value))


def _models(link: Link) -> list[type[Model]]:
    dialect = link.dialect

    class Base(Model):
        class Meta:
            database = link.db
            table_settings = dialect.table_settings(link.db)

    return [
        _entity(Base, dialect),
        _work(Base),
        _history(Base, dialect),
        _event(Base, dialect),
        _meta_table(Base, dialect),
    ]


def _entity(base: Any, dialect: Dialect) -> type[Model]:
    text = dialect.text_field

    class Entity(base):  # type: ignore[misc]
        id = dialect.row_field()
        machine = CharField(64)
        entity_id = CharField(512)
        state = CharField(100)
        phase = CharField(10)
        epoch = IntegerField()
        revision = BigIntegerField()
        seq = IntegerField()
        data = text()
        step = IntegerField()
        event = text()
        result = text(null=True)
        failure = text(null=True)
        fingerprint = CharField(12, null=True, index=True)
        paused = SmallIntegerField()
        version = IntegerField()
        parent = BigIntegerField(null=True)
        parent_step = IntegerField(null=True)
        parent_index = IntegerField(null=True)
        branch_of = CharField(64, null=True)
        item = text(null=True)
        standing = SmallIntegerField(null=True)
        kept = IntegerField()
        created_at = BigIntegerField()
        entered_at = BigIntegerField()
        updated_at = BigIntegerField()

        class Meta:
            table_name = ENTITY
            indexes = (
                (("machine", "entity_id"), True),
                (("machine", "state", "id"), False),
                (("parent", "parent_step", "parent_index"), True),
                (("parent", "standing", "parent_step", "parent_index"), False),
            )

    return Entity


def _work(base: Any) -> type[Model]:
    class Work(base):  # type: ignore[misc]
        entity = BigIntegerField(primary_key=True)
        epoch = IntegerField()
        kind = CharField(10)
        attempt = IntegerField()
        dispatch = IntegerField()
        fence = IntegerField()
        owner = CharField(40, null=True)
        lease_until = BigIntegerField(null=True)
        wake_at = BigIntegerField(index=True)
        rung_at = BigIntegerField(null=True)
        held = BigIntegerField(null=True)
        queue = CharField(100, null=True)
        failures = IntegerField()
        crashes = IntegerField()
        postponed = IntegerField()
        progress = FloatField(null=True)
        deadline = BigIntegerField(null=True)

        class Meta:
            table_name = WORK

    return Work


def _history(base: Any, dialect: Dialect) -> type[Model]:
    text = dialect.text_field

    class History(base):  # type: ignore[misc]
        entity = BigIntegerField()
        seq = IntegerField()
        kind = CharField(20)
        at = BigIntegerField()
        trigger = CharField(100, null=True)
        source = CharField(100, null=True)
        dest = CharField(100)
        epoch = IntegerField()
        attempt = IntegerField(null=True)
        actor = CharField(200, null=True)
        reason = text(null=True)
        payload = text(null=True)
        key = CharField(200, null=True)
        failure = text(null=True)
        duration = BigIntegerField(null=True)
        token = CharField(16)

        class Meta:
            table_name = HISTORY
            primary_key = CompositeKey("entity", "seq")
            without_rowid = dialect.without_rowid

    return History


def _event(base: Any, dialect: Dialect) -> type[Model]:
    text = dialect.text_field

    class Event(base):  # type: ignore[misc]
        id = dialect.row_field()
        entity = BigIntegerField()
        kind = CharField(10)
        key = CharField(200, null=True)
        trigger = CharField(100)
        payload = text(null=True)
        actor = CharField(200, null=True)
        at = BigIntegerField()
        due_at = BigIntegerField(null=True, index=True)
        seq = IntegerField(null=True)

        class Meta:
            table_name = EVENT
            indexes = ((("entity", "kind", "key"), True),)

    return Event


def _meta_table(base: Any, dialect: Dialect) -> type[Model]:
    text = dialect.text_field

    class Fact(base):  # type: ignore[misc]
        name = CharField(64, primary_key=True)
        value = text()

        class Meta:
            table_name = META

    return Fact
