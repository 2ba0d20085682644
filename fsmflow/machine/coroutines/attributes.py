"""``machine/attributes.py`` for asyncio. Written by ``python scripts/coroutines.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fsmflow.decision.context import Branch, Progress
from fsmflow.decision.forecast import Forecast
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor
from fsmflow.decision.offers import Offer
from fsmflow.engine.explain import Explanation
from fsmflow.machine.attributes import Attributes
from fsmflow.machine.base import Data, Fields
from fsmflow.machine.coroutines.relay import call, stream


class AsyncAttributes(Attributes[Data]):
    """Each is the method of its name without the ``a``, awaited: that one says what it does."""

    async def aprogress(self) -> Progress | float | None:
        """``progress``, awaited."""
        return await call(lambda: self.progress)

    def abranches(self) -> AsyncIterator[Branch]:
        """``branches``, gone through by ``async for``."""
        return stream(lambda: iter(self.branches))

    async def aparent(self) -> Any:
        """``parent``, awaited."""
        return await call(lambda: self.parent)

    async def arecord(self) -> Any:
        """``record``, awaited."""
        return await call(lambda: self.record)

    async def ahistory(self) -> list[HistoryEntry]:
        """``history``, awaited."""
        return await call(lambda: self.history)

    async def aallowed_triggers(self, actor: Actor | str | None = None) -> list[str]:
        """``allowed_triggers``, awaited."""
        return await call(self.allowed_triggers, actor)

    async def atriggers(self, actor: Actor | str | None = None) -> list[Offer]:
        """``triggers``, awaited."""
        return await call(self.triggers, actor)

    async def awhat_if(
        self,
        name: str,
        payload: Fields | None = None,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
        **fields: Any,
    ) -> Forecast:
        """``what_if``, awaited."""
        return await call(self.what_if, name, payload, actor=actor, reason=reason, key=key, epoch=epoch, **fields)

    async def aexplain(self, actor: Actor | str | None = None) -> Explanation:
        """``explain``, awaited."""
        return await call(self.explain, actor)
