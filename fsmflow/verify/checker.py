"""Reads a whole database, page by page, and says whether every invariant holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from fsmflow.clock import Clock
from fsmflow.definition.model import Definition
from fsmflow.store.link import Link
from fsmflow.store.reader import Reader
from fsmflow.verify.branches import check_branch, check_parent, check_tallies
from fsmflow.verify.entity import Found, Moment, check_group, check_parked, check_standing
from fsmflow.verify.events import check_events
from fsmflow.verify.feeds import check_feeds
from fsmflow.verify.history import Fold
from fsmflow.verify.law import Laws
from fsmflow.verify.permits import check_permits
from fsmflow.verify.report import Findings, Report
from fsmflow.verify.rows import Event, Pruned, Rows, Span, Work
from fsmflow.verify.status import Statuses
from fsmflow.verify.terms import check_terms
from fsmflow.verify.texts import check_texts

#: Three times as long as it takes until others take over from a host that is gone.
PATIENCE_S: Final = 60.0


class Stored(Protocol):
    """A store, as far as it is needed here."""

    @property
    def link(self) -> Link: ...

    @property
    def clock(self) -> Clock: ...


def verify(
    store_or_link: Stored | Link,
    definitions: Mapping[str, Definition] | None = None,
    *,
    now: int | None = None,
    patience_s: float = PATIENCE_S,
    machines: Iterable[str] | None = None,
    strict: bool = False,
) -> Report:
    """Check all entities, or those of ``machines``, with their history, work, branches and events.

    Each page of 200 entities is read in one transaction that only reads, so a system at work gives no false alarm, and
    memory does not grow with the database. ``definitions``, by name, tell what is legal; without that of a machine, its
    entities are checked for all else. ``now`` is the moment to go by, in UTC milliseconds, that of the store's or the
    database's clock if not given; what has been due for longer than ``patience_s`` counts as left lying, so the value
    has to be larger than the longest outage that is to be forgiven. ``strict``: the machines have never changed, so a
    history that those of today would not write is a violation too, not only a note.

    Raises ConfigurationError inside an open transaction, and DatabaseUnavailable.
    """
    link = store_or_link if isinstance(store_or_link, Link) else store_or_link.link
    reader = Reader(link)
    if now is None:
        now = reader.now() if isinstance(store_or_link, Link) else store_or_link.clock.now()
    checker = _Checker(reader, Laws(definitions or {}), Moment(now, now - round(patience_s * 1000)), strict)
    for machine in [None] if machines is None else list(machines):
        checker.check(machine)
    return checker.findings.report()


class _Checker:
    """One run."""

    def __init__(self, reader: Reader, laws: Laws, at: Moment, strict: bool) -> None:
        self._reader = reader
        self._laws = laws
        self._at = at
        self.findings = Findings(strict=strict)
        self._statuses = Statuses(reader, laws.definitions, self.findings)
        for what in ("entities", "history_rows", "work_rows", "event_rows"):
            self.findings.checked[what] = 0

    def check(self, machine: str | None) -> None:
        """Check a machine, or all."""
        rows = Rows(self._reader, machine)
        self._statuses.look(machine)
        with self._reader.moment():
            gone = sum(found.entities for name, found in rows.pruned().items() if machine in (None, name))
            for repair in rows.repairs_that_are_gone() if machine is None else ():
                self._ownerless(repair, "members of a repair")
            if machine is None:
                check_feeds(self._reader, self.findings)
                check_permits(self._reader, self.findings)
        if gone:
            self.findings.checked["entities_pruned"] += gone
        span: Span | None = None
        while span is None or not span.is_last:
            with self._reader.moment():
                span = rows.page(span)
                self._check_page(rows, span)

    def _check_page(self, rows: Rows, span: Span) -> None:
        pruned = rows.pruned()
        found = self._found(rows, span, pruned)
        events = self._events(rows, span, found)
        above, holds = rows.parents(span), rows.holds()
        entities = {entity.id: entity for entity in span.entities}
        grouped = rows.known_failures(span)
        searched, terms = rows.searched(), rows.terms(span)
        for row, item in found.items():
            item.fold.finish()
            check_texts(item.entity, self.findings)
            check_terms(item.entity, searched.get(item.entity.machine, {}), terms.get(row, {}), self.findings)
            check_standing(item, self._at, self.findings)
            check_group(item.entity, grouped, self.findings)
            check_parked(item, holds, self.findings)
            check_branch(item, above, self._at, self.findings)
            check_parent(item, rows, self._at, self.findings)
            check_events(item, events.get(row, ()), self._at, self.findings)
        self._statuses.check(span.entities)
        check_tallies(entities, rows.tallies(span), self.findings)
        self.findings.checked["entities"] += len(found)

    def _found(self, rows: Rows, span: Span, pruned: Mapping[str, Pruned]) -> dict[int, Found]:
        """The entities of a page by row, each with its work and its folded history."""
        work = self._work(rows, span)
        found = {}
        for entity in span.entities:
            law = self._laws.of(entity)
            known = pruned.get(entity.machine)
            fold = Fold(entity, law, self.findings, known.keys_until if known is not None else 0)
            found[entity.id] = Found(entity, work.get(entity.id), law, fold)
        missing: dict[int, int] = {}
        for entry in rows.history(span):
            self.findings.checked["history_rows"] += 1
            item = found.get(entry.entity)
            if item is None:
                missing[entry.entity] = missing.get(entry.entity, 0) + 1
            else:
                item.fold.feed(entry)
        for row, count in missing.items():
            self._ownerless(row, f"{count} history rows")
        return found

    def _work(self, rows: Rows, span: Span) -> dict[int, Work]:
        there = {entity.id for entity in span.entities}
        work = rows.work(span)
        self.findings.checked["work_rows"] += len(work)
        for item in work:
            if item.entity not in there:
                self._ownerless(item.entity, f"a work row ({item.kind})")
        return {item.entity: item for item in work}

    def _events(self, rows: Rows, span: Span, found: dict[int, Found]) -> dict[int, list[Event]]:
        events: dict[int, list[Event]] = {}
        for event in rows.events(span):
            self.findings.checked["event_rows"] += 1
            if event.entity in found:
                events.setdefault(event.entity, []).append(event)
            else:
                self._ownerless(event.entity, f"event row {event.id} ({event.kind})")
        return events

    def _ownerless(self, row: int, what: str) -> None:
        self.findings.add("ownerless-rows", f"row {row}", f"there is {what} of an entity that does not exist")
