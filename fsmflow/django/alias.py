"""A database of DATABASES as fsmflow works on it: connections of its own, opened as Django would open them, and within
``transaction.atomic()`` Django's own."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction

from fsmflow.django.host import connection_of, host_on
from fsmflow.errors import ConfigurationError
from fsmflow.store.alias import Alias
from fsmflow.store.host import Host

#: What Django has for its own cursors and types.
_OF_DJANGO: Final = frozenset({"cursor_factory", "context", "conv", "init_command"})


def named(name: str) -> Alias:
    """The database of this alias. Raises ConfigurationError."""
    return _DjangoAlias(name)


class _DjangoAlias(Alias):
    def __init__(self, name: str) -> None:
        self.name = f"the database {name!r} of Django"
        self._alias = name
        self._settings: dict[str, Any] = connection_of(name).settings_dict

    def place(self) -> Hashable:
        # Its test runner changes these in place.
        settings = self._settings
        return str(settings["NAME"]), settings["HOST"], settings["PORT"]

    def options(self) -> tuple[str, Any, str, dict[str, Any]]:
        connection = connection_of(self._alias)
        read = _READERS.get(connection.vendor)
        if read is None:
            raise ConfigurationError(
                f"{self.name} is of {connection.vendor}; fsmflow works on SQLite, PostgreSQL, MySQL and MariaDB"
            )
        try:
            given = connection.get_connection_params()
        except ImproperlyConfigured as error:
            raise ConfigurationError(f"{self.name} cannot be used: {error}") from error
        options = {key: value for key, value in given.items() if key not in _OF_DJANGO}
        return connection.vendor, connection.Database, read(self.name, connection, options), options

    def host(self) -> Host | None:
        connection = connections[self._alias]
        return host_on(connection) if connection.in_atomic_block else None

    def transaction(self) -> AbstractContextManager[Any]:
        found: AbstractContextManager[Any] = transaction.atomic(using=self._alias)
        return found

    def refresh(self) -> None:
        for connection in connections.all():
            if connection.in_atomic_block:
                continue  # that of a test; as Django's close_old_connections() has it, it would be closed
            connection.close_if_unusable_or_obsolete()
            # What is kept (CONN_MAX_AGE) is asked whether it still answers, whatever CONN_HEALTH_CHECKS says: a job
            # would fail by what happened before it.
            if connection.connection is not None and not connection.is_usable():
                connection.close()

    def leave_thread(self) -> None:
        connections.close_all()


def _of_sqlite(name: str, connection: Any, given: dict[str, Any]) -> str:
    """The path, or the URI of a database in memory that connections share."""
    path = str(given["database"])
    given.clear()
    if path == ":memory:":
        raise ConfigurationError(f"{name} is in memory, and seen by one connection alone; give it the NAME of a file")
    if path.startswith("file:") and "mode=memory" not in path:
        return unquote(urlsplit(path).path)
    return path


def _of_postgres(name: str, connection: Any, given: dict[str, Any]) -> str:
    asked = connection.settings_dict["OPTIONS"]
    if "prepare_threshold" not in asked:
        given.pop("prepare_threshold", None)  # Django's own choice, because of poolers; fsmflow looks for those
    if role := asked.get("assume_role"):
        given["options"] = f"{given.get('options', '')} -c role={role}".strip()
    # Without a name the service says which.
    return str(given.setdefault("dbname", None) or asked.get("service"))


def _of_mysql(name: str, connection: Any, given: dict[str, Any]) -> str:
    if "database" not in given:
        raise ConfigurationError(
            f"{name} has no NAME, and what a file of OPTIONS says of it is not read: give "
            f"DATABASES[{connection.alias!r}] a NAME"
        )
    return str(given.pop("database"))


_READERS: Final[dict[str, Callable[[str, Any, dict[str, Any]], str]]] = {
    "sqlite": _of_sqlite,
    "postgresql": _of_postgres,
    "mysql": _of_mysql,
}
