"""The drivers below peewee that fsmflow works with: what it needs of one, and what each calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import peewee
from peewee import Database

from fsmflow.errors import ConfigurationError
from fsmflow.redaction import hide_password
from fsmflow.store.placeholders import fill_in

#: What a driver that cannot tell is asked by: outside of a transaction a savepoint is gone with its own statement.
_SAVEPOINT: Final = "fsmflow_asks"
_TLS: Final = {"ssl_ca": "ca", "ssl_cert": "cert", "ssl_key": "key", "ssl_capath": "capath", "ssl_cipher": "cipher"}


#: What MySQL's own programs, and hosters, call it, as the drivers do.
_MODES: Final[Mapping[str, Mapping[str, Any]]] = {
    "DISABLED": {"ssl_disabled": True},
    "PREFERRED": {},
    "REQUIRED": {"ssl_required": True},
    "VERIFY_CA": {"ssl_verify_cert": True},
    "VERIFY_IDENTITY": {"ssl_verify_cert": True, "ssl_verify_identity": True},
}


def connected_by_url(db: Database) -> Database:
    """A database whose connections are made by the options of a URL. One that the driver does not take is met with the
    first of them, as an error of the driver's own: a ConfigurationError now."""
    own: Any = db
    connect = own._connect  # noqa: SLF001 - what peewee has its databases override

    def connected() -> Any:
        try:
            return connect()
        except (TypeError, ValueError) as error:
            what = f"the database URL has an option that the driver does not take: {error}"
            raise ConfigurationError(what) from error

    own._connect = connected  # noqa: SLF001
    return db


def connected_by(db: Database, driver: Any) -> Database:
    """A database of MySQL whose connections are made by this driver, and not by the one that peewee has found."""
    own: Any = db
    own._connect = lambda: driver.connect(  # noqa: SLF001 - what peewee has its databases override
        database=own.database, autocommit=True, **own.connect_params
    )
    return db


def imported(name: str, advice: str, url: str) -> Any:
    """The driver that peewee calls so. Raises ConfigurationError where it has found none."""
    fill_in(name)
    module = vars(peewee)[name]
    if module is None:
        raise ConfigurationError(f"the database {hide_password(url)!r} needs a driver; {advice}")
    return module


def check_driver(connection: Any, known: Sequence[str], advice: str) -> None:
    """Raises ConfigurationError for a connection of none of these modules, which may do otherwise than fsmflow relies
    on. A driver that only lets statements be counted or traced hands on what it stands before."""
    modules = [base.__module__.partition(".")[0] for base in connection.__class__.__mro__]
    if set(modules).isdisjoint(known):
        module = connection.__class__.__module__
        raise ConfigurationError(f"fsmflow does not work with the database driver {module}; {advice}")


def mysql_in_transaction(connection: Any) -> bool:
    """Whether a transaction is open on a connection of MySQL. PyMySQL knows; mysqlclient asks, twice."""
    status = getattr(connection, "server_status", None)
    if status is not None:
        return bool(status & 1)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
            cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    except connection.Error:
        return False  # there is none, or the connection is gone and took it along
    return True


def with_tls(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a URL with those of TLS as PyMySQL calls them, and ``ssl_required``, which it has not: encrypted,
    whoever answers. Raises ConfigurationError."""
    found = {name.replace("-", "_") if name.startswith("ssl") else name: value for name, value in options.items()}
    mode = found.pop("ssl_mode", found.pop("sslmode", None))
    meant = {} if mode is None else _MODES.get(str(mode).upper().replace("-", "_"))
    if meant is None:
        raise ConfigurationError(f"the database URL has ssl-mode={mode!r}; it takes {', '.join(_MODES)}")
    return {**meant, **found}


def encrypting() -> Any:
    """TLS that asks nobody who they are."""
    ssl = import_module("ssl")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def mysqlclient_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a URL, which are those of PyMySQL, as mysqlclient has them."""
    found = {name: value for name, value in options.items() if not name.startswith("ssl_")}
    tls = {mine: options[name] for name, mine in _TLS.items() if name in options}
    if options.get("ssl_disabled"):
        return {**found, "ssl_mode": "DISABLED"}
    if not tls and not any(options.get(f"ssl_{asked}") for asked in ("required", "verify_cert", "verify_identity")):
        return found
    verifies = "ssl_ca" in options or options.get("ssl_verify_cert")
    mode = "VERIFY_IDENTITY" if options.get("ssl_verify_identity") else "VERIFY_CA" if verifies else "REQUIRED"
    return {**found, "ssl": tls, "ssl_mode": mode}
