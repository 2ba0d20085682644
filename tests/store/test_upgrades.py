"""Tables of the first schema, as a database of an earlier release has them, are brought up with all that is in them."""

from __future__ import annotations

from collections.abc import Iterator

import peewee
import pytest
from playhouse.migrate import SchemaMigrator, migrate

from fsmflow import ConfigurationError, Machine, State
from fsmflow.settings import Settings
from fsmflow.store.link import open_database
from fsmflow.store.store import create_store, open_store
from fsmflow.store.tables import ENTITY, EVENT, META, WORK
from fsmflow.testing import sandbox

COLUMNS = {
    ENTITY: ("standing", "branch_of", "item", "kept"),
    WORK: ("deadline",),
    EVENT: ("due_at",),
}


class Order(Machine):
    initial = "new"
    states = ["new", State("packing", job="pack", each="lines"), State("packed", final=True)]
    transitions = [["go", "new", "packing"], ["done", "packing", "packed"]]

    def pack(self, item: int) -> int:
        return item


@pytest.fixture
def db(database_url: str) -> Iterator[peewee.Database]:
    database = open_database(database_url)
    yield database
    database.close()


def take_back(db: peewee.Database) -> None:
    """Make the tables what they were in the first schema."""
    migrator = SchemaMigrator.from_database(db)
    for table, names in COLUMNS.items():
        for index in db.get_indexes(table):
            if set(index.columns) & {*names, "kind"}:
                migrate(migrator.drop_index(table, index.name))
        for name in names:
            migrate(migrator.drop_column(table, name, cascade=False))
    migrate(migrator.add_index(EVENT, ("entity", "key"), unique=True))
    quote, mark = db.quote[0], db.param
    db.execute_sql(f"UPDATE {META} SET {quote}value{quote} = {mark} WHERE {quote}name{quote} = 'schema'", ("1",))


def test_what_an_earlier_release_has_started_goes_on_after_the_upgrade(db: peewee.Database) -> None:
    with sandbox(machines=[Order], database=db):
        Order.start("1", lines=[1, 2], key="first")
        Order.start("2", lines=[3]).cancel(key="k")
    take_back(db)
    settings = Settings(database=db, machines=(Order,))
    with pytest.raises(ConfigurationError, match="version 1, older than the 2 of this release; run fsmflow init"):
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
    """MySQL commits each change of a table by itself."""
    settings = Settings(database=db, machines=(Order,))
    create_store(settings)
    take_back(db)
    migrator = SchemaMigrator.from_database(db)
    migrate(migrator.add_column(WORK, "deadline", peewee.BigIntegerField(null=True)))
    create_store(settings)
    assert {index.columns[-1] for index in db.get_indexes(EVENT)} >= {"due_at", "key"}
    open_store(settings)
