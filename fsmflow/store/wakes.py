"""By which column of work rows is found what is due.

Each claim and each step of an entity moves ``wake_at`` by some seconds. On PostgreSQL a row whose indexed columns have
changed gets a new entry in each of its indexes. So there the index has a column that hardly ever changes while an
entity goes from step to step: the moment, rounded down, of what runs or was just rung for. Of what sleeps it is the
moment itself, so that millions that wait for their time are not looked at before.
"""

from __future__ import annotations

from typing import Final

from peewee import SQL, BigIntegerField, Field

from fsmflow.values import dataclass

#: The longer, the fewer steps cross its edge; what is due comes out of its order by no more.
_EDGE_MS: Final = 240_000
#: ``GRACE_MS`` of ``decision.work``, which what only opens a database does not import; a test holds it to that.
_GRACE_MS: Final = 5_000
#: What runs keeps the moment at which it was rung for, for as long as that is not far from ``wake_at``.
_ROUNDED: Final = (
    f"CASE WHEN wake_at <= rung_at + {_GRACE_MS} OR owner IS NOT NULL AND wake_at < rung_at + {_EDGE_MS} "
    f"THEN LEAST(rung_at, wake_at) - MOD(LEAST(rung_at, wake_at), {_EDGE_MS}) "
    f"WHEN owner IS NOT NULL THEN wake_at - MOD(wake_at, {_EDGE_MS}) ELSE wake_at END"
)


@dataclass(frozen=True, kw_only=True)
class Wakes:
    """``column`` is never later than ``wake_at``, and less than ``off_ms`` before it. What asks for a range of that
    asks for this one of it, too, as the index has no other."""

    column: str = "wake_at"
    off_ms: int = 0

    def make(self) -> Field | None:
        """The field of a column that is no other one, which the database fills by itself."""
        if not self.off_ms:
            return None
        return BigIntegerField(constraints=[SQL(f"GENERATED ALWAYS AS ({_ROUNDED}) STORED")])

    def until(self, moment: str, table: str = "") -> str:
        """That a row is due by a moment; takes it twice where it is a parameter."""
        return f"{table}{self.column} <= {moment} AND {table}wake_at <= {moment}"


#: Where the index has ``wake_at``, and where a row is not to be moved in it.
EXACT: Final = Wakes()
ROUNDED: Final = Wakes(column="look_at", off_ms=2 * _EDGE_MS)
