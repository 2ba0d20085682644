"""Where the data is and where the machines come from, as it may be shown: without passwords."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fsmflow.definition.model import Definition
from fsmflow.redaction import hide_password
from fsmflow.settings import Settings

#: So many machines are told one by one.
_MANY: Final = 12


def database_of(chosen: Settings) -> str:
    """The database that the settings name."""
    if chosen.database is not None:
        return f"the database that was configured ({chosen.database.database})"
    if chosen.database_url is None:
        return f"sqlite:///{chosen.home.absolute() / 'fsmflow.db'}"
    return without_password(chosen.database_url)


def redis_of(chosen: Settings) -> str:
    """The Redis that the settings name."""
    return without_password(chosen.redis_url or "the embedded server")


def without_password(url: str) -> str:
    """The URL as it may be shown. Parameters are left out, as they may hold a password too."""
    return hide_password(url).partition("?")[0]


def machines_of(definitions: Iterable[Definition]) -> str:
    """The machines, module by module: ``order, refund (shop.orders); parcel (shop.parcels)``."""
    by_module: dict[str, list[str]] = {}
    found = list(definitions)
    for definition in found[:_MANY]:
        by_module.setdefault(definition.owner.__module__, []).append(definition.name)
    told = "; ".join(f"{', '.join(names)} ({module})" for module, names in by_module.items())
    return f"{told}; and {len(found) - _MANY:,} more" if len(found) > _MANY else told
