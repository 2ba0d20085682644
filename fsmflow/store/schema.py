"""The tables. ``SCHEMA_VERSION`` grows with every change of them; ``upgrade`` brings a database up to it."""

from __future__ import annotations

import secrets
from typing import Any

from peewee import (
    AutoField,
    BigAutoField,
    BigIntegerField,
    CharField,
    CompositeKey,
    Database,
    FloatField,
    IntegerField,
    Model,
    MySQLDatabase,
    PostgresqlDatabase,
    SmallIntegerField,
    SqliteDatabase,
    TextField,
)

from fsmflow.store.tables import ENTITY, EVENT, HISTORY, META, WORK
from fsmflow.store.upgrades import upgrade

SCHEMA_VERSION = 2

#: Collations that tell all texts apart; the last, of old servers, takes texts that differ in trailing spaces for one.
_EXACT = ("utf8mb4_0900_bin", "utf8mb4_nopad_bin", "utf8mb4_bin")
_UPGRADE_LOCK = 0x66736D66


class _LongTextField(TextField):
    field_type = "LONGTEXT"


def create(db: Database) -> None:
    """Create what is missing of the tables. Safe to be run by several processes at once, and again."""
    with db.connection_context() if db.is_closed() else _Nothing():
        models = _models(db)
        _lock(db)
        try:
            if isinstance(db, MySQLDatabase):
                _bring_up(db, models)
            else:
                with db.atomic(*(("IMMEDIATE",) if isinstance(db, SqliteDatabase) else ())):
                    _lock_in_transaction(db)
                    _bring_up(db, models)
        finally:
            _unlock(db)


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _lock(db: Database) -> None:
    if isinstance(db, MySQLDatabase):
        db.execute_sql("SELECT GET_LOCK(%s, 60)", (f"fsmflow-{_UPGRADE_LOCK}",)).fetchall()


def _unlock(db: Database) -> None:
    if isinstance(db, MySQLDatabase):
        db.execute_sql("SELECT RELEASE_LOCK(%s)", (f"fsmflow-{_UPGRADE_LOCK}",)).fetchall()


def _lock_in_transaction(db: Database) -> None:
    if isinstance(db, PostgresqlDatabase):
        db.execute_sql("SET LOCAL lock_timeout = '60s'")
        db.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_UPGRADE_LOCK,)).fetchall()


def _bring_up(db: Database, models: list[type[Model]]) -> None:
    """Upgrade the tables that are there, and create those that are not."""
    there = db.table_exists(META)
    version = _meta(db).get("schema") if there else None
    if version is not None and int(version) < SCHEMA_VERSION:
        upgrade(db, int(version))
        mark, quote = db.param, db.quote[0]
        sql = f"UPDATE {META} SET {quote}value{quote} = {mark} WHERE {quote}name{quote} = {mark}"
        db.execute_sql(sql, (str(SCHEMA_VERSION), "schema"))
    db.create_tables(models, safe=True)
    if isinstance(db, MySQLDatabase):
        _create_missing_indexes(db, models)
    _write_meta(db)


def _create_missing_indexes(db: Database, models: list[type[Model]]) -> None:
    """MySQL has no CREATE INDEX IF NOT EXISTS, so peewee leaves tables alone that are there."""
    for model in models:
        there = {index.name for index in db.get_indexes(model._meta.table_name)}
        for index in model._meta.fields_to_index():
            if index._name not in there:
                db.execute(index)


def _meta(db: Database) -> dict[str, str]:
    quote = db.quote[0]
    rows = db.execute_sql(f"SELECT {quote}name{quote}, {quote}value{quote} FROM {META}").fetchall()
    return dict(rows)


def _write_meta(db: Database) -> None:
    mark, quote = db.param, db.quote[0]
    known = _meta(db)
    for name, value in (("schema", str(SCHEMA_VERSION)), ("installation", secrets.token_hex(4))):
        if name not in known:
            columns = f"{quote}name{quote}, {quote}value{quote}"
            db.execute_sql(f"INSERT INTO {META} ({columns}) VALUES ({mark}, {mark})", (name, value))


def _models(db: Database) -> list[type[Model]]:
    mysql = isinstance(db, MySQLDatabase)
    text = _LongTextField if mysql else TextField
    settings = ["ENGINE=InnoDB", "CHARACTER SET utf8mb4", f"COLLATE {_exact_collation(db)}"] if mysql else None

    class Base(Model):
        class Meta:
            database = db
            table_settings = settings

    return [_entity(Base, text), _work(Base), _history(Base, text), _event(Base, text), _meta_table(Base, text)]


def _exact_collation(db: Database) -> str:
    found = db.execute_sql("SELECT collation_name FROM information_schema.collations").fetchall()
    names = {name for (name,) in found}
    return next(name for name in _EXACT if name in names)


def _entity(base: Any, text: Any) -> type[Model]:
    class Entity(base):  # type: ignore[misc]
        id = BigAutoField() if not isinstance(base._meta.database, SqliteDatabase) else AutoField()
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


def _history(base: Any, text: Any) -> type[Model]:
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
            without_rowid = isinstance(base._meta.database, SqliteDatabase)

    return History


def _event(base: Any, text: Any) -> type[Model]:
    class Event(base):  # type: ignore[misc]
        id = BigAutoField() if not isinstance(base._meta.database, SqliteDatabase) else AutoField()
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


def _meta_table(base: Any, text: Any) -> type[Model]:
    class Fact(base):  # type: ignore[misc]
        name = CharField(64, primary_key=True)
        value = text()

        class Meta:
            table_name = META

    return Fact
