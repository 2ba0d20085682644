"""What a decision may look at besides the entity itself. Whoever decides hands it in; nothing here reads anything."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any, NoReturn, overload

from fsmflow.decision.commit import Posted
from fsmflow.decision.entity import Failure, Snapshot, Standing
from fsmflow.decision.inputs import Actor
from fsmflow.decision.permission import BY_ROLES, Gate
from fsmflow.definition.guards import Permits
from fsmflow.definition.model import Definition
from fsmflow.definition.names import undoing
from fsmflow.errors import UnknownBranch
from fsmflow.values import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One parallel part of a step, as ``machine.branches[i]`` shows it.

    ``name`` is that of ``jobs=`` and ``machines=``, of what is made for an item its index as text. ``result`` is what
    its job returned, of a child its data; None where it has not come to its end.
    """

    index: int
    name: str
    address: str
    state: str
    phase: str
    item: Any
    result: Any
    failure: Failure | None
    standing: Standing = field(repr=False)
    opened: Callable[[], Any] = field(repr=False, compare=False)

    def entity(self) -> Any:
        """A handle on it as it is now: of a child one of its own machine. One query. Raises EntityNotFound."""
        return self.opened()

    @property
    def is_done(self) -> bool:
        """Whether it came to its end as it should."""
        return self.standing.is_done

    @property
    def is_failed(self) -> bool:
        """Whether it has settled otherwise: failed, cancelled or undone."""
        return self.standing.is_failed


class Branches(Sequence[Branch]):
    """The branches of a step in the order of their items: ``branches[3]``, or ``branches["credit"]`` by name.

    ``branches.get("credit")`` is None where there is none of that name. To ask for one that is not there otherwise
    raises UnknownBranch, which is a KeyError, and IndexError for a number.
    """

    @overload
    def __getitem__(self, index: int | str) -> Branch: ...

    @overload
    def __getitem__(self, index: slice) -> list[Branch]: ...

    @abstractmethod
    def __getitem__(self, index: int | str | slice) -> Branch | list[Branch]: ...

    @abstractmethod
    def get(self, name: str) -> Branch | None:
        """The branch of this name, None where there is none."""

    def __contains__(self, branch: object) -> bool:
        """Whether there is such a branch, or one of this name."""
        return self.get(branch) is not None if isinstance(branch, str) else any(branch == one for one in self)

    def __iter__(self) -> Iterator[Branch]:
        return (self[at] for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class NoBranches(Branches):
    """Those of what never fans out."""

    def __init__(self, address: str) -> None:
        self._address = address

    @overload
    def __getitem__(self, index: int | str) -> NoReturn: ...

    @overload
    def __getitem__(self, index: slice) -> list[Branch]: ...

    def __getitem__(self, index: int | str | slice) -> list[Branch]:
        if isinstance(index, slice):
            return []
        if isinstance(index, str):
            raise UnknownBranch(self._address, index, ())
        raise IndexError(f"branch {index} of 0")

    def __len__(self) -> int:
        return 0

    def get(self, name: str) -> None:
        """None."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a fan-out has come: how many branches there are by now, and how they stand. Those that wait for their
    turn are in ``total`` alone. ``cancelled`` are those that were ended before they had failed or were done."""

    done: int
    failed: int
    running: int
    total: int
    cancelled: int = 0

    @classmethod
    def of(cls, tally: Mapping[Standing, int], cancelled: int = 0) -> Progress:
        """That of so many branches of each standing, of which so many were cancelled."""
        return cls(
            cancelled=cancelled,
            done=sum(count for standing, count in tally.items() if standing.is_done),
            failed=sum(count for standing, count in tally.items() if standing.is_failed) - cancelled,
            running=tally.get(Standing.ACTIVE, 0) + tally.get(Standing.FREE, 0),
            total=sum(tally.values()),
        )

    @property
    def left(self) -> int:
        """How many have not come to an end yet."""
        return self.total - self.done - self.failed - self.cancelled

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        cancelled = f", {self.cancelled} cancelled" if self.cancelled else ""
        return f"{self.done} of {self.total} done{failed}{cancelled}, {self.running} running"


@dataclass(frozen=True, kw_only=True)
class Entered:
    """A step that was entered and may have to be undone; ``rows`` are those of ``event`` that tell of it."""

    state: str
    step: int
    step_name: str
    completed: bool
    result: Any
    rows: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Undoing:
    """What an undo job undoes: which step, by its state, its ``job`` and the ``idempotency_key`` that the job had;
    ``result`` is what that returned. Of a branch of the step ``branch`` is the name, and ``item`` what it was for; job,
    key and result are the branch's.

    ``completed`` False: the step failed or was left, and may or may not have taken effect.
    """

    state: str
    completed: bool
    result: Any
    item: Any = None
    branch: str | None = None
    job: str = ""
    idempotency_key: str | None = None


def _nothing(snapshot: Snapshot) -> Branches:
    return NoBranches(snapshot.address)


def _no_record(snapshot: Snapshot) -> Any:
    return None


@dataclass(frozen=True, kw_only=True)
class Context:
    """``kept``: the events that wait for a state that accepts them, in order. The rest is read where it is asked for:
    ``on_their_way`` the messages that it has sent, ``give_up`` those
    that could not be delivered, ``branches`` those of the step, ``record`` the user's own row. ``gate`` knows who may
    do what is closed."""

    kept: tuple[Posted, ...] = ()
    on_their_way: Callable[[], tuple[Posted, ...]] = tuple
    give_up: Callable[[], tuple[Posted, ...]] = tuple
    retrace: Callable[[], tuple[Entered, ...]] = tuple
    branches: Callable[[Snapshot], Branches] = _nothing
    record: Callable[[Snapshot], Any] = _no_record
    gate: Gate = BY_ROLES

    def permits(self, definition: Definition, snapshot: Snapshot, actor: Actor | None) -> Permits:
        """Of a trigger that is closed: why an actor may not fire it; None where he may."""
        return lambda trigger, roles: self.gate.of_trigger(definition, snapshot, trigger, actor, roles)

    @cached_property
    def sent(self) -> tuple[Posted, ...]:
        """The messages of the entity that are on their way."""
        return self.on_their_way()

    @cached_property
    def given_up(self) -> tuple[Posted, ...]:
        """The messages of the entity that could not be delivered."""
        return self.give_up()

    def without(self, post: Posted) -> Context:
        """The same, where a message is being used up by this very decision."""
        return replace(self, on_their_way=lambda: tuple(other for other in self.sent if other.id != post.id))

    @cached_property
    def trail(self) -> tuple[Entered, ...]:
        """The steps that could be undone, the latest first."""
        return self.retrace()


NOTHING = Context()


def next_undo(definition: Definition, snapshot: Snapshot, context: Context) -> str | None:
    """Where an undo goes on from here: the state that undoes the latest step that is still to be undone."""
    spec = definition.states.get(snapshot.state)
    now = being_undone(context.trail, spec.undoes) if spec is not None and spec.undoes else None
    names = (undoing(entered.state) for entered in context.trail if entered is not now)
    return next((name for name in names if name in definition.states), None)


def being_undone(trail: Sequence[Entered], state: str) -> Entered | None:
    """The step that is undone in ``undoing_<state>``."""
    return next((entered for entered in trail if entered.state == state), None)
