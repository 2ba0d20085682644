"""Finds parents by what the data of their children hold: the order of a parcel, by its tracking number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.terms import Condition
from fsmflow.definition.model import Definition
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.sought import way_of
from fsmflow.errors import DataError, SearchStopped, UnknownMachine, did_you_mean, shown
from fsmflow.store.listing import Filter
from fsmflow.values import replace

#: So many parents are found at most.
MOST: Final = 100_000


def parents_of(runtime: Runtime, machine: str | None, wanted: Sequence[Condition]) -> tuple[int, ...]:
    """The rows of those that have a child for which all that is said of its machine is true, whatever has become of it.

    ``wanted``: comparisons of ``shipment.tracking``, which is field ``tracking`` of children of machine ``shipment``. A
    search by declared fields goes by index. Raises UnknownMachine, DataError and SearchStopped.
    """
    rows: set[int] | None = None
    for child, conditions in by_machine(runtime, machine, wanted).items():
        way = way_of(runtime, child, conditions, None)
        children = Filter(machine=child, only_branches=True, sought=way.sought)
        found: set[int] = set()
        for each in way.bounded(runtime.store.listing.find(children)):
            if each.parent is not None and _fits(each, conditions):
                found.add(each.parent)
            if len(found) > MOST:
                raise SearchStopped(f"more than {MOST:,} entities have such a child of machine {child!r}; ask for less")
        rows = found if rows is None else rows & found
    return tuple(sorted(rows or ()))


def _fits(child: Snapshot, conditions: Iterable[Condition]) -> bool:
    data = child.data
    return all(each.holds(data) for each in conditions)


def by_machine(runtime: Runtime, machine: str | None, wanted: Iterable[Condition]) -> dict[str, list[Condition]]:
    """What is said of the children of each machine, by their own fields. Raises UnknownMachine, DataError."""
    known = runtime.machines.all()
    sorted_out: dict[str, list[Condition]] = {}
    for each in wanted:
        child, _, field = each.name.partition(".")
        if not field:
            raise DataError(f"child: {shown(each.name)} names no field; it is a machine and a field, shipment.tracking")
        if child not in known:
            raise UnknownMachine(child, runtime.machines.of_user())
        parents = known.values() if machine is None else [known[machine]] if machine in known else None
        made = None if parents is None else {name for each in parents for name in _children_of(each)}
        if made is not None and child not in made:
            raise DataError(_makes_none(machine, child, made))
        sorted_out.setdefault(child, []).append(replace(each, name=field))
    return sorted_out


def _makes_none(machine: str | None, child: str, made: set[str]) -> str:
    hint, kinds = did_you_mean(child, made), ", ".join(sorted(made))
    if machine is None:
        told = f"children are of {kinds}" if made else "none has any"
        return f"no machine makes a {child!r} as a child{hint}; {told}"
    told = f"its children are of {kinds}" if made else "it has no children"
    return f"machine {machine!r} makes no {child!r}{hint}; {told}"


def _children_of(definition: Definition) -> set[str]:
    """The machines of its children."""
    fans = [spec.fan for spec in definition.states.values() if spec.fan is not None]
    return {name for fan in fans for name in (fan.machine, *(branch.machine for branch in fan.named)) if name}
