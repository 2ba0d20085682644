"""``machine/retention.py`` for asyncio. Written by ``python scripts/coroutines.py``."""

from __future__ import annotations

from datetime import timedelta

from fsmflow.decision.inputs import Actor
from fsmflow.machine.base import Data
from fsmflow.machine.coroutines.relay import call
from fsmflow.machine.retention import Retention


class AsyncRetention(Retention[Data]):
    """Each is the method of its name without the ``a``, awaited: that one says what it does."""

    @classmethod
    async def aprune(
        cls, *, older: float | timedelta | None = None, dry_run: bool = False, actor: Actor | str | None = None
    ) -> int:
        """``prune``, awaited."""
        return await call(cls.prune, older=older, dry_run=dry_run, actor=actor)
