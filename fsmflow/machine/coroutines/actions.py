"""``machine/actions.py`` for asyncio. Written by ``python scripts/coroutines.py``."""

from __future__ import annotations

from enum import Enum
from typing import Any, Self

from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor
from fsmflow.machine.actions import Actions
from fsmflow.machine.base import Data, Fields
from fsmflow.machine.coroutines.relay import call, call_within


class AsyncActions(Actions[Data]):
    """Each is the method of its name without the ``a``, awaited: that one says what it does."""

    async def atrigger(
        self,
        name: str,
        payload: Fields | None = None,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
        within: Any = None,
        **fields: Any,
    ) -> HistoryEntry:
        """``trigger``, awaited."""
        return await call_within(
            within,
            self.trigger,
            name,
            payload,
            actor=actor,
            reason=reason,
            key=key,
            epoch=epoch,
            within=within,
            **fields,
        )

    async def aretry(
        self,
        *,
        data: Fields | None = None,
        new_key: bool = False,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
    ) -> Self:
        """``retry``, awaited."""
        return await call(self.retry, data=data, new_key=new_key, actor=actor, reason=reason, key=key, epoch=epoch)

    async def acancel(
        self,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
    ) -> Self:
        """``cancel``, awaited."""
        return await call(self.cancel, actor=actor, reason=reason, key=key, epoch=epoch)

    async def aundo(
        self,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
        epoch: int | None = None,
    ) -> Self:
        """``undo``, awaited."""
        return await call(self.undo, actor=actor, reason=reason, key=key, epoch=epoch)

    async def askip(
        self, *, actor: Actor | str | None = None, reason: str | None = None, key: str | None = None
    ) -> Self:
        """``skip``, awaited."""
        return await call(self.skip, actor=actor, reason=reason, key=key)

    async def arewind(
        self,
        state: str | Enum,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> Self:
        """``rewind``, awaited."""
        return await call(self.rewind, state, actor=actor, reason=reason, key=key)

    async def aforce(
        self,
        state: str | Enum,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> Self:
        """``force``, awaited."""
        return await call(self.force, state, actor=actor, reason=reason, key=key)

    async def adrop(
        self,
        event: int | str,
        /,
        *,
        actor: Actor | str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> Self:
        """``drop``, awaited."""
        return await call(self.drop, event, actor=actor, reason=reason, key=key)

    async def aerase(self, *, reason: str, actor: Actor | str | None = None, key: str | None = None) -> Self:
        """``erase``, awaited."""
        return await call(self.erase, reason=reason, actor=actor, key=key)

    async def apause(
        self, *, actor: Actor | str | None = None, reason: str | None = None, key: str | None = None
    ) -> Self:
        """``pause``, awaited."""
        return await call(self.pause, actor=actor, reason=reason, key=key)

    async def aresume(
        self, *, actor: Actor | str | None = None, reason: str | None = None, key: str | None = None
    ) -> Self:
        """``resume``, awaited."""
        return await call(self.resume, actor=actor, reason=reason, key=key)

    async def arefresh(self) -> Self:
        """``refresh``, awaited."""
        return await call(self.refresh)
