"""Takes away what the rows of an entity hold of people; what happened to it, and when, stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from fsmflow.decision.commit import EventKind
from fsmflow.decision.entity import Failure
from fsmflow.decision.history import HistoryKind
from fsmflow.definition.names import WORKING
from fsmflow.store.link import Link
from fsmflow.store.retention import LEFT, pages
from fsmflow.store.tables import ARRIVAL, ENTITY, EVENT, FAILURE, HISTORY, MEMBER, WORK

#: Who acted is called so, by the order in which they did: two stay two.
_SOMEBODY: Final = "actor-{}"
#: The rows of repairs, which say of each member why it was refused, or has failed again.
_REPAIRS: Final = f"SELECT id FROM {ENTITY} WHERE machine = 'repair' AND parent IS NULL"


class Sample(NamedTuple):
    """What a failure group has of one entity."""

    address: str
    message: str
    traceback: str


class Erasure:
    """Reads and writes of what is erased, a page of rows at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._entity = link.quoted("entity")

    def below(self, row: int) -> list[int]:
        """All branches and children of an entity, at all levels; each after its parent. A query for each level and each
        thousand of them."""
        found: list[int] = []
        level = [row]
        while level:
            level = [int(child) for (child,) in self._among(f"SELECT id FROM {ENTITY} WHERE parent", level)]
            found += level
        return found

    def busy(self, row: int) -> int | None:
        """An entity that works, or of which an event or a message is still under way: this one, or anything below it at
        all levels. One query, which reads no further than the first."""
        left = ", ".join(map(repr, (*LEFT, EventKind.ASKED.value)))
        waits = f"SELECT 1 FROM {EVENT} v WHERE v.{self._entity} = tree.id AND v.kind NOT IN ({left})"
        sql = (
            f"WITH RECURSIVE tree (id, phase) AS (SELECT id, phase FROM {ENTITY} WHERE id = {self._link.mark} "
            f"UNION ALL SELECT c.id, c.phase FROM {ENTITY} c JOIN tree t ON c.parent = t.id) "
            f"SELECT id FROM tree WHERE phase = '{WORKING}' OR EXISTS ({waits}) LIMIT 1"
        )
        return next((int(found) for (found,) in self._link.query(sql, (row,))), None)

    def _among(self, sql: str, some: Sequence[Any], *params: Any) -> Iterator[Any]:
        for page in pages(some):
            among, values = self._link.dialect.among(page)
            yield from self._link.query(f"{sql} {among}", (*params, *values))

    def wipe(self, row: int, address: str, spared: Sequence[int] = ()) -> None:
        """Inside the transaction that commits the erasure of an entity, before its line is written. ``spared``: the
        rows of ``event`` that it uses up itself; what else one of two people has asked for has to be asked anew."""
        names = self._wipe_history(row, address)
        entity, mark = self._entity, self._link.mark
        lost, asked, returned = EventKind.LOST.value, EventKind.ASKED.value, EventKind.RETURNED.value
        but = f"AND id NOT IN ({', '.join(map(str, spared))})" if spared else ""
        for sql in (
            f"UPDATE {ENTITY} SET item = NULL WHERE id = {mark}",
            f"UPDATE {MEMBER} SET why = NULL WHERE repair IN ({_REPAIRS}) AND entity = {mark}",
            f"UPDATE {WORK} SET why = NULL WHERE {entity} = {mark}",
            f"DELETE FROM {EVENT} WHERE {entity} = {mark} AND kind IN ('{lost}', '{asked}') {but}",
            f"UPDATE {EVENT} SET why = NULL WHERE {entity} = {mark}",
            f"UPDATE {EVENT} SET payload = NULL WHERE {entity} = {mark} AND kind = '{returned}'",
        ):
            self._link.execute(sql, (row,))
        self._link.execute(f"DELETE FROM {ARRIVAL} WHERE address = {mark}", (address,))
        rows = self._link.rows(f"SELECT id, actor FROM {EVENT} WHERE {entity} = {mark} AND actor IS NOT NULL", (row,))
        for id_, actor in rows:
            sql = f"UPDATE {EVENT} SET actor = {mark} WHERE id = {mark}"
            self._link.execute(sql, (names.setdefault(actor, _SOMEBODY.format(len(names) + 1)), id_))

    def _wipe_history(self, row: int, address: str) -> dict[str, str]:
        """What who acted is called from now on. Lines that tell of an erasure stay as they are."""
        entity, mark = self._entity, self._link.mark
        mine = f"{entity} = {mark} AND kind <> '{HistoryKind.ERASED.value}'"
        sql = f"UPDATE {HISTORY} SET payload = NULL, reason = NULL, edit = NULL WHERE {mine}"
        self._link.execute(sql, (row,))
        told = f"SELECT seq, actor, failure FROM {HISTORY} WHERE {mine} AND (actor IS NOT NULL OR failure IS NOT NULL)"
        names: dict[str, str] = {}
        for seq, actor, text in self._link.rows(f"{told} ORDER BY seq", (row,)):
            called = None if actor is None else names.setdefault(actor, _SOMEBODY.format(len(names) + 1))
            failure = None if text is None else Failure.from_text(text).erased()
            sql = f"UPDATE {HISTORY} SET actor = {mark}, failure = {mark} WHERE {entity} = {mark} AND seq = {mark}"
            self._link.execute(sql, (called, None if failure is None else failure.to_text(), row, seq))
            if failure is not None:
                self._wipe_sample(failure.fingerprint, address, Sample(address, failure.message, failure.traceback))
        return names

    def _wipe_sample(self, fingerprint: str, address: str, sample: Sample) -> None:
        """Put something else in the place of what a failure group has of an entity, if that is its sample."""
        mark = self._link.mark
        sql = (
            f"UPDATE {FAILURE} SET sample = {mark}, message = {mark}, traceback = {mark} "
            f"WHERE fingerprint = {mark} AND sample = {mark}"
        )
        self._link.execute(sql, (*sample, fingerprint, address))

    def renew_samples(self) -> None:
        """Where the sample of a failure group is gone, take one that rests in the same failure; without any, its texts
        go too. A query for each 1,000 groups of a machine, and two statements for each whose sample is gone."""
        rows = self._link.query(f"SELECT machine, state, fingerprint, sample FROM {FAILURE} WHERE sample <> ''")
        ids: dict[str, list[str]] = {}
        for machine, _, _, sample in rows:
            ids.setdefault(machine, []).append(sample.partition(":")[2])
        where = f"SELECT entity_id FROM {ENTITY} WHERE machine = {self._link.mark} AND entity_id"
        there = {f"{machine}:{id_}" for machine, some in ids.items() for (id_,) in self._among(where, some, machine)}
        for machine, state, fingerprint, sample in rows:
            if sample not in there:
                other = self._sample(machine, state, fingerprint)
                self._link.write(lambda given=(fingerprint, sample, other): self._wipe_sample(*given))  # type: ignore[misc]

    def _sample(self, machine: str, state: str, fingerprint: str) -> Sample:
        mark = self._link.mark
        rows = self._link.query(
            f"SELECT entity_id, failure FROM {ENTITY} WHERE machine = {mark} AND state = {mark} "
            f"AND fingerprint = {mark} AND failure IS NOT NULL ORDER BY id DESC LIMIT 1",
            (machine, state, fingerprint),
        )
        for entity_id, text in rows:
            failure = Failure.from_text(text)
            return Sample(f"{machine}:{entity_id}", failure.message, failure.traceback)
        return Sample("", "(its sample was deleted)", "")
