"""Tables of an earlier release are brought up with all that is in them.

There is no earlier release yet. These tests make one up: its tables lack columns, and have an index less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import peewee
import pytest
from playhouse.migrate import SchemaMigrator, migrate

from fsmflow import ConfigurationError, DatabaseUnavailable, Machine, State
from fsmflow.settings import Settings
from fsmflow.store import schema, upgrades
from fsmflow.store.link import Link, open_database
from fsmflow.store.store import create_store, open_store
from fsmflow.store.tables import ENTITY, EVENT, META, WORK
from fsmflow.store.upgrades import add_column, drop_index
from fsmflow.testing import sandbox
from tests.support.concurrency import in_processes
from tests.support.machines import Trigger

LACKING = {
    ENTITY: ("standing", "branch_of", "item", "kept"),
    WORK: ("deadline",),
    EVENT: ("due_at",),
}
OLDER = schema.SCHEMA_VERSION - 1
OF_OLD = "fsmflow_event_entity_key"


class Order(Machine):
    initial = "new"
    states = ["new", State("packing", job="pack", each="lines"), State("packed", final=True)]
    transitions = [["go", "new", "packing"], ["done", "packing", "packed"]]
    go: Trigger

    def pack(self, item: int) -> int:
        return item


def step(link: Link) -> None:
    """What a release would bring that has these columns."""
    add_column(link, ENTITY, "branch_of", peewee.CharField(64, null=True))
    add_column(link, ENTITY, "item", link.dialect.text_field(null=True))
    add_column(link, ENTITY, "standing", peewee.SmallIntegerField(null=True))
    add_column(link, ENTITY, "kept", peewee.IntegerField(default=0))
    add_column(link, WORK, "deadline", peewee.BigIntegerField(null=True))
    add_column(link, EVENT, "due_at", peewee.BigIntegerField(null=True))
    drop_index(link, EVENT, OF_OLD)


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrades, "MIGRATIONS", {schema.SCHEMA_VERSION: step})


@pytest.fixture
def db(database_url: str) -> Iterator[peewee.Database]:
    database = open_database(database_url)
    yield database
    database.close()


def take_back(db: peewee.Database) -> None:
    """Make the tables what they were in the release before the first."""
    migrator = SchemaMigrator.from_database(db)
    for table, names in LACKING.items():
        for index in db.get_indexes(table):
            told = set(re.findall(r"\w+", index.sql or ""))
            if {*index.columns, *told} & {*names, "kind"}:
                migrate(migrator.drop_index(table, index.name))
        for name in names:
            migrate(migrator.drop_column(table, name, cascade=False))
    migrate(migrator.add_index(EVENT, ("entity", "key"), unique=True))
    assert OF_OLD in {index.name for index in db.get_indexes(EVENT)}
    quote, mark = db.quote[0], db.param
    db.execute_sql(f"UPDATE {META} SET {quote}value{quote} = {mark} WHERE {quote}name{quote} = 'schema'", (str(OLDER),))


def noted(db: peewee.Database) -> int:
    """The schema that the database says it has."""
    quote = db.quote[0]
    sql = f"SELECT {quote}value{quote} FROM {META} WHERE {quote}name{quote} = 'schema'"
    ((version,),) = db.execute_sql(sql).fetchall()
    return int(version)


def shape(db: peewee.Database) -> dict[str, Any]:
    """The columns and indexes of all tables."""
    return {
        table: (
            {column.name for column in db.get_columns(table)},
            {(tuple(index.columns), bool(index.unique)) for index in db.get_indexes(table)},
        )
        for table in (ENTITY, WORK, EVENT)
    }


def test_what_an_earlier_release_has_started_goes_on_after_the_upgrade(db: peewee.Database) -> None:
    with sandbox(machines=[Order], database=db):
        Order.start("1", lines=[1, 2], key="first")
        Order.start("2", lines=[3]).cancel(key="k")
    take_back(db)
    settings = Settings(database=db, machines=(Order,))
    with pytest.raises(
        ConfigurationError, match=f"version {OLDER}, older than the 1 of this release; run fsmflow init"
    ):
        open_store(settings)
    create_store(settings)
    create_store(settings)
    with sandbox(machines=[Order], database=db) as box:
        order = Order.get("1")
        order.go()
        box.run()
        assert (order.refresh().state, [branch.result for branch in order.branches]) == ("packed", [1, 2])
        assert [Order.get(f"1/packing/{index}").state for index in range(2)] == ["done", "done"]
        assert Order.get("2").state == "cancelled"
        assert Order.start("1", key="first").history[0].seq == 1
        assert [entry.key for entry in Order.get("2").history] == [None, "k"]


def test_an_upgrade_that_was_interrupted_goes_on(db: peewee.Database) -> None:
    """MySQL commits each change of a table by itself; on the others it is as if it had not begun."""
    settings = Settings(database=db, machines=(Order,))
    create_store(settings)
    whole = shape(db)
    take_back(db)
    at_first = shape(db)

    def interrupted(link: Link, table: str, name: str) -> None:
        raise peewee.OperationalError("the connection was lost")

    with patch.dict(globals(), drop_index=interrupted), pytest.raises(DatabaseUnavailable, match="connection was lost"):
        create_store(settings)
    assert noted(db) == OLDER
    assert (shape(db) == at_first) == (not isinstance(db, peewee.MySQLDatabase))
    with pytest.raises(ConfigurationError, match="run fsmflow init"):
        open_store(settings)
    create_store(settings)
    assert noted(db) == schema.SCHEMA_VERSION
    assert shape(db) == whole
    open_store(settings)


def test_steps_that_were_taken_are_not_taken_again(db: peewee.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several steps, those before the one that was interrupted are done, where each is committed by itself."""
    taken: list[int] = []
    steps = {number: lambda link, number=number: taken.append(number) for number in range(OLDER + 1, OLDER + 4)}
    monkeypatch.setattr(upgrades, "MIGRATIONS", steps)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", OLDER + 1)
    settings = Settings(database=db)
    create_store(settings)
    assert taken == []
    monkeypatch.setattr(schema, "SCHEMA_VERSION", OLDER + 3)
    create_store(settings)
    assert taken == [OLDER + 2, OLDER + 3]
    assert noted(db) == OLDER + 3
    create_store(settings)
    assert taken == [OLDER + 2, OLDER + 3]


def test_of_several_processes_that_upgrade_at_once_one_takes_the_step(db: peewee.Database, database_url: str) -> None:
    installation = create_store(Settings(database=db)).installation
    whole = shape(db)
    take_back(db)
    db.close()
    found = in_processes(4, upgrade_and_tell, database_url)
    assert [name for name, _ in found] == [installation] * 4
    assert sorted(steps for _, steps in found) == [0, 0, 0, 1]
    assert shape(db) == whole
    assert noted(db) == schema.SCHEMA_VERSION


def upgrade_and_tell(number: int, database_url: str) -> tuple[str, int]:
    """What a process finds, and how often it took the step."""
    taken: list[Link] = []

    def counted(link: Link) -> None:
        taken.append(link)
        step(link)

    with patch.object(upgrades, "MIGRATIONS", {schema.SCHEMA_VERSION: counted}):
        return create_store(Settings(database_url=database_url)).installation, len(taken)


def test_there_is_a_step_to_each_schema_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert list(upgrades.MIGRATIONS) == list(range(2, schema.SCHEMA_VERSION + 1))
