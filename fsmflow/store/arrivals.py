"""Events of others that led to nothing, kept for a while: so many, and for so long, that nobody can fill the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fsmflow.decision.arrival import Arrival
from fsmflow.store.column import Column, Columns, Table, big, chars, long_text, whole
from fsmflow.store.indexes import OF_ARRIVALS
from fsmflow.store.link import Link
from fsmflow.store.tables import ARRIVAL

_ARRIVAL: Final = Columns(
    Column("id", chars(12, primary_key=True)),
    Column("hook", chars(64)),
    Column("key", chars(200)),
    Column("machine", chars(64)),
    Column("trigger", chars(100)),
    Column("address", chars(600, null=True)),
    Column("event", chars(200, null=True)),
    Column("at", big()),
    Column("last_at", big()),
    Column("tries", whole()),
    Column("why", long_text()),
    Column("body", long_text(null=True)),
)
OF_HOOKS: Final = (Table(name=ARRIVAL, columns=_ARRIVAL.all, indexes=OF_ARRIVALS),)
#: So many are kept, and for so long: the latest.
MOST: Final = 1_000
KEPT_MS: Final = 30 * 86_400_000


class Arrivals:
    """Reads and writes of them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        names = [link.quoted(name) for name in _ARRIVAL.names]
        marks = ", ".join([link.mark] * len(names))
        again = ("machine", "trigger", "address", "event", "last_at", "why", "body")
        notation = link.dialect.notation
        sets = ", ".join(f"{link.quoted(name)} = {notation.offered(link.quoted(name))}" for name in again)
        insert = f"INSERT INTO {ARRIVAL} ({', '.join(names)}) VALUES ({marks})"
        self._put = f"{insert} {notation.or_else([link.quoted('id')])} {sets}, tries = {ARRIVAL}.tries + 1"
        self._select = f"SELECT {', '.join(names)} FROM {ARRIVAL}"

    def put(self, arrival: Arrival) -> None:
        """Keep one; of what is there already, that it came again. What is too much is forgotten: the oldest first.
        Run again it does no harm but to count once more."""
        link, mark = self._link, self._link.mark

        def put() -> None:
            link.execute(self._put, tuple(_ARRIVAL.values(arrival)))
            ((count,),) = link.rows(f"SELECT COUNT(*) FROM {ARRIVAL}")
            if int(count) > MOST:
                beyond = f"SELECT last_at FROM {ARRIVAL} ORDER BY last_at DESC LIMIT 1 OFFSET {MOST}"
                ((edge,),) = link.rows(beyond)
                link.execute(f"DELETE FROM {ARRIVAL} WHERE last_at <= {mark}", (int(edge),))

        link.write(put)

    def expire(self, now: int) -> None:
        """Forget what came last before they are kept."""
        sql = f"DELETE FROM {ARRIVAL} WHERE last_at < {self._link.mark}"
        self._link.write(lambda: self._link.execute(sql, (now - KEPT_MS,)))

    def find(self, id_: str) -> list[Arrival]:
        """Those whose id begins so, two at most."""
        sql = f"{self._select} WHERE {self._link.quoted('id')} LIKE {self._link.mark} LIMIT 2"
        return [_arrival(row) for row in self._link.query(sql, (f"{id_}%",))]

    def latest(self, machines: Sequence[str], *, hook: str | None = None, limit: int = MOST) -> list[Arrival]:
        """Those of these machines, the latest first."""
        if not machines:
            return []
        mark = self._link.mark
        where, params = f"machine IN ({', '.join([mark] * len(machines))})", [*machines]
        if hook is not None:
            where, params = f"{where} AND hook = {mark}", [*params, hook]
        sql = f"{self._select} WHERE {where} ORDER BY last_at DESC LIMIT {mark}"
        return [_arrival(row) for row in self._link.query(sql, (*params, limit))]

    def forget(self, id_: str) -> bool:
        """Delete one. False where there is none."""
        sql = f"DELETE FROM {ARRIVAL} WHERE {self._link.quoted('id')} = {self._link.mark}"
        return self._link.write(lambda: bool(self._link.execute(sql, (id_,)).rowcount == 1))


def _arrival(row: Sequence[Any]) -> Arrival:
    return Arrival(**_ARRIVAL.attributes(row))
