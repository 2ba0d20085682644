"""The URLs of databases: what they say, and what was likely meant by one that says nothing."""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from fsmflow.errors import ConfigurationError, did_you_mean
from fsmflow.redaction import hide_password
from fsmflow.store.dialect import Dialect
from fsmflow.store.dialects import DIALECTS, known_names

#: How the files of SQLite are mostly called.
_OF_FILES: Final = frozenset({".db", ".sqlite", ".sqlite3", ".db3"})


_HOSTS: Final = re.compile(r"(?P<before>[^:]+://(.*@)?)(?P<hosts>[^/?#@]*,[^/?#@]*)(?P<after>.*)", re.DOTALL)
_HOST: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(:(?P<port>\d*))?")


def parts_of(url: str, *, dialect: Dialect) -> dict[str, Any]:
    """What a URL says, by the names that peewee has for it; of a file whatever it is. Raises ValueError and
    ConfigurationError."""
    several = _HOSTS.fullmatch(url) if dialect.is_server else None
    if several is not None:
        hosts = [_host(text) for text in several["hosts"].split(",")]
        if not dialect.takes_hosts:
            kind, instead = dialect.schemes[0], "a proxy's, or a name that moves along"
            what = f"names {len(hosts)} hosts, and {kind} takes one: {instead}"
            raise ConfigurationError(f"the database URL {hide_password(url)!r} {what}")
        told = parts_of(f"{several['before']}host{several['after']}", dialect=dialect)
        ports = [port for _, port in hosts]
        return {"host": ",".join(host for host, _ in hosts), "port": ",".join(ports), **_without(told, "host")}
    if dialect.is_server:
        # It brings all drivers along that it finds.
        parse = import_module("playhouse.db_url").parse
        return dict(parse(url, unquote_password=True, unquote_user=True))
    parts = urlsplit(url)
    host = {"host": parts.netloc} if parts.netloc else {}
    return {"database": parts.path[1:], **host, **dict(parse_qsl(parts.query, keep_blank_values=True))}


def _host(text: str) -> tuple[str, str]:
    found = _HOST.fullmatch(text)
    if found is None or not found["host"]:
        raise ConfigurationError(
            "one of the hosts in the database URL is none; write each as host or host:port, with commas between"
        )
    return found["host"].strip("[]"), found["port"] or ""


def _without(parts: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in parts.items() if key != name}


def misread(url: str) -> str:
    """A URL of no known kind as it may be shown, and what was likely meant."""
    begin, colon, rest = url.partition(":")
    scheme, plus, driver = begin.lower().partition("+")
    known = next((known for known in DIALECTS if scheme in known.schemes), None)
    if "://" in url:
        told = f"{hide_password(url)!r} is of no known kind"
        if known is not None and plus:
            return f"{told}; write {known.schemes[0]}://..., as fsmflow chooses the driver itself, not {driver!r}"
        return (
            f"{told}; use {known_names()}{did_you_mean(scheme, [name for each in DIALECTS for name in each.schemes])}"
        )
    told = f"{hide_password(url)!r} is no URL"
    if known is not None and known.is_server:
        return f"{told}; write {known.example}"
    path = rest if known is not None and colon else url
    if "@" not in url and (known is None or path != url) and (os.sep in path or Path(path).suffix in _OF_FILES):
        return f"{told}; did you mean {f'sqlite:///{path}'!r}?"
    return f"{told}; write {known.example}" if known else f"{told}; write {examples()}"


def examples() -> str:
    """What URLs look like."""
    *examples, last = (known.example for known in DIALECTS)
    return f"{', '.join(examples)} or {last}"
