"""What all parts of ``Machine`` stand on: the compiled class and the view behind an object."""

from __future__ import annotations

from collections.abc import Mapping
from types import GenericAlias
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar, cast

from fsmflow import shapes
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.view import View, subject_of
from fsmflow.definition.model import Definition
from fsmflow.definition.parse import plain_name
from fsmflow.definition.state import State
from fsmflow.engine.handle import HandleView
from fsmflow.engine.lookup import Instance, instance_of
from fsmflow.errors import DataError, DefinitionError, shown

if TYPE_CHECKING:
    from typing import Generic

    import typing_extensions

    Data = typing_extensions.TypeVar("Data", default=dict[str, Any])

    class Typed(Generic[Data]):
        """What a machine's data are."""

else:
    Data = TypeVar("Data")

    class Typed:
        """Takes the type of a machine's data in brackets, and has no other part in it: less than Generic does."""

        __class_getitem__ = classmethod(GenericAlias)


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _Model(Protocol):
    def model_dump(self) -> dict[str, Any]: ...


class _Struct(Protocol):
    __struct_fields__: ClassVar[tuple[str, ...]]


#: A payload or data: names with values, or an object of a class that says which fields it has.
Fields = Mapping[str, Any] | _Dataclass | _Model | _Struct


class MemberName(str):
    """The name of a state that a member of an Enum stands for which is no text: it is equal to that, too."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, plain_name(other)) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


#: The name of a state: a plain text. As it may be equal to a member of an Enum, checkers let any comparison pass.
StateName = str | Any


class Base(Typed[Data]):
    """Every object of a machine's class is backed by a view: of a handle, of a decision, or of a running job."""

    _definition: ClassVar[Definition]
    _view: View

    @classmethod
    def _compiled(cls) -> Definition:
        definition: Definition | None = cls.__dict__.get("_definition")
        if definition is None:
            raise DefinitionError(cls.__name__, ["states is missing: this class is only a base of machines"])
        return definition

    @classmethod
    def _handle(cls, snapshot: Snapshot) -> Self:
        return cls._handle_of(instance_of(cls._compiled(), snapshot))

    @classmethod
    def _handle_of(cls, instance: Instance) -> Self:
        return cast(Self, subject_of(instance.own, HandleView(instance.root, instance.own, instance.snapshot)))

    @property
    def _root(self) -> Definition:
        """The definition of the class; that of the view is another one for a branch."""
        return type(self)._compiled()  # noqa: SLF001 - of its own class

    @property
    def _id(self) -> str:
        return self._view.entity_id

    def _acts(self, action: str) -> None:
        self._view.permit(action)

    def _shows(self, snapshot: Snapshot) -> Self:
        self._view.show(snapshot)
        return self


def as_dict(data: Fields | None, what: str = "data") -> dict[str, Any]:
    """Data as given, as a dict of its own. Raises DataError."""
    if data is not None and not isinstance(data, Mapping):
        if shapes.is_typed(data):
            return dict(shapes.plain(data))
        raise DataError(f"{what} is {shown(data)}; it is a mapping of names to values")
    return dict(data or {})


def state_name(state: object) -> str:
    """The name of a state that a caller names. Raises DataError."""
    name = plain_name(state.name if isinstance(state, State) else state)
    if not isinstance(name, str):
        raise DataError(f"a state is named by text, not by {shown(state)}")
    return name
