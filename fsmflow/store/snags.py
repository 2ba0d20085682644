"""What was tried in vain, counted by what it is, so that thousands of the same are told in one sentence."""

from __future__ import annotations

from typing import Any, Final

from fsmflow.store.link import Link
from fsmflow.store.reach import Reach, within
from fsmflow.store.tables import ENTITY, EVENT, WORK
from fsmflow.values import dataclass

#: So many work rows, and so many events, are read at most.
MOST: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Snag:
    """Work, or events, of entities in one state that were tried as often in vain for one reason. ``kind`` is that of
    the work or the event, ``trigger`` that of an event; ``overdue``: it is about a deadline beside other work. ``row``
    is the entity of one of them, and ``event`` its event, None of work."""

    machine: str
    state: str
    branch_of: str | None
    kind: str
    trigger: str | None
    overdue: bool
    why: str
    tries: int
    count: int
    row: int
    event: int | None


class Snags:
    """Counts in one database. Nothing is written."""

    def __init__(self, link: Link) -> None:
        self._link = link
        trigger = link.quoted("trigger")
        alike = f"e.machine, e.state, e.branch_of, x.kind, x.{trigger}, x.overdue, x.why, x.tries"
        # What is read is cut first, by an index, whatever there is.
        places = (
            f"SELECT entity, NULL AS id, kind, NULL AS {trigger}, overdue, why, tries FROM {WORK} WHERE tries > 0 "
            f"ORDER BY entity LIMIT {MOST}",
            f"SELECT entity, id, kind, {trigger}, 0 AS overdue, why, tries FROM {EVENT} WHERE due_at > 0 "
            f"AND tries > 0 ORDER BY due_at LIMIT {MOST}",
        )
        self._queries = [
            f"SELECT {alike}, COUNT(*), MIN(e.id), MIN(x.id) FROM ({place}) x JOIN {ENTITY} e ON e.id = x.entity "
            f"WHERE {{where}} GROUP BY {alike}"
            for place in places
        ]

    def look(self, machine: str | None = None, reach: Reach | None = None) -> list[Snag]:
        """All of it, or what is of a machine and within reach, work first. Two queries, each of which reads ``MOST``
        entries of an index at most: of more than those the rest is left out."""
        terms, params = [], list[Any]()
        if machine is not None:
            terms, params = [f"e.machine = {self._link.mark}"], [machine]
        if reach is not None:
            term, more = within(self._link, reach)
            terms, params = [*terms, term], [*params, *more]
        where = " AND ".join(terms) or "1 = 1"
        return [
            Snag(
                machine=of,
                state=state,
                branch_of=branch_of,
                kind=kind,
                trigger=trigger,
                overdue=bool(overdue),
                why=why or "",
                tries=int(tries),
                count=int(count),
                row=int(row),
                event=None if event is None else int(event),
            )
            for query in self._queries
            for of, state, branch_of, kind, trigger, overdue, why, tries, count, row, event in self._link.look(
                query.replace("{where}", where), params
            )
        ]
