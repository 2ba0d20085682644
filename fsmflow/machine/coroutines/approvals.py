"""``machine/approvals.py`` for asyncio. Written by ``python scripts/coroutines.py``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from fsmflow.decision.inputs import Actor
from fsmflow.machine.approvals import WITHIN, Approvals
from fsmflow.machine.base import Data
from fsmflow.machine.coroutines.relay import call


class AsyncApprovals(Approvals[Data]):
    """Each is the method of its name without the ``a``, awaited: that one says what it does."""

    async def aapproval_link(
        self,
        trigger: str,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        for_: str,
        within: float | timedelta = WITHIN,
        roles: Iterable[str] | None = None,
        base_url: str | None = None,
        actor: Actor | str | None = None,
    ) -> str:
        """``approval_link``, awaited."""
        return await call(
            self.approval_link, trigger, payload, for_=for_, within=within, roles=roles, base_url=base_url, actor=actor
        )
