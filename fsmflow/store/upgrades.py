"""Brings the tables of an earlier release up to those of this one."""

from __future__ import annotations

from peewee import BigIntegerField, CharField, Database, IntegerField, SmallIntegerField
from playhouse.migrate import SchemaMigrator, migrate

from fsmflow.store.dialects import dialect_of
from fsmflow.store.tables import ENTITY, EVENT, WORK


def upgrade(db: Database, version: int) -> None:
    """Change tables of schema ``version`` so that the statements of this release work on them.

    Runs under the lock of ``create``. Where a database commits each change by itself (MySQL), one that was interrupted
    goes on where it stopped.
    """
    if version < 2:
        _to_2(db)


def _to_2(db: Database) -> None:
    migrator = SchemaMigrator.from_database(db)
    wanted = [
        (ENTITY, "branch_of", CharField(64, null=True)),
        (ENTITY, "item", dialect_of(db).text_field(null=True)),
        (ENTITY, "standing", SmallIntegerField(null=True)),
        (ENTITY, "kept", IntegerField(default=0)),
        (WORK, "deadline", BigIntegerField(null=True)),
        (EVENT, "due_at", BigIntegerField(null=True)),
    ]
    for table, name, field in wanted:
        if name not in {column.name for column in db.get_columns(table)}:
            migrate(migrator.add_column(table, name, field))
    indexes = {index.name for index in db.get_indexes(EVENT)}
    if "fsmflow_event_entity_key" in indexes:
        migrate(migrator.drop_index(EVENT, "fsmflow_event_entity_key"))
