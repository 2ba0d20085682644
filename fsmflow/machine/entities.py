"""Starting entities, and finding them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from enum import Enum
from itertools import islice
from typing import Any, Final, Self, TypeVar, cast, overload
from uuid import UUID

from fsmflow import clock, shapes
from fsmflow.decision import asker
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.inputs import Actor, as_actor, checked_id, checked_text
from fsmflow.decision.terms import Condition, condition
from fsmflow.definition.model import Definition
from fsmflow.definition.names import PHASES
from fsmflow.definition.retry import is_duration
from fsmflow.engine import lookup, requests, start
from fsmflow.engine.handle import HandleView
from fsmflow.engine.headcount import headcounts
from fsmflow.engine.runtime import current, joining
from fsmflow.engine.selection import Selection, select
from fsmflow.engine.start import Birth, start_page
from fsmflow.errors import DataError, EntityExists, did_you_mean, shown
from fsmflow.ids import uuid7
from fsmflow.machine.base import Base, Data, Fields, as_dict, state_name
from fsmflow.store.indexes import ROOT, SCOPES

#: In the place of an id that is to be made. None is no such: it is the id of a row that was not saved yet.
MADE: Final[Any] = object()
Found = TypeVar("Found", bound="Entities[Any]")
#: Field, comparison and value.
_TRIPLE: Final = 3


class Entities(Base[Data]):
    """The class methods of a machine."""

    @overload
    @classmethod
    def start(
        cls,
        entity_id: str | int | UUID,
        data: Fields | None = None,
        /,
        *,
        state: str | Enum | None = None,
        if_exists: str = "raise",
        actor: Actor | str | None = None,
        key: str | None = None,
        within: Any = None,
        **fields: Any,
    ) -> Self: ...

    @overload
    @classmethod
    def start(
        cls,
        data: Fields = ...,
        /,
        *,
        state: str | Enum | None = None,
        actor: Actor | str | None = None,
        within: Any = None,
        **fields: Any,
    ) -> Self: ...

    @classmethod
    def start(
        cls,
        entity_id: Any = MADE,
        data: Fields | None = None,
        /,
        *,
        state: str | Enum | None = None,
        if_exists: str = "raise",
        actor: Actor | str | None = None,
        key: str | None = None,
        within: Any = None,
        **fields: Any,
    ) -> Self:
        """Start an entity in the initial state; its job, if any, is queued.

        Once this returns, the entity is durable, and its job will run even if Redis is down now. ``data`` and
        ``fields`` together are its data. ``state`` adopts an entity in mid-life: no job is run, until ``resume``.
        ``within`` a transaction of yours, that of a Session or Connection of SQLAlchemy, it is part of that.

        Without an id one is made, which sorts by time. Each such call starts another entity. Give an id wherever the
        call may be repeated, as after an error, in a job or for a request: of two calls with one id one starts it.

        Raises EntityExists, unless ``if_exists="return"`` or the entity was started with the same ``key`` before;
        DataError for an id or data that cannot be stored; UnknownState; NestedAction in guards and callbacks.
        """
        definition = cls._compiled()
        _check_if_exists(if_exists)
        if data is None and _is_data(entity_id):
            entity_id, data = MADE, entity_id
        is_made = entity_id is MADE
        asker.permit(asker.START, definition.name if is_made else f"{definition.name}:{entity_id}")
        if is_made:
            _check_unnamed(definition, fields, if_exists=if_exists, key=key)
            entity_id = uuid7(current().now())
        birth = _birth(entity_id, {**as_dict(data), **fields}, state=state, actor=actor, key=key)
        with joining(within):
            return cls._handle(start.start(current(), definition, birth, if_exists=if_exists))

    @classmethod
    def start_or_trigger(
        cls,
        entity_id: str | int | UUID,
        trigger: str,
        payload: Fields | None = None,
        /,
        *,
        data: Fields | None = None,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> Self:
        """Fire a trigger on an entity; where it is not there yet, start it with ``data``, in the same commit.

        ``payload`` and ``fields`` are as for ``trigger``. Of two that do so at once, one starts it and both fire.
        Raises what ``start`` and ``trigger`` raise.
        """
        checked = checked_id(entity_id)
        given = {**as_dict(payload, "payload"), **fields}
        first = Triggered(trigger=trigger, payload=given, actor=as_actor(actor), reason=reason, key=key)
        definition, runtime = cls._compiled(), current()
        asker.permit(trigger, f"{definition.name}:{checked}")
        if runtime.store.entities.load_existing(definition.name, checked) is None:
            birth = Birth(entity_id=checked, data=as_dict(data), actor=first.actor, first=first)
            try:
                return cls._handle(start.start(runtime, definition, birth))
            except EntityExists:
                pass  # somebody else has just started it
        snapshot, _ = requests.trigger(runtime, definition, checked, first)
        return cls._handle(snapshot)

    @classmethod
    def start_many(
        cls,
        entities: Iterable[tuple[str | int | UUID, Fields | None]],
        *,
        state: str | Enum | None = None,
        if_exists: str = "raise",
        actor: Actor | str | None = None,
        page: int = 1_000,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Start many entities, given as (id, data); how many were started.

        In pages of ``page``, each one transaction of a few statements: an error leaves the pages before it started, and
        nothing of its own page; starting them all again with ``if_exists="return"`` starts the rest. ``progress`` is
        called after each page with the number started so far. Raises EntityExists, DataError, UnknownState.
        """
        _check_if_exists(if_exists)
        if isinstance(page, bool) or not isinstance(page, int) or page < 1:
            raise DataError(f"page is {shown(page)}; it is a whole number from 1: so many entities at once")
        definition = cls._compiled()
        asker.permit("start_many", definition.name)
        pairs = map(_pair, entities)
        births = (_birth(id_, as_dict(data), state=state, actor=actor, key=None) for id_, data in pairs)
        started = 0
        while births_of_page := list(islice(births, page)):
            started += start_page(current(), definition, births_of_page, skip=if_exists == "return")
            if progress is not None:
                progress(started)
        return started

    @classmethod
    def get(cls, entity_id: str | int | UUID, *, actor: Actor | str | None = None) -> Self:
        """A handle on an entity, by its id or its address.

        A branch or child of one is found by its address, and a child has a handle of its own machine:
        ``Order.get("shipment:order:1/packing/3")`` is a ``Shipment``. Raises EntityNotFound, also for the address of
        what belongs to another machine, and for what belongs to a team that the ``actor`` is not in.
        """
        found = lookup.find(current(), cls._compiled(), checked_id(entity_id, generated=True), as_actor(actor))
        return cast(type[Self], found.root.owner)._handle_of(found)  # noqa: SLF001 - a machine too

    @classmethod
    def find(
        cls,
        *,
        state: str | Enum | Collection[str | Enum] | None = None,
        phase: str | None = None,
        error: str | None = None,
        older: float | timedelta | None = None,
        data: Mapping[str, Any] | None = None,
        where: Iterable[tuple[str, str, Any]] = (),
        child: Mapping[str, Any] | Iterable[tuple[str, str, Any]] = (),
        order: str | None = None,
        after: Base[Any] | str | int | UUID | None = None,
        waiting: bool = False,
        branches: bool = False,
        branch: str | None = None,
        stuck: bool = False,
        group: str | None = None,
        overdue: bool = False,
        newest: bool = False,
        limit: int | None = None,
        actor: Actor | str | None = None,
    ) -> Iterator[Self]:
        """The entities of this machine that all of this is true of, the oldest first, read in pages.

        ``state``: a state or several, or globs. ``error``: a glob for the type, or for ``type: message``, of their
        failure. ``older``: in their state for so many seconds, or a timedelta; the longest come first. ``data``: values
        of fields; ``"customer.city"`` is a field of a field. ``where``: comparisons, ``[("amount", ">=", 1000)]``.
        ``child``: either of these of a child, ``{"shipment.tracking": "T7"}``. ``order``: by a field; ``"-amount"``
        falls. ``after``: those that follow on an entity, or its id. ``waiting``: their job waits out an interval.
        ``branches``: branches and children too; ``branch``: those alone, of this name or glob. ``stuck``: something of
        them cannot go on. ``group``: they rest in this failure group, branches too. ``overdue``: in their state for
        longer than its ``expect`` says, the longest first. ``newest`` first. ``actor``: those that are there for
        whoever that is. Raises UnknownState, UnknownMachine, DataError, SearchStopped.
        """
        flags = {"waiting": waiting, "branches": branches, "stuck": stuck, "overdue": overdue}
        _check_search(phase=phase, older=older, limit=limit, error=error, branch=branch, newest=newest, **flags)
        asked: dict[str, Any] = {"phase": phase, "error": error, "group": group, "branch": branch, **flags}
        asked |= {"data": as_dict(data), "where": conditions_of(where), "children": _of_children(child)}
        asked |= {"states": _globs(state), "older_ms": None if older is None else clock.to_ms(older)}
        return _found(cls, asked, after, limit=limit, newest=newest, order=order, actor=as_actor(actor))

    @classmethod
    def counts(cls, *, branches: bool = False, exact: bool = False, actor: Actor | str | None = None) -> dict[str, int]:
        """How many entities stand in each state; states without any are left out, and so are branches and children,
        unless asked for. ``actor``: of those that are there for whoever that is, all of which are counted now.

        Up to 10,000 in a state are counted now. Of a state with more it is what maintenance has counted last, mostly
        less than a minute ago; where no worker has run for ten minutes, these are counted now too. ``exact``: all are,
        which takes as long as there are entities.
        """
        _check_flags(branches=branches, exact=exact)
        scopes = SCOPES if branches else (ROOT,)
        found = headcounts(current(), cls._compiled().name, scopes=scopes, exact=exact, actor=as_actor(actor))
        return {each.state: each.count for each in found}


def _is_data(first: Any) -> bool:
    """Whether the data stand in the place of the id."""
    if isinstance(first, (str, int, UUID)) or first is MADE or first is None:
        return False
    return isinstance(first, Mapping) or shapes.is_typed(first)


def _globs(state: str | Enum | Collection[str | Enum] | None) -> tuple[str, ...] | None:
    several = isinstance(state, Collection) and not isinstance(state, str | Enum)
    states: Any = state if several or state is None else [state]
    return None if states is None else tuple(map(state_name, states))


def _found(machine: type[Found], asked: dict[str, Any], after: Any, **how: Any) -> Iterator[Found]:
    definition, last = machine._compiled(), _last(machine, after, how["actor"])  # noqa: SLF001 - a machine
    found = select(current(), Selection(machine=definition.name, **asked), after=last, definition=definition, **how)
    return (machine._handle(snapshot) for snapshot in found)  # noqa: SLF001 - a machine


def _of_children(child: Any) -> tuple[Condition, ...]:
    """Raises DataError."""
    if isinstance(child, Mapping):
        return tuple(condition(name, "=", value, of="child") for name, value in child.items())
    return conditions_of(child, of="child")


def conditions_of(where: Any, *, of: str = "where") -> tuple[Condition, ...]:
    """Comparisons as they are given, checked. Raises DataError."""
    triples: list[Any] = list(where) if isinstance(where, (list, tuple, set, Iterator)) else [None]
    if not all(isinstance(each, (tuple, list)) and len(each) == _TRIPLE for each in triples):
        raise DataError(f"{of} is {shown(where)}; it is a list of comparisons, as in [('amount', '>=', 1000)]")
    return tuple(condition(*each, of=of) for each in triples)


def _last(machine: type[Entities[Any]], after: Any, actor: Actor | None) -> Snapshot | None:
    """The entity that others follow on: a handle, as it was read, or an id. Raises EntityNotFound, DataError."""
    if after is None:
        return None
    view = after._view if isinstance(after, Base) else None
    if isinstance(view, HandleView):
        return view.snapshot
    id_ = checked_id(getattr(after, "entity_id", after), generated=True)
    return lookup.find(current(), machine._compiled(), id_, actor).snapshot  # noqa: SLF001 - a machine


def _check_if_exists(if_exists: str) -> None:
    if if_exists not in ("raise", "return"):
        raise DataError(f"if_exists is {if_exists!r}; it is 'raise' or 'return'")


def _check_unnamed(definition: Definition, fields: Mapping[str, Any], *, if_exists: str, key: str | None) -> None:
    """Raises DataError where an entity without an id would not be what the caller means."""
    named = next((name for name in ("entity_id", "id") if name in fields), None)
    if named is not None:
        raise DataError(
            f"start({named}={shown(fields[named])}): the id is given by its place, start({shown(fields[named])}); for "
            f"data of that name give the data as a mapping"
        )
    if key is not None or if_exists != "raise":
        option = f"key={shown(key)}" if key is not None else f"if_exists={if_exists!r}"
        raise DataError(
            f"start({option}) without an id: an id is made for each call, so it would start another entity; give an id "
            f"that is the same when the call is repeated"
        )
    if definition.wide.status_field is not None:
        raise DataError(
            f"machine {definition.name!r} has a status_field: the id of an entity is the primary key of its row; give "
            f"that, start(row.id)"
        )


def _check_search(
    *, phase: object, older: object, limit: object, error: object, branch: object, **flags: object
) -> None:
    """Raises DataError for what ``find`` cannot look for."""
    _check_flags(**flags)
    if phase is not None and phase not in PHASES:
        raise DataError(
            f"phase is {phase!r}{did_you_mean(phase, PHASES)}; it is one of {', '.join(PHASES)}; a state is state="
        )
    if older is not None and not is_duration(older):
        raise DataError(f"older is {shown(older)}; it is seconds or a timedelta")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise DataError(f"limit is {shown(limit)}; it is a whole number from 0")
    if branch is not None and not isinstance(branch, str):
        raise DataError(f"branch is {shown(branch)}; it is the name of a branch, or a pattern of names")
    if error is not None and not isinstance(error, str):
        raise DataError(f"error is {shown(error)}; it is a pattern such as 'Timeout*'")


def _check_flags(**flags: object) -> None:
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise DataError(f"{name} is {shown(flag)}; it is True or False")


def _pair(entity: Any) -> tuple[Any, Any]:
    if not isinstance(entity, tuple | list) or len(entity) != 2:
        raise DataError(f"{shown(entity)} is no pair of an id and its data")
    return entity[0], entity[1]


def _birth(
    entity_id: object, data: dict[str, Any], *, state: str | Enum | None, actor: Actor | str | None, key: str | None
) -> Birth:
    if key is not None:
        checked_text(key, "key")
    name = None if state is None else state_name(state)
    return Birth(entity_id=checked_id(entity_id), data=data, state=name, actor=as_actor(actor), key=key)
