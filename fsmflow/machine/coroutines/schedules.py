"""``machine/schedules.py`` for asyncio. Written by ``python scripts/coroutines.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Self

from fsmflow.decision.inputs import Actor
from fsmflow.engine.timetable import Timetable
from fsmflow.machine.base import Data
from fsmflow.machine.coroutines.relay import call
from fsmflow.machine.schedules import Schedules


class AsyncSchedules(Schedules[Data]):
    """Each is the method of its name without the ``a``, awaited: that one says what it does."""

    @classmethod
    async def atimetable(cls) -> Timetable:
        """``timetable``, awaited."""
        return await call(cls.timetable)

    @classmethod
    async def apause_schedule(cls, *, actor: Actor | str | None = None, reason: str | None = None) -> Timetable:
        """``pause_schedule``, awaited."""
        return await call(cls.pause_schedule, actor=actor, reason=reason)

    @classmethod
    async def aresume_schedule(cls, *, actor: Actor | str | None = None, reason: str | None = None) -> Timetable:
        """``resume_schedule``, awaited."""
        return await call(cls.resume_schedule, actor=actor, reason=reason)

    @classmethod
    async def arun_schedule(
        cls,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        actor: Actor | str | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> Self:
        """``run_schedule``, awaited."""
        return await call(cls.run_schedule, data, actor=actor, key=key, **fields)

    @classmethod
    async def abackfill_schedule(
        cls,
        begin: date | datetime,
        end: date | datetime | None = None,
        *,
        dry_run: bool = False,
        actor: Actor | str | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> list[str]:
        """``backfill_schedule``, awaited."""
        return await call(cls.backfill_schedule, begin, end, dry_run=dry_run, actor=actor, progress=progress)
