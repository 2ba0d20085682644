"""There is a migration of Django's for each version of fsmflow's tables."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from fsmflow.settings import VARIABLES
from fsmflow.store.schema import SCHEMA_VERSION
from tests.support.mounts import in_django


def test_each_version_has_its_migration_and_follows_the_one_before() -> None:
    in_django()
    folder = Path(import_module("fsmflow.django.migrations").__path__[0])
    names = sorted(path.stem for path in folder.glob("[0-9]*.py"))
    assert [int(name.partition("_")[0]) for name in names] == list(range(1, SCHEMA_VERSION + 1))
    for before, name in zip([None, *names], names, strict=False):
        migration = import_module(f"fsmflow.django.migrations.{name}").Migration
        assert migration.atomic is False
        assert [operation.version for operation in migration.operations] == [int(name.partition("_")[0])]
        assert list(migration.dependencies) == ([] if before is None else [("fsmflow", before)])


def test_each_setting_of_fsmflow_is_one_of_a_project() -> None:
    in_django()
    keys = import_module("fsmflow.django.settings").KEYS
    ours = {name.removeprefix("FSMFLOW_") for name in VARIABLES} - {"DATABASE_URL"}
    assert set(keys) == ours | {"DATABASE", "QUEUES"}, "each queue on a server of its own has a variable for itself"
