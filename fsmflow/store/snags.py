"""What was tried in vain, counted by what it is, so that thousands of the same are told in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fsmflow.store.link import Link
from fsmflow.store.reach import Reach, within
from fsmflow.store.tables import ENTITY, EVENT, WORK
from fsmflow.values import dataclass

#: So many work rows, and so many events, are read at most: each with its entity, wherever that is.
MOST: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Snag:
    """Work, or events, of entities in one state that were tried as often in vain for one reason. ``kind`` is that of
    the work or the event, ``trigger`` that of an event; ``overdue``: it is about a deadline beside other work. ``row``
    is the entity of one of them, and ``event`` its event, None of work. ``or_more``: not all there are were read."""

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
    or_more: bool


class Snags:
    """Counts in one database. Nothing is written."""

    def __init__(self, link: Link) -> None:
        self._link = link
        trigger = link.quoted("trigger")
        alike = f"e.machine, e.state, e.branch_of, x.kind, x.{trigger}, x.overdue, x.why, x.tries"
        # What is read is cut first, by an index, whatever there is.
        places = (
            (f"NULL AS id, kind, NULL AS {trigger}, overdue", f"{WORK} WHERE tries > 0 ORDER BY entity"),
            (f"id, kind, {trigger}, 0 AS overdue", f"{EVENT} WHERE due_at > 0 AND tries > 0 ORDER BY due_at"),
        )
        self._queries = [
            f"SELECT {alike}, COUNT(*), MIN(e.id), MIN(x.id) "
            f"FROM (SELECT entity, {columns}, why, tries FROM {place} LIMIT {MOST}) x "
            f"JOIN {ENTITY} e ON e.id = x.entity WHERE {{where}} GROUP BY {alike}"
            for columns, place in places
        ]
        self._counts = [f"SELECT COUNT(*) FROM (SELECT 1 FROM {place} LIMIT {MOST}) counted" for _, place in places]

    def look(self, machine: str | None = None, reach: Reach | None = None) -> list[Snag]:
        """All of it, or what is of a machine and within reach, work first. Two queries, each of which reads ``MOST``
        entries of an index at most: of more than those the rest is left out, and that is told. Where not all that was
        read is wanted, one query more tells that."""
        terms, params = [], list[Any]()
        if machine is not None:
            terms, params = [f"e.machine = {self._link.mark}"], [machine]
        if reach is not None:
            term, more = within(self._link, reach)
            terms, params = [*terms, term], [*params, *more]
        where = " AND ".join(terms) or "1 = 1"
        return [snag for number in range(len(self._queries)) for snag in self._look(number, where, params)]

    def _look(self, number: int, where: str, params: Sequence[Any]) -> list[Snag]:
        found = list(self._link.look(self._queries[number].replace("{where}", where), params))
        read = sum(int(count) for *_, count, _, _ in found)
        if found and params and read < MOST:
            ((read,),) = self._link.look(self._counts[number])
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
                or_more=read >= MOST,
            )
            for of, state, branch_of, kind, trigger, overdue, why, tries, count, row, event in found
        ]
