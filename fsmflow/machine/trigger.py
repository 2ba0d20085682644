"""``Trigger``: says in the body of a machine's class what comes with a trigger."""

from __future__ import annotations

from types import GenericAlias
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Protocol, overload

    from typing_extensions import TypeVar

    from fsmflow.decision.history import HistoryEntry
    from fsmflow.decision.inputs import Actor

    Payload = TypeVar("Payload", contravariant=True, default=None)

    class Trigger(Protocol[Payload]):
        """A trigger of a machine, as a method of its handles: ``approve: Trigger[Approval]``. It takes an
        ``Approval``, or its fields by name; ``Trigger`` alone takes no payload, ``Trigger[Any]`` any. What is
        given is checked wherever it comes from, before anything is decided."""

        @overload
        def __call__(
            self,
            payload: Payload,
            /,
            *,
            actor: Actor | str | None = None,
            reason: str | None = None,
            key: str | None = None,
            epoch: int | None = None,
            within: Any = None,
        ) -> HistoryEntry: ...

        @overload
        def __call__(
            self,
            *,
            actor: Actor | str | None = None,
            reason: str | None = None,
            key: str | None = None,
            epoch: int | None = None,
            within: Any = None,
            **fields: Any,
        ) -> HistoryEntry: ...

else:

    class Trigger:
        """Says in the body of a machine's class what comes with a trigger: ``approve: Trigger[Approval]``. On a handle
        ``order.approve`` then takes an ``Approval``, or its fields by name; ``Trigger`` alone takes no payload,
        ``Trigger[Any]`` any. What is given is checked wherever it comes from, before anything is decided."""

        _is_trigger = True
        __class_getitem__ = classmethod(GenericAlias)
