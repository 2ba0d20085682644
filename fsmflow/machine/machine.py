"""``Machine``: put together, and compiled for each subclass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from fsmflow.decision.history import HistoryEntry
from fsmflow.definition.compile import compile_machine
from fsmflow.definition.jobmethod import guard_jobs
from fsmflow.definition.names import METHOD_TRIGGERS
from fsmflow.machine.base import Data, Fields
from fsmflow.machine.coroutines.actions import AsyncActions
from fsmflow.machine.coroutines.approvals import AsyncApprovals
from fsmflow.machine.coroutines.attributes import AsyncAttributes
from fsmflow.machine.coroutines.entities import AsyncEntities
from fsmflow.machine.coroutines.retention import AsyncRetention
from fsmflow.machine.coroutines.schedules import AsyncSchedules
from fsmflow.machine.coroutines.wait import AsyncWait
from fsmflow.machine.job import JobMethods


class Machine(
    AsyncEntities[Data],
    AsyncSchedules[Data],
    AsyncRetention[Data],
    AsyncActions[Data],
    AsyncAttributes[Data],
    AsyncWait[Data],
    AsyncApprovals[Data],
    JobMethods[Data],
):
    """A workflow: subclass it, declare ``states`` and ``transitions``, and the class is checked as it is created.

    ``start`` and ``get`` return handles. A handle shows the entity as it was when it was last looked at, and every
    action decides on the entity as it is now, then refreshes the handle. In guards, callbacks and jobs ``self`` is
    such an object too, with the data of the moment.

    What waits for the database is there for an event loop too, by its name with an ``a`` in front: ``await
    Order.astart("1")``, ``await order.atrigger("approve")``; and ``until`` for ``wait``.
    """

    name: ClassVar[str]
    initial: ClassVar[Any] = None
    states: ClassVar[Any] = ()
    transitions: ClassVar[Any] = ()

    def __init__(self) -> None:
        kind = type(self).__name__
        raise TypeError(f"{kind}() makes no entity; {kind}.start(id) starts one and {kind}.get(id) finds one")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.states is Machine.states:
            return
        cls._definition = definition = compile_machine(cls, Machine)
        cls.name = definition.name
        guard_jobs(cls, Machine, definition)
        for trigger in dict.fromkeys(spec.trigger for spec in definition.transitions):
            if trigger not in METHOD_TRIGGERS and not hasattr(cls, trigger):
                setattr(cls, trigger, _sugar(trigger))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} in {self.state!r}>"


def _sugar(trigger: str) -> Callable[..., HistoryEntry]:
    def fire(self: Machine, payload: Fields | None = None, /, **options: Any) -> HistoryEntry:
        return self.trigger(trigger, payload, **options)

    fire.__name__ = trigger
    fire.__qualname__ = f"Machine.{trigger}"
    fire.__doc__ = f"Fire {trigger!r}; see ``Machine.trigger``."
    fire._fires_trigger = True  # type: ignore[attr-defined]  # noqa: SLF001 - compile looks for this mark
    return fire
