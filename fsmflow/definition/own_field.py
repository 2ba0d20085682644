"""The field of a row of the user's own that carries the state: the port to the library which that row is of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, ClassVar, Final, cast

from fsmflow.errors import shown

#: Which module knows the fields of a package, by a function ``own_field_of``.
_ADAPTERS: Final = {
    "peewee": "fsmflow.store.peewee_field",
    "sqlalchemy": "fsmflow.sqlalchemy",
    "django": "fsmflow.django.model_field",
}


class OwnField(ABC):
    """A field as data and converters, which is the whole of what an adapter has to write.

    The state is written by one UPDATE of fsmflow's own, in the transaction that it works in and over the connection of
    that; the library takes no part in it. A port is made where the machine's class is compiled, so it must not connect.
    """

    #: What widens the field, for an error; ``{}`` is a number of characters.
    room_is: ClassVar[str] = "max_length={}"
    #: Whether a job reads its row in a session of its own, ``machine.session``.
    in_session: ClassVar[bool] = False

    #: What it is called in a sentence, as in ``OrderRow.status``, and so the key of its table.
    name: str
    key_name: str
    #: The table that both stand in, behind its schema where it is in one: names, which are not quoted.
    table: tuple[str, ...]
    #: Its column, and that of the key, whose value is the entity's id.
    column: str
    key: str
    #: How many characters it has room for; None where that is not limited, or not known.
    room: int | None = None
    #: The only texts that it takes, as a type of the database or of the library names them; None where any is taken.
    takes: frozenset[str] | None = None

    @property
    def is_key(self) -> bool:
        """Whether it is the key itself, which cannot carry a state."""
        return self.column == self.key

    @abstractmethod
    def key_of(self, entity_id: str, database: str) -> Any:
        """The key of the row of an entity, as a driver takes it. ``database`` is ``sqlite``, ``postgresql`` or
        ``mysql``. Raises ValueError or TypeError for an id that cannot be one."""

    @abstractmethod
    def value_of(self, state: str, database: str) -> Any:
        """A state, as a driver takes it. Whatever it raises says that the field does not take this state."""

    @abstractmethod
    def row_of(self, entity_id: str, *, db: Any, within: Any) -> Any:
        """The row of an entity as the library has it; None where there is none. One query.

        ``within``: what was joined as a transaction, or is the job's own session; it is read in that, where it is of
        this library. None where there is no such thing; else over ``db``, the peewee Database that fsmflow works on.
        Raises ValueError or TypeError as ``key_of`` does.
        """

    def is_in(self, db: Any) -> bool:
        """Whether its table is in this database, as far as the library knows where that is."""
        return True

    @abstractmethod
    def written(self, entity_id: str, within: Any) -> None:
        """Called after the state was written: what ``within`` has loaded of this row is out of date. It must not go to
        the database."""


def own_field_of(status_field: Any) -> OwnField:
    """The port of what a machine's class names as ``status_field``. Raises ValueError, in words, for what is none."""
    if isinstance(status_field, OwnField):
        return status_field
    packages = [base.__module__.partition(".")[0] for base in type(status_field).__mro__]
    adapter = next((_ADAPTERS[package] for package in packages if package in _ADAPTERS), None)
    found = None if adapter is None else import_module(adapter).own_field_of(status_field)
    if found is None:
        raise ValueError(f"status_field is {shown(status_field)}; it is a field of a model, as OrderRow.status")
    return cast(OwnField, found)
