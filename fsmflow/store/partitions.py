"""Tables in parts: work and history, each divided by the hash of the entity, so that no index of theirs grows too large
and each part is vacuumed by itself. All of an entity is in one part of each. The keys of both have the entity in them,
as a key over several parts must."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsmflow.errors import ConfigurationError
from fsmflow.store.link import Link
from fsmflow.store.tables import HISTORY, WORK

#: The tables that are divided, and the column by which they are.
DIVIDED: Final = (WORK, HISTORY)
_BY: Final = "entity"
#: The fact that says in how many parts.
FACT: Final = "partitions"
MOST: Final = 256


def check(link: Link, wanted: int, known: Mapping[str, str] | None) -> None:
    """Raises ConfigurationError where so many parts cannot be made. ``known``: the facts of an installation that is
    there already."""
    if not link.dialect.notation.divides:
        raise ConfigurationError(
            f"--partitions {wanted}: tables are divided by hash on PostgreSQL alone, and this is {link.dialect.label}"
        )
    if known is None or known.get(FACT) == str(wanted):
        return
    there = f"in {known[FACT]} parts" if FACT in known else "in one piece"
    raise ConfigurationError(
        f"--partitions {wanted}: the tables are there already, {there}; how many parts there are is said when they are "
        f"made, by the first 'fsmflow init' of a database"
    )


def settings_of(link: Link, table: str, wanted: int | None) -> list[str] | None:
    """What the CREATE TABLE of a table ends with that is divided; None for one that is not."""
    return [link.dialect.notation.divided(_BY)] if wanted and table in DIVIDED else None


def make(link: Link, count: int, fills: Mapping[str, int]) -> None:
    """The parts of tables that were just made, and how far new rows fill their pages. Their indexes follow from those
    of the tables."""
    for table in DIVIDED:
        settings = " ".join(link.dialect.notation.filled(fills[table]) or ())
        for number in range(count):
            link.execute(
                f"CREATE TABLE IF NOT EXISTS {table}_{number} PARTITION OF {table} "
                f"FOR VALUES WITH (MODULUS {count}, REMAINDER {number}) {settings}"
            )
