"""The program of ``shops`` by Django: inside ``atomic()``, told of it or not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import django
import pymysql
from django.db import connections, transaction

from fsmflow import settings
from fsmflow.engine.runtime import Runtime, current, installed
from fsmflow.store.store import open_store
from tests.support.mounts import in_django
from tests.support.shops import WHO, Shop

ALIAS: Final = "shop"
_ENGINES: Final = {"sqlite": "sqlite3", "postgresql": "postgresql", "mysql": "mysql"}


def database_of(url: str, **options: Any) -> dict[str, Any]:
    """A database as DATABASES has it."""
    parts = urlsplit(url)
    engine = f"django.db.backends.{_ENGINES[parts.scheme]}"
    if parts.scheme == "sqlite":
        waits = {"timeout": 10, **({"transaction_mode": "IMMEDIATE"} if django.VERSION >= (5, 1) else {})}
        return {"ENGINE": engine, "NAME": parts.path[1:], "OPTIONS": {**waits, **options}}
    who = {"USER": unquote(parts.username or ""), "PASSWORD": unquote(parts.password or "")}
    where = {"HOST": parts.hostname, "PORT": str(parts.port)}
    return {"ENGINE": engine, "NAME": parts.path[1:], **who, **where, "OPTIONS": options}


def drive_mysql() -> None:
    """Django's own choice of a driver takes a compiler; PyMySQL stands for it where it is not installed. Beside it that
    would be a mixture of both."""
    if "MySQLdb" not in sys.modules and find_spec("MySQLdb") is None:
        pymysql.install_as_MySQLdb()


def name_database(alias: str, url: str, **options: Any) -> None:
    """Django has this database by an alias from now on."""
    in_django()
    drive_mysql()
    forget_database(alias)
    named = {"default": connections.settings["default"], alias: database_of(url, **options)}
    connections.settings[alias] = connections.configure_settings(named)[alias]


def forget_database(alias: str) -> None:
    """Close this thread's connection of an alias, and forget it."""
    if alias in connections.settings:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


class DjangoShop(Shop):
    """By Django's connection, of which fsmflow is told."""

    library = "django"
    within: str | None = ALIAS

    def __init__(self, url: str) -> None:
        super().__init__(url)
        name_database(ALIAS, url)

    def transact(self, action: Callable[[Any], None]) -> None:
        try:
            with self._at_work(), transaction.atomic(using=ALIAS):
                action(self.within)
        finally:
            connections[ALIAS].close()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        yield

    def run(self, within: Any, sql: str) -> Any:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone() if cursor.description else None

    def nested(self, within: Any) -> Any:
        return transaction.atomic(using=ALIAS)

    def cut(self, within: Any) -> None:
        self._end(self.run(within, WHO[self.kind])[0])

    def close(self) -> None:
        super().close()
        forget_database(ALIAS)


class AmbientDjangoShop(DjangoShop):
    """By Django's connection, of which fsmflow knows by itself, as it works on its alias."""

    library = "ambient"
    within = None

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        chosen = replace(settings.current(), database_url=f"django://{ALIAS}")
        runtime = Runtime(chosen, open_store(chosen))
        runtime.store.clock = current().store.clock
        try:
            with installed(runtime):
                yield
        finally:
            runtime.forget_redis()
            runtime.store.link.forget_connection()
