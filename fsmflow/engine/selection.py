"""Which entities are meant: by machine, state, phase, error, age and data. For ``find``, and for acting on many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Final

from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.decision.terms import Bounds, Condition
from fsmflow.decision.versions import as_shown
from fsmflow.definition.model import Definition
from fsmflow.definition.names import PHASES
from fsmflow.engine.children import parents_of
from fsmflow.engine.groups import ledger_of
from fsmflow.engine.overdue import overdue_from
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.sought import Way, way_of
from fsmflow.engine.teams import owns, reach_of
from fsmflow.errors import DataError, FsmflowError, UnknownMachine, UnknownState, did_you_mean, shown
from fsmflow.store.listing import Filter
from fsmflow.store.reach import Reach
from fsmflow.store.search import Sought
from fsmflow.values import dataclass, replace

_MAX_GLOB: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which entities are meant; what is not given does not narrow them. ``states`` and ``error`` are globs.

    ``error`` has to match the error type or ``error_type: message`` of the failure. ``older_ms``: in the state for
    at least that long. ``data``: fields and the values that they have to have; ``a.b`` is field ``b`` of field ``a``.
    ``where``: comparisons of them.
    ``waiting``: their job waits out an interval, after a failure or as it asked for more time; ``held``: it did until
    a pause came. ``branches``: branches and children too. ``branch``: those alone, whose name this glob matches.
    ``group``: they rest in the failure group of this id, or whose id begins so; branches and children too.
    ``overdue``: in their state for longer than its ``expect`` says. ``children``: they have a child for which this is
    true; ``shipment.tracking`` is field ``tracking`` of children of machine ``shipment``.
    """

    machine: str | None = None
    states: tuple[str, ...] | None = None
    phase: str | None = None
    error: str | None = None
    older_ms: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    where: tuple[Condition, ...] = ()
    children: tuple[Condition, ...] = ()
    waiting: bool = False
    held: bool = False
    branches: bool = False
    branch: str | None = None
    stuck: bool = False
    group: str | None = None
    overdue: bool = False

    def __post_init__(self) -> None:
        """Raises DataError for a glob that is too long: to read one takes time by the square of its length."""
        for glob in (*(self.states or ()), self.error or "", self.branch or ""):
            if isinstance(glob, str) and len(glob) > _MAX_GLOB:
                raise DataError(f"{shown(glob)} has {len(glob):,} characters; a pattern has {_MAX_GLOB} at most")

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What the data have to be, in all."""
        return (*(Condition(name=name, operator="=", value=value) for name, value in self.data.items()), *self.where)

    @property
    def narrows(self) -> bool:
        """Whether anything but ``branches`` is given."""
        given = (
            self.machine,
            self.states,
            self.phase,
            self.error,
            self.older_ms,
            self.conditions or None,
            self.children or None,
            self.branch,
            self.stuck or None,
            self.overdue or None,
            self.group,
        )
        return self.waiting or any(value is not None for value in given)


def select(
    runtime: Runtime,
    selection: Selection,
    *,
    limit: int | None = None,
    newest: bool = False,
    after: int | Snapshot | None = None,
    order: str | None = None,
    definition: Definition | None = None,
    actor: Actor | None = None,
) -> Iterator[Snapshot]:
    """The entities of a selection, the oldest first (or the newest), read in pages; ``after``: those of later rows, or
    that follow on an entity. ``actor``: those that are there for whoever that is.

    ``order``: by a field of the data, from the largest on with a ``-`` before it. Fields that the machine declares by
    ``search`` are looked for by index. Error and other data are compared here, row by row; the rest is left to the
    database. ``definition``: that of the machine, where the caller has it. Raises UnknownMachine, UnknownState, for a
    state that no machine has FsmflowError, SearchStopped, and DataError where an actor asks for what is redacted.
    """
    way, rows = _way(runtime, selection, order, actor)
    reach = reach_of(runtime, actor)
    wanted = replace(filter_of(runtime, selection, definition, way.sought, reach), rows=rows)
    every = {item.name: item for item in _definitions(runtime, selection, definition)}
    compared = selection.error is not None or bool(selection.conditions) or selection.branch is not None
    narrowed = compared or way.sorts or _is_ambiguous(selection, every.values())
    last = after if isinstance(after, Snapshot) else None
    stored = runtime.store.listing.find(
        wanted,
        limit=None if narrowed else limit,
        newest=way.falls or newest,
        after=None if way.sorts else after.row if isinstance(after, Snapshot) else after,
        after_term=None if way.sorts or last is None else way.term(last),
    )
    found = (as_shown(every[each.machine], each) if each.machine in every else each for each in way.bounded(stored))
    if reach is not None:
        found = (each for each in found if owns(runtime, reach, each) is not False)  # as old code writes no terms
    if not narrowed:
        return found
    fitting = (snapshot for snapshot in found if fits(selection, snapshot))
    return islice(way.sorted(fitting, last) if way.sorts else fitting, limit)


def check_shown(runtime: Runtime, selection: Selection, order: str | None = None) -> None:
    """Raises DataError for a selection by what a machine redacts: whoever sees what is found would know the value."""
    asked = [(selection.machine, each.name) for each in selection.conditions]
    asked += [(selection.machine, order.removeprefix("-"))] if order else []
    asked += [(machine, name) for machine, _, name in (each.name.partition(".") for each in selection.children)]
    for machine, name in asked:
        for one in (runtime.machines.of_user() if machine is None else runtime.machines.all()).values():
            if machine in (None, one.name) and not one.wide.redact.isdisjoint(name.split(".")):
                other = "; name another machine" if machine is None else ""
                raise DataError(f"{name!r} is redacted in machine {one.name!r}, and nothing is found by it{other}")


def _way(
    runtime: Runtime, selection: Selection, order: str | None, actor: Actor | None
) -> tuple[Way, tuple[int, ...] | None]:
    """How it is looked for; and among which rows, where it goes by children."""
    if actor is not None:
        check_shown(runtime, selection, order)
    way = way_of(runtime, selection.machine, selection.conditions, order)
    if not selection.children:
        return way, None
    return replace(way, sought=None, read=()), parents_of(runtime, selection.machine, selection.children)


def filter_of(
    runtime: Runtime,
    selection: Selection,
    definition: Definition | None = None,
    sought: Sought | None = None,
    reach: Reach | None = None,
) -> Filter:
    """What the database is asked for. Raises as ``select`` does."""
    if definition is None:
        check_machine(runtime, selection.machine)
    every = _definitions(runtime, selection, definition)
    return Filter(
        machine=selection.machine,
        states=_matching_states(runtime, selection, definition),
        phase=selection.phase,
        failed=selection.group is not None,
        failing=selection.error is not None,
        stuck=selection.stuck,
        overdue=overdue_from(every, runtime.now()) if selection.overdue else None,
        entered_by=None if selection.older_ms is None else runtime.now() - selection.older_ms,
        waiting=selection.waiting,
        held=selection.held,
        fingerprints=None if selection.group is None else ledger_of(runtime, selection.group, reach).fingerprints,
        branches=selection.branches or selection.group is not None,
        only_branches=selection.branch is not None,
        sought=sought if sought is None or reach is None else _in_teams(sought, reach, selection),
        reach=reach,
    )


def _in_teams(sought: Sought, reach: Reach, selection: Selection) -> Sought:
    """The same of these teams, which may have so few that they are the best way to find it."""
    name = reach.names.get(selection.machine or "")
    if name is None or selection.branches or selection.branch is not None:
        return sought
    return replace(sought, bounds=(*sought.bounds, (name, Bounds(among=reach.sorted_terms))))


def check_machine(runtime: Runtime, machine: str | None) -> None:
    """Raises UnknownMachine for a machine that neither the code nor the database knows."""
    if machine is None or machine in runtime.machines.all():
        return
    if not any(True for _ in runtime.store.listing.find(Filter(machine=machine, branches=True), limit=1)):
        raise UnknownMachine(machine, runtime.machines.of_user())


def fits(selection: Selection, snapshot: Snapshot) -> bool:
    """Whether an entity has the state, the name, the error and the data that are asked for."""
    if selection.states is not None and not any(fnmatchcase(snapshot.state, glob) for glob in selection.states):
        return False
    if selection.branch is not None and not fnmatchcase(snapshot.part or "", selection.branch):
        return False
    if selection.error is not None and not _fails_like(snapshot.failure, selection.error):
        return False
    if not selection.conditions:
        return True
    data = snapshot.data
    return all(each.holds(data) for each in selection.conditions)


def error_text(failure: Failure) -> str:
    """A failure as error globs see it."""
    return f"{failure.error_type}: {failure.message}"


def _fails_like(failure: Failure | None, pattern: str) -> bool:
    if failure is None:
        return False
    return fnmatchcase(failure.error_type, pattern) or fnmatchcase(error_text(failure), pattern)


def _matching_states(runtime: Runtime, selection: Selection, definition: Definition | None) -> Sequence[str] | None:
    """The states that the globs name, those in which entities stand that the code lacks included."""
    machine, patterns = selection.machine, selection.states
    if patterns is None:
        return None
    every = _definitions(runtime, selection, definition)
    renamed = {(item.name, old): new for item in every for old, new in item.wide.renamed.items()}
    branches = selection.branches or selection.branch is not None or selection.group is not None
    known = {state for item in every for state in _states_of(item, branches=branches)}
    if not known.issuperset(patterns):
        known.update(
            state
            for name, state in runtime.store.listing.places(machine, branches=branches)
            if (name, state) not in renamed
        )
    for pattern in patterns:
        if not any(fnmatchcase(state, pattern) for state in known):
            now = next((new for (_, old), new in renamed.items() if old == pattern), None)
            phase = (
                f"; {pattern!r} is a phase: say phase={pattern!r}, or --phase {pattern}" if pattern in PHASES else ""
            )
            if machine is not None:
                raise UnknownState(machine, pattern, known, now=now, hint=phase)
            hint = f"; it was renamed and is {now!r} now" if now else phase or did_you_mean(pattern, known)
            raise FsmflowError(f"no machine has a state {pattern!r}{hint}")
    wanted = {state for state in known if any(fnmatchcase(state, pattern) for pattern in patterns)}
    return sorted(wanted.union(old for (_, old), new in renamed.items() if new in wanted))


def _definitions(runtime: Runtime, selection: Selection, definition: Definition | None) -> Sequence[Definition]:
    every = [definition] if definition is not None else runtime.machines.all().values()
    return [item for item in every if selection.machine in (None, item.name)]


def _is_ambiguous(selection: Selection, every: Iterable[Definition]) -> bool:
    """Whether one machine's former name of a state may be another's name of today."""
    return selection.states is not None and selection.machine is None and any(item.wide.renamed for item in every)


def _states_of(definition: Definition, *, branches: bool) -> Iterable[str]:
    yield from definition.states
    for own in definition.branches.values() if branches else ():
        yield from own.states
