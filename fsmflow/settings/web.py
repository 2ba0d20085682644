"""Where people reach the web of an installation, as ``configure`` or the environment says it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from fsmflow.errors import ConfigurationError
from fsmflow.redaction import hide_password

_FORM: Final = "it is where people reach the web, as in https://shop.example/flow"


def read_web_url(given: object, what: str) -> str:
    """The same without a slash at its end. Raises ConfigurationError for what links cannot begin with."""
    text = given.strip() if isinstance(given, str) else ""
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_whole = False
    shown = hide_password(text) if isinstance(given, str) else given
    if not is_whole or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError(f"{what} is {shown!r}; {_FORM}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(f"{what} is {shown!r}, with a user, a query or a fragment in it; {_FORM}")
    return text.rstrip("/")
