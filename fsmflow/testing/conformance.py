"""Whether an adapter to a library keeps what fsmflow promises: a test for whoever writes one, on a real database."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from fsmflow.definition.state import State
from fsmflow.engine.runtime import joining
from fsmflow.errors import DataError, EntityExists
from fsmflow.machine import Machine
from fsmflow.testing.box import Sandbox, sandbox


class NonConformant(AssertionError):
    """What an adapter does not keep, in a sentence."""


class Library(ABC):
    """A user's program by the library that an adapter is for, on a database of its own in which a table has no rows."""

    #: What a machine names as its ``status_field``, in the class: a field with room for 40 characters.
    status_field: Any

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Any]:
        """A transaction of the program's, which gives what ``within=`` takes; rolled back where an error leaves it."""

    @abstractmethod
    def add_row(self, within: Any, number: int) -> None:
        """Make the row with this key, in a transaction."""

    @abstractmethod
    def status_of(self, number: int) -> str | None:
        """The status of a row as another connection sees it; None where there is no such row."""


class _Undone(Exception):
    """Leaves a transaction."""


def check_conformance(library: Library, database: Any) -> None:
    """Start and move entities in transactions of the library that commit, roll back, and are refused something, and see
    that row, state and what follows agree. ``database``: that of the program, as ``sandbox`` takes it, in which the
    tables of fsmflow are made. Raises NonConformant."""
    told: list[str] = []
    space = {
        "__module__": __name__,
        "name": "conformance",
        "initial": "new",
        "status_field": type(library).status_field,  # of an instance, SQLAlchemy would ask for its value
        "states": ["new", "moved", State("done", final=True)],
        "transitions": [["move", "new", "moved"], ["finish", "moved", "done"]],
        "on_transition": lambda self, entry: told.append(f"{self.entity_id} {entry.dest}"),
    }
    machine: Any = type("Conformance", (Machine,), space)
    with sandbox([machine], database=database) as box:
        checks = _Checks(library, machine, box, told)
        for check in (checks.commit, checks.rollback, checks.refusal, checks.fresh, checks.alone, checks.stranger):
            check()


class _Checks:
    def __init__(self, library: Library, machine: Any, box: Sandbox, told: list[str]) -> None:
        self._library, self._machine, self._box, self._told = library, machine, box, told

    def commit(self) -> None:
        """All of it is there after the commit, and what follows comes after it."""
        with self._library.transaction() as within:
            self._library.add_row(within, 1)
            self._machine.start(1, within=within)
            with joining(within):
                self._machine.get(1).trigger("move")
            _hold(not self._told, "hooks are called before the COMMIT: Host.after_commit")
        _hold(self._library.status_of(1) == "moved", "the row has not got the state: OwnField.value_of, or its table")
        _hold(self._states() == {1: "moved"}, "the entity is not there after the COMMIT: Host.connection")
        _hold(self._told == ["1 new", "1 moved"], f"after the COMMIT {self._told} was told: Host.after_commit")

    def rollback(self) -> None:
        """Nothing of it is there."""
        self._told.clear()
        with contextlib.suppress(_Undone), self._library.transaction() as within:
            self._library.add_row(within, 2)
            self._machine.start(2, within=within)
            raise _Undone
        _hold(self._library.status_of(2) is None, "the row of the program outlives its ROLLBACK")
        _hold(2 not in self._states(), "the entity outlives the ROLLBACK: Host.connection is of another transaction")
        _hold(not self._told, "something follows a transaction that was rolled back: Host.after_commit")

    def refusal(self) -> None:
        """What is refused leaves the transaction as it was."""
        with self._library.transaction() as within:
            self._library.add_row(within, 3)
            _refused(EntityExists, lambda: self._machine.start(1, within=within))
            _refused(DataError, lambda: self._machine.start(99, within=within))
            self._machine.start(3, within=within)
        _hold(self._library.status_of(3) == "new", "a refusal takes the transaction with it: Host.spoil")

    def fresh(self) -> None:
        """What was loaded before says what was written since."""
        with self._library.transaction() as within, joining(within):
            entity = self._machine.get(3)
            _hold(entity.record is not None, "there is no record in the transaction: OwnField.row_of")
            entity.trigger("move")
            shown = str(self._field_of(entity.record))
            _hold(shown.endswith("moved"), f"the record says {shown} after 'moved' was written: OwnField.written")

    def alone(self) -> None:
        """Outside of a transaction it is fsmflow's own."""
        entity = self._machine.get(3)
        entity.trigger("finish")
        _hold(self._library.status_of(3) == "done", "the row has not got the state by fsmflow's own connection")
        _hold(entity.explain().own_row is None, f"{entity.explain().own_row}: OwnField.value_of is not what is stored")
        _hold(entity.record is not None, "there is no record outside of a transaction: OwnField.row_of")
        _refused(DataError, lambda: self._machine.start("no number", state="new"))

    def stranger(self) -> None:
        """What is no transaction any more is not written in."""
        with self._library.transaction() as within:
            self._library.add_row(within, 4)
        with contextlib.suppress(Exception):  # each library has errors of its own
            self._machine.start(4, within=within)
        found = self._states().get(4)
        _hold(found in (None, self._library.status_of(4)), "row and entity differ once the transaction is over")

    def _states(self) -> dict[int, str]:
        return {int(entity.entity_id): entity.state for entity in self._machine.find()}

    def _field_of(self, record: Any) -> Any:
        return getattr(record, self._machine._definition.wide.status_field.name.rpartition(".")[2])  # noqa: SLF001


def _refused(kind: type[Exception], action: Callable[[], object]) -> None:
    try:
        action()
    except kind:
        return
    raise NonConformant(
        f"what should have been refused as {kind.__name__} was not: OwnField.key_of, or Host.connection"
    )


def _hold(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise NonConformant(otherwise)
