"""The shop's own tables, in the database that fsmflow works in, too."""

import os
from typing import Any, cast

import fsmflow
import peewee
from playhouse.db_url import connect

#: On SQLite one transaction writes at a time, and each waits for its turn as it begins.
URL = os.environ.get("DATABASE_URL", "sqlite:///shop.db?timeout=10&lock_type=IMMEDIATE")
db: peewee.Database = cast(Any, connect)(URL)
fsmflow.configure(database=db, machines="machines")


class Row(peewee.Model):
    class Meta:
        database = db


class Order(Row):
    """What somebody has ordered. Its machine, ``machines.OrderFlow``, writes how far it is into ``state``."""

    id = peewee.AutoField()
    item = peewee.CharField(max_length=100)
    card = peewee.CharField(max_length=19)
    state = peewee.CharField(max_length=40, null=True)


class Charge(Row):
    """What the bank was asked for, once for each order."""

    order = peewee.ForeignKeyField(Order, unique=True)
    key = peewee.CharField(max_length=64)
