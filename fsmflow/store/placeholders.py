"""peewee without the drivers of servers, for commands and worker processes: each is imported once a database needs it.

peewee imports every driver that it finds, and psycopg takes as long as half of a command that needs none. So peewee
finds a placeholder in its place, which it does not look into before a database of that kind is made. Then the driver is
imported and put where peewee would have it. Whoever else imports a driver gets the driver.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any, Final

#: What peewee takes from psycopg: its name there, the module that it is of, and its name in that.
_TAKEN: Final = (
    ("TransactionStatus", "psycopg.pq", "TransactionStatus"),
    ("Json_pg3", "psycopg.types.json", "Json"),
    ("Jsonb_pg3", "psycopg.types.json", "Jsonb"),
)
#: What its adapter takes from the first of these.
_STATUSES: Final = {"txn_idle": "IDLE", "txn_inerror": "INERROR", "txn_unknown": "UNKNOWN"}

#: What puts drivers where their placeholders are, by the names that they have in peewee.
_missing: dict[str, Callable[[], None]] = {}


def import_peewee() -> None:
    """Import peewee, if nobody has, with placeholders for the drivers that nobody has imported either."""
    if "peewee" in sys.modules:
        return
    placed = {**_of_psycopg(), **_of_pymysql()}
    sys.modules.update(placed)
    try:
        peewee: Any = import_module("peewee")
    finally:
        for name in placed:
            del sys.modules[name]
    if "psycopg" in placed:
        _miss("psycopg", peewee.PostgresqlDatabase, functools.partial(_put_psycopg, peewee))
    if "pymysql" in placed:
        _miss("mysql", peewee.MySQLDatabase, functools.partial(_put_mysql, peewee))


def fill_in(name: str) -> None:
    """Import the driver that peewee calls so, if there is a placeholder for it. Threads may do so at once."""
    put = _missing.get(name)
    if put is not None:
        put()
        _missing.pop(name, None)


def _of_psycopg() -> dict[str, ModuleType]:
    if not _is_there("psycopg"):
        return {}
    placed = {name: ModuleType(name) for name in ("psycopg", *(module for _, module, _ in _TAKEN))}
    for _, module, name in _TAKEN:
        setattr(placed[module], name, SimpleNamespace(**dict.fromkeys(_STATUSES.values())))
    return placed


def _of_pymysql() -> dict[str, ModuleType]:
    return {"pymysql": ModuleType("pymysql")} if _is_there("pymysql") else {}


def _is_there(driver: str) -> bool:
    """Whether a driver is installed, and not imported yet."""
    return driver not in sys.modules and find_spec(driver) is not None


def _miss(name: str, database: Any, put: Callable[[], None]) -> None:
    """Have the driver put in its place as the first database of this kind is made."""
    _missing[name] = put
    init = database.init

    @functools.wraps(init)
    def filled_in(self: Any, *args: Any, **options: Any) -> None:
        fill_in(name)
        database.init = init
        init(self, *args, **options)

    database.init = filled_in


def _put_psycopg(peewee: Any) -> None:
    adapter = peewee.Psycopg3Adapter
    try:
        driver = import_module("psycopg")
        taken = {own: getattr(import_module(module), name) for own, module, name in _TAKEN}
    except ImportError:  # it is installed and cannot be used: then peewee has none
        driver, taken = None, {own: None for own, _, _ in _TAKEN}
    vars(peewee).update(psycopg=driver, **taken)
    for own, name in _STATUSES.items():
        setattr(adapter, own, getattr(peewee.TransactionStatus, name, None))


def _put_mysql(peewee: Any) -> None:
    for name in ("pymysql", "MySQLdb"):
        try:
            vars(peewee)["mysql"] = import_module(name)
        except ImportError:  # peewee takes the next one then
            vars(peewee)["mysql"] = None
        else:
            return
