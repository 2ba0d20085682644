"""The URLs of databases: what they say, and what was likely meant by one that says nothing."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from fsmflow.errors import did_you_mean
from fsmflow.redaction import hide_password
from fsmflow.store.dialects import DIALECTS, known_names

#: How the files of SQLite are mostly called.
_OF_FILES: Final = frozenset({".db", ".sqlite", ".sqlite3", ".db3"})


def parts_of(url: str, *, is_server: bool) -> dict[str, Any]:
    """What a URL says, by the names that peewee has for it; of a file whatever it is. Raises ValueError."""
    if is_server:
        # It brings all drivers along that it finds.
        parse = import_module("playhouse.db_url").parse
        return dict(parse(url, unquote_password=True, unquote_user=True))
    parts = urlsplit(url)
    host = {"host": parts.netloc} if parts.netloc else {}
    return {"database": parts.path[1:], **host, **dict(parse_qsl(parts.query, keep_blank_values=True))}


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
