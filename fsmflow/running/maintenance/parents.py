"""Parents whose branches may have settled without anybody who told them."""

from __future__ import annotations

from typing import Final

from fsmflow.decision.work import NUDGE_MS
from fsmflow.engine import followup
from fsmflow.engine.fanout import look
from fsmflow.engine.runtime import Runtime
from fsmflow.store.work import Due

#: How often a parent is looked at whose branches tell nothing.
WATCH_MS: Final = 600_000


def look_at(runtime: Runtime, item: Due, now: int) -> None:
    """After a parent whose branches have settled; the next look is due once more of them have.

    It is put off first, and by more than a branch that settles meanwhile does: so that one is not overlooked.
    """
    work = runtime.store.work
    item = work.postpone([(item, now + 2 * NUDGE_MS)], now)[0]
    with followup.following(runtime):
        more = look(runtime, item.row)
    if item.work.tries and not item.work.overdue:
        work.unstick(item)
    if more:
        work.postpone([(item, now)], now)
    elif runtime.now() - now < NUDGE_MS:
        work.postpone([(item, now + WATCH_MS)], now)
