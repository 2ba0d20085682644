"""``machine/entities.py`` for asyncio. Written by ``python scripts/coroutines.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, Self, overload
from uuid import UUID

from fsmflow.decision.inputs import Actor
from fsmflow.machine.base import Base, Data, Fields
from fsmflow.machine.coroutines.relay import call, call_within, stream
from fsmflow.machine.entities import MADE, Entities


class AsyncEntities(Entities[Data]):
    """Each is the method of its name without the ``a``, awaited: that one says what it does."""

    @overload
    @classmethod
    async def astart(
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
    async def astart(
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
    async def astart(
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
        """``start``, awaited."""
        return await call_within(
            within,
            cls.start,
            entity_id,
            data,
            state=state,
            if_exists=if_exists,
            actor=actor,
            key=key,
            within=within,
            **fields,
        )

    @classmethod
    async def astart_or_trigger(
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
        """``start_or_trigger``, awaited."""
        return await call(
            cls.start_or_trigger, entity_id, trigger, payload, data=data, actor=actor, reason=reason, key=key, **fields
        )

    @classmethod
    async def astart_many(
        cls,
        entities: Iterable[tuple[str | int | UUID, Fields | None]],
        *,
        state: str | Enum | None = None,
        if_exists: str = "raise",
        actor: Actor | str | None = None,
        page: int = 1000,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """``start_many``, awaited."""
        return await call(
            cls.start_many, entities, state=state, if_exists=if_exists, actor=actor, page=page, progress=progress
        )

    @classmethod
    async def aget(cls, entity_id: str | int | UUID, *, actor: Actor | str | None = None) -> Self:
        """``get``, awaited."""
        return await call(cls.get, entity_id, actor=actor)

    @classmethod
    def afind(
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
    ) -> AsyncIterator[Self]:
        """``find``, gone through by ``async for``."""
        asked: dict[str, Any] = {"state": state, "phase": phase, "error": error, "older": older, "data": data}
        asked |= {"where": where, "child": child, "order": order, "after": after, "waiting": waiting}
        asked |= {"branches": branches, "branch": branch, "stuck": stuck, "group": group, "overdue": overdue}
        asked |= {"newest": newest, "limit": limit, "actor": actor}
        return stream(lambda: cls.find(**asked))

    @classmethod
    async def acounts(
        cls, *, branches: bool = False, exact: bool = False, actor: Actor | str | None = None
    ) -> dict[str, int]:
        """``counts``, awaited."""
        return await call(cls.counts, branches=branches, exact=exact, actor=actor)
