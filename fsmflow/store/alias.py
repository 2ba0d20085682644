"""A database that the settings of a framework name, by an alias: ``django://default``.

A framework says what connections are opened with, which may change while a process runs, as its tests do; and which
transaction of its own is open in this thread, in which all is then written. An adapter is a subclass of ``Alias``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from peewee import Database

from fsmflow.errors import ConfigurationError
from fsmflow.store.dialects import DIALECTS
from fsmflow.store.host import Host

#: Which module knows the aliases of a kind, by a function ``named``.
_ADAPTERS: Final = {"django": "fsmflow.django.alias"}

_aliases: Final[WeakKeyDictionary[Database, Alias]] = WeakKeyDictionary()


class Alias(ABC):
    """One database of a framework's."""

    #: What it is called in a sentence.
    name: str

    @abstractmethod
    def place(self) -> Hashable:
        """Where it is now: another value, once that is elsewhere. Asked for each time that something is begun."""

    @abstractmethod
    def options(self) -> tuple[str, Any, str, dict[str, Any]]:
        """The name of its dialect, the module of the driver where that is chosen by the framework, the name of the
        database, and what a connection to it is opened with. Raises ConfigurationError."""

    @abstractmethod
    def host(self) -> Host | None:
        """The transaction that the framework has open on it in this thread; always the same object for the same
        connection."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Any]:
        """A transaction of the framework's: inside, ``host`` gives it."""

    @abstractmethod
    def refresh(self) -> None:
        """Between two jobs: close those of the framework's connections in this thread that are too old, or have
        ended."""

    @abstractmethod
    def leave_thread(self) -> None:
        """Close the framework's connections in this thread, which is about to end."""


def is_alias(url: str) -> bool:
    """Whether a URL names an alias."""
    return url.partition("://")[0] in _ADAPTERS


def open_alias(url: str, *, patient: bool = False) -> Database:
    """peewee's Database of an alias; each of its connections is opened with what the framework says then. Connects to
    nothing. Raises ConfigurationError."""
    kind, _, name = url.partition("://")
    try:
        alias = cast(Alias, import_module(_ADAPTERS[kind]).named(name))
    except ImportError as error:
        raise ConfigurationError(f"the database {url!r} cannot be used: {error}") from error
    db = _opened(alias, url, patient=patient)
    _follow(db, lambda: _opened(alias, url, patient=patient))
    _aliases[db] = alias
    return db


def alias_of(db: Database) -> Alias | None:
    """The alias that a Database was opened by, if it was."""
    return _aliases.get(db)


def _opened(alias: Alias, url: str, *, patient: bool) -> Database:
    kind, driver, name, options = alias.options()
    dialect = next(known for known in DIALECTS if known.name == kind)
    return dialect.open_as(name, {**options, **(dialect.patience if patient else {})}, url, driver)


def _follow(db: Database, opened: Callable[[], Database]) -> None:
    """Have each new connection of a Database be one that another, just opened, would have."""
    own: Any = db

    def connected() -> Any:
        now: Any = opened()
        if own.connect_params.get("prepare_threshold", 0) is None:
            now.connect_params["prepare_threshold"] = None  # a pooler was found, which may be in front of this one too
        own.database, own.connect_params = now.database, now.connect_params
        return now._connect()  # noqa: SLF001 - what peewee has its databases override

    own._connect = connected  # noqa: SLF001
