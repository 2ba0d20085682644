"""``migrate`` makes and upgrades the tables of fsmflow, as ``fsmflow init`` does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import connections, router
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from fsmflow import settings as settings_of
from fsmflow.django.host import LABEL
from fsmflow.django.settings import alias
from fsmflow.engine import runtime
from fsmflow.store.schema import empty
from fsmflow.store.store import NoTables, create_store, open_store
from fsmflow.store.tables import META


class Tables(Operation):  # type: ignore[misc]
    """The tables of fsmflow, by a version of them. Django's own state has none of them.

    They are made and changed over a connection of fsmflow's own, so its migration is ``atomic = False``. Where they are
    newer already, as the first of several migrations has made the newest, nothing is done. It may be run again.
    """

    reduces_to_sql = False
    reversible = True  # refused below, with words
    atomic = False

    def __init__(self, version: int) -> None:
        self.version = version

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Django knows no models of it."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """On the alias of ``settings.FSMFLOW``, unless a router forbids it; on others there is nothing to do."""
        name = schema_editor.connection.alias
        if _is_there(name):
            make_tables()

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Raises IrreversibleError."""
        raise IrreversibleError(
            "the tables of fsmflow have what its entities are and have done, so they are not dropped; 'migrate --fake "
            "fsmflow zero' forgets the migration alone"
        )

    def describe(self) -> str:
        return f"Make the tables of fsmflow, or upgrade them to version {self.version}"


def make_tables() -> None:
    """Make what is missing of the tables, where the alias leads to now; what was known of them is read anew."""
    chosen = replace(settings_of.current(), database_url=f"django://{alias()}", database=None)
    create_store(chosen).link.forget_connection()
    runtime.close()


def let_go_in_the_end() -> None:
    """Before a test runner drops its database fsmflow closes its own connection: a server refuses to drop what
    somebody is connected to. Django tells nobody of that."""
    if alias() not in connections:
        return
    creation = connections[alias()].creation
    destroy = creation.destroy_test_db

    def destroy_test_db(*given: Any, **more: Any) -> None:
        runtime.close()
        destroy(*given, **more)

    creation.destroy_test_db = destroy_test_db


def empty_tables(using: str) -> None:
    """Take away all entities where Django's rows are taken away. Raises ConfigurationError for tables that are of
    another version."""
    if not _is_there(using):
        return
    chosen = replace(settings_of.current(), database_url=f"django://{using}", database=None)
    if chosen.schema is None and META not in connections[using].introspection.table_names():
        return
    try:
        link = open_store(chosen).link
    except NoTables:
        return
    empty(link)
    link.forget_connection()


def note_migrated(*, using: str, **told: Any) -> None:
    """After ``migrate``: a project that runs no migrations, as tests may be told to, has the tables all the same.

    Nothing is ever taken away here. ``flush`` sends this signal too, with no plan, but so do migrations of data.
    """
    module, _ = MigrationLoader.migrations_module(LABEL)
    if module is None and "plan" in told and _is_there(using):
        make_tables()


def _is_there(using: str) -> bool:
    return bool(using == alias() and router.allow_migrate(using, LABEL))
