"""What fsmflow's own connections to an alias are opened with."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from fsmflow import ConfigurationError
from fsmflow.store.alias import open_alias
from tests.support.django_shops import drive_mysql, forget_database
from tests.support.mounts import in_django

POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}


@pytest.fixture
def opened() -> Any:
    """Opens an alias that is so in DATABASES."""
    in_django()
    drive_mysql()

    def opened(**database: Any) -> Any:
        forget_database("asked")
        named = {"default": connections.settings["default"], "asked": database}
        connections.settings["asked"] = connections.configure_settings(named)["asked"]
        return open_alias("django://asked")

    yield opened
    forget_database("asked")


def test_those_of_postgresql_are_what_django_says_and_what_keeps_them_alive(opened: Any) -> None:
    options = {"sslmode": "verify-full", "passfile": "/run/pgpass", "assume_role": "shop", "options": "-c x.y=1"}
    db = opened(**POSTGRES, HOST="/run/postgresql", PORT="5433", USER="ada", PASSWORD="p", OPTIONS=options)
    wanted = {"sslmode": "verify-full", "passfile": "/run/pgpass", "options": "-c x.y=1 -c role=shop"}
    wanted |= {"host": "/run/postgresql", "port": "5433", "user": "ada", "password": "p", "dbname": "shop"}
    assert db.database == "shop"
    assert wanted.items() <= db.connect_params.items()
    assert db.connect_params["tcp_user_timeout"]
    assert {"cursor_factory", "context", "prepare_threshold", "assume_role"}.isdisjoint(db.connect_params)


def test_a_service_of_postgresql_says_which_database(opened: Any) -> None:
    db = opened(**{**POSTGRES, "NAME": ""}, OPTIONS={"service": "shop", "prepare_threshold": 5})
    assert db.connect_params["service"] == "shop"
    assert db.connect_params["dbname"] is None
    assert db.connect_params["prepare_threshold"] == 5


def test_a_database_that_others_cannot_see_and_one_of_another_kind_are_refused(opened: Any) -> None:
    sqlite = "django.db.backends.sqlite3"
    with pytest.raises(ConfigurationError, match="in memory, and seen by one connection alone"):
        opened(ENGINE=sqlite, NAME=":memory:")
    with pytest.raises(ConfigurationError, match="Please supply the NAME"):
        opened(ENGINE=sqlite, NAME="")
    with pytest.raises(ConfigurationError, match="fsmflow works on SQLite, PostgreSQL, MySQL and MariaDB"):
        opened(ENGINE="django.db.backends.dummy")
    assert opened(ENGINE=sqlite, NAME="file:/tmp/a%20shop.db?mode=rwc").database == "/tmp/a shop.db"
    with pytest.raises(ConfigurationError, match="DATABASES of Django has no 'askd'; did you mean 'asked'"):
        open_alias("django://askd")


def test_the_system_checks_tell_what_is_wrong_with_the_alias_and_what_waits_for_ever(opened: Any) -> None:
    checks = import_module("fsmflow.django.checks")

    def told(alias: str) -> list[str]:
        with override_settings(FSMFLOW={"DATABASE": alias}):
            return [str(found.id) for found in (*checks.check_database(), *checks.check_locks())]

    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}
    opened(**sqlite)
    assert (told("nowhere"), told("asked")) == (["fsmflow.E001"], ["fsmflow.W001"])
    opened(**sqlite, OPTIONS={"transaction_mode": "IMMEDIATE"})
    assert told("asked") == []
    opened(**POSTGRES)
    assert told("asked") == ["fsmflow.I001"]
    opened(**POSTGRES, OPTIONS={"options": "-c lock_timeout=5s"})
    assert told("asked") == []
    with pytest.raises(ConfigurationError, match=r"give DATABASES\['asked'\] a NAME"):
        opened(ENGINE="django.db.backends.mysql", OPTIONS={"read_default_file": "my.cnf"})
    assert told("asked") == ["fsmflow.E001", "fsmflow.I001"]
