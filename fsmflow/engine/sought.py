"""What of a search the table of terms can answer, and what is read row by row instead, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.terms import Condition, term_of, terms_in, value_at
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError, SearchStopped, did_you_mean, shown
from fsmflow.store.search import Sought, name_of
from fsmflow.values import dataclass

#: So many entities are read where no index helps.
MOST: Final = 100_000


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a search goes. ``sought``: what the table of terms answers; ``read``: the fields that are compared row by row
    and have to be; ``by``: the field whose order is asked for, from the largest on where ``falls``."""

    machine: str | None
    sought: Sought | None
    read: tuple[str, ...]
    by: str | None
    falls: bool
    declared: frozenset[str]
    ready: frozenset[str]

    @property
    def sorts(self) -> bool:
        """Whether what is found has to be sorted here."""
        return self.by is not None and (self.sought is None or self.sought.by is None)

    def term(self, snapshot: Snapshot) -> str | None:
        """Where an entity stands in the order. Raises DataError where that is nowhere."""
        if self.by is None:
            return None
        found = terms_in(snapshot.data, [self.by]).get(self.by)
        if found is None:
            raise DataError(f"after: {snapshot.address} has no {self.by!r}, and no place in that order")
        return found

    def bounded(self, found: Iterable[Snapshot]) -> Iterator[Snapshot]:
        """These, as long as it may go on. Raises SearchStopped after ``MOST``, where rows are read for want of an
        index."""
        for number, snapshot in enumerate(found):
            if self.read and number >= MOST:
                raise SearchStopped(self._words())
            yield snapshot

    def sorted(self, found: Iterable[Snapshot], after: Snapshot | None) -> Iterator[Snapshot]:
        """These in the order that is asked for; those without a place in it are left out."""
        by = self.by or ""
        placed = ((term_of(value_at(each.data, by)), each.row, each) for each in found)
        ranked = sorted((each for each in placed if each[0] is not None), key=lambda each: (each[0] or "", each[1]))
        last = None if after is None else (self.term(after) or "", after.row)
        for term, row, each in reversed(ranked) if self.falls else ranked:
            place = (term or "", row)
            if last is None or (place < last if self.falls else place > last):
                yield each

    def _words(self) -> str:
        told = ", ".join(map(repr, self.read))
        head = f"the search read {MOST:,} entities and was stopped, as {told} is in no index"
        if self.machine is None:
            return f"{head}; name the machine, and let it declare search = [{told}]"
        if self.declared.issuperset(self.read):
            return f"{head} yet: 'fsmflow init' brings it in, or a worker within minutes"
        return f"{head}; declare search = [{told}] on machine {self.machine!r}, or name a state with fewer entities"


def way_of(runtime: Runtime, machine: str | None, conditions: Sequence[Condition], order: str | None) -> Way:
    """How these are looked for. One query where a machine declares what it is searched by. Raises DataError."""
    by, falls = _order(order)
    definition = None if machine is None else runtime.machines.all().get(machine)
    declared = frozenset(definition.wide.search if definition is not None else ())
    asks = machine is not None and declared and (conditions or by)
    ready = _ready(runtime, machine or "", declared) if asks else frozenset()
    usable = [each for each in conditions if each.name in ready and _has_term(each.value)]
    ranges = [each.name for each in usable if each.operator != "="]
    if by is None and ranges and len(ranges) == len(usable):
        by = ranges[0]
    bounds = tuple((name_of(machine or "", each.name), each.bounds) for each in usable)
    sorts = name_of(machine or "", by) if by in ready and by is not None else None
    sought = Sought(bounds=bounds, by=sorts) if bounds or sorts else None
    if sought is not None and by is not None and sorts is None and not any(bound.among for _, bound in bounds):
        sought = None
    read = tuple(dict.fromkeys(each.name for each in conditions if each not in usable))
    read = read if by is None or sorts is not None else tuple(dict.fromkeys([*read, by]))
    return Way(machine=machine, sought=sought, read=read, by=by, falls=falls, declared=declared, ready=ready)


def remark_of(runtime: Runtime, way: Way) -> str | None:
    """That entities are read one by one, and what to do about it; None where an index answers. No query."""
    unread = [name for name in way.read if name not in way.ready]
    if not unread:
        return None
    told = ", ".join(map(repr, unread))
    head = f"{told} {'is' if len(unread) == 1 else 'are'} in no index"
    if way.machine is None:
        own = runtime.machines.of_user().values()
        having = [one.name for one in own if set(unread).issubset(one.wide.search)]
        where = f"name {having[0]}, which looks it up" if having else f"name one that declares search = [{told}]"
        return f"no machine is named, so entities are read one by one for {told}, {MOST:,} at most; {where}"
    if way.declared.issuperset(unread):
        return f"{head} yet, and entities are read one by one: 'fsmflow init' brings it in, or a worker within minutes"
    head = f"{head}, and entities are read one by one, {MOST:,} at most"
    if is_built_in(way.machine):
        return head
    if not way.declared:
        return f"{head}; give machine {way.machine!r} search = [{told}]"
    hint = next(filter(None, (did_you_mean(name, way.declared) for name in unread)), "")
    declared = ", ".join(map(repr, sorted(way.declared)))
    return f"{head}; add it to search = [{declared}] of machine {way.machine!r}{hint}"


def _order(order: Any) -> tuple[str | None, bool]:
    if order is None:
        return None, False
    if not isinstance(order, str) or not order.removeprefix("-"):
        raise DataError(f"order is {shown(order)}; it is a field of the data, or '-amount' for the largest first")
    return order.removeprefix("-"), order.startswith("-")


def _ready(runtime: Runtime, machine: str, declared: frozenset[str]) -> frozenset[str]:
    progress = runtime.store.search.progress().get(machine, {})
    return frozenset(name for name in declared if name in progress and progress[name] is None)


def _has_term(value: Any) -> bool:
    return term_of(value) is not None
