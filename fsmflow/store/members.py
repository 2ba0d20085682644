"""The members of repairs: who they are, as they were seen, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from fsmflow.decision.entity import Claim
from fsmflow.decision.member import ASKED, Fate, Member
from fsmflow.definition.names import WORKING
from fsmflow.store.columns import MEMBER_COLUMNS, member_of, member_values
from fsmflow.store.link import Link
from fsmflow.store.sizes import by_size, size_of
from fsmflow.store.statements import among
from fsmflow.store.tables import ENTITY, MEMBER

#: Rows of one statement.
PAGE: Final = 200


class Members:
    """Reads and writes of members. ``repair`` and ``entity`` are rows of entities."""

    def __init__(self, link: Link, lock_claim: Callable[[Claim], None]) -> None:
        self._link = link
        self._lock_claim = lock_claim
        names = ", ".join(f"m.{link.quoted(name)}" for name in MEMBER_COLUMNS)
        self._found = f"SELECT {names} FROM {MEMBER} m WHERE m.repair = {link.mark}"

    def add(self, claim: Claim, members: Sequence[Member]) -> None:
        """Write a page of them, all or none, as long as the claim of the repair's own job is live. Raises ClaimLost
        where it is not: the set may be frozen by then."""

        def write() -> None:
            self._lock_claim(claim)
            for page in by_size([member_values(member) for member in members], size_of):
                self._link.execute(*self._link.dialect.insert_many(MEMBER, MEMBER_COLUMNS, page))

        self._link.write(write)

    def last(self, repair: int) -> int:
        """The row of the last one; 0 where there is none yet."""
        ((last,),) = self._link.query(f"SELECT MAX(entity) FROM {MEMBER} WHERE repair = {self._link.mark}", (repair,))
        return int(last or 0)

    def of(self, repair: int, fate: Fate | None = None) -> Iterator[Member]:
        """All of them, or those with a fate, in order, read in pages."""
        last = 0
        while page := self.page(repair, fate, after=last, limit=PAGE):
            yield from page
            last = page[-1].entity

    def page(self, repair: int, fate: Fate | None = None, *, after: int = 0, limit: int) -> list[Member]:
        """The next of them, or of those with a fate."""
        mark = self._link.mark
        where, params = (f" AND m.fate = {mark}", (fate.value,)) if fate is not None else ("", ())
        sql = f"{self._found}{where} AND m.entity > {mark} ORDER BY m.entity LIMIT {mark}"
        return [member_of(row) for row in self._link.query(sql, (repair, *params, after, limit))]

    def moved_on(self, repair: int, *, after: int = 0, limit: int) -> list[Member]:
        """Those under way of which that may not be true any more: they are at another epoch, or run nothing."""
        mark = self._link.mark
        found = self._found.replace(f"{MEMBER} m", f"{MEMBER} m LEFT JOIN {ENTITY} e ON e.id = m.entity")
        sql = (
            f"{found} AND m.fate = '{Fate.UNDER_WAY.value}' AND (e.id IS NULL OR e.epoch <> m.asked_epoch "
            f"OR e.phase <> '{WORKING}') AND m.entity > {mark} ORDER BY m.entity LIMIT {mark}"
        )
        return [member_of(row) for row in self._link.query(sql, (repair, after, limit))]

    def mark(self, members: Sequence[tuple[Fate, Member]]) -> None:
        """Note what became of some, in one transaction: each where it still has the fate that comes with it. What is
        noted may be noted again, with the same outcome. A statement for each outcome, in order of entities."""
        mark = self._link.mark
        names = ("would", "why", "turn", "asked_epoch", "asked_at", "settled_at")
        sets = ", ".join(f"{self._link.quoted(name)} = {mark}" for name in ("fate", *names))
        alike: dict[tuple[Any, ...], list[int]] = {}
        for before, member in members:
            outcome = (member.fate.value, *(getattr(member, name) for name in names), member.repair, before.value)
            alike.setdefault(outcome, []).append(member.entity)

        def write() -> None:
            for outcome, entities in alike.items():
                among, values = self._link.dialect.among(entities)
                sql = f"UPDATE {MEMBER} SET {sets} WHERE repair = {mark} AND fate = {mark} AND entity {among}"
                self._link.execute(sql, (*outcome, *values))

        if members:
            self._link.write(write)

    def counts(self, repair: int, turn: int | None = None) -> dict[Fate, int]:
        """How many have which fate; of those asked in a turn, where one is given. Reads as many rows of an index."""
        mark = self._link.mark
        where, params = ("", ()) if turn is None else (f" AND turn = {mark} AND fate {among(ASKED)}", (turn,))
        sql = f"SELECT fate, COUNT(*) FROM {MEMBER} WHERE repair = {mark}{where} GROUP BY fate"
        return {Fate(fate): int(count) for fate, count in self._link.query(sql, (repair, *params))}

    def counts_of(self, repairs: Sequence[int]) -> dict[int, dict[Fate, int]]:
        """The same of several repairs. One query; none for nobody."""
        found: dict[int, dict[Fate, int]] = {repair: {} for repair in repairs}
        if found:
            among, values = self._link.dialect.among(list(found))
            sql = f"SELECT repair, fate, COUNT(*) FROM {MEMBER} WHERE repair {among} GROUP BY repair, fate"
            for repair, fate, count in self._link.query(sql, values):
                found[int(repair)][Fate(fate)] = int(count)
        return found

    def under_way(self, repair: int) -> int:
        """How many have been asked and not settled. Reads as many rows of an index."""
        sql = f"SELECT COUNT(*) FROM {MEMBER} WHERE repair = {self._link.mark} AND fate = '{Fate.UNDER_WAY.value}'"
        ((count,),) = self._link.query(sql, (repair,))
        return int(count)

    def asked_since(self, repair: int, moment: int) -> tuple[int, int | None]:
        """How many were asked after a moment, and when the first of these was."""
        mark = self._link.mark
        sql = f"SELECT COUNT(*), MIN(asked_at) FROM {MEMBER} WHERE repair = {mark} AND asked_at > {mark}"
        ((count, first),) = self._link.query(sql, (repair, moment))
        return int(count), None if first is None else int(first)

    def ways(self, repair: int) -> list[tuple[str, str | None, str | None, int]]:
        """Of all that are not refused: from which state, to which one and which job, and how many, the most first."""
        mark = self._link.mark
        sql = (
            f"SELECT state, would, job, COUNT(*) FROM {MEMBER} WHERE repair = {mark} AND fate <> {mark} "
            f"GROUP BY state, would, job"
        )
        rows: list[Any] = self._link.query(sql, (repair, Fate.REFUSED.value))
        found = [(str(state), would, job, int(count)) for state, would, job, count in rows]
        return sorted(found, key=lambda way: (-way[3], way[0], way[1] or "", way[2] or ""))
