"""What holds keep back: timers are parked, and what was parked goes on once its hold is over."""

from __future__ import annotations

import math
from typing import Final

from fsmflow import log
from fsmflow.engine.holds import Hold, Holds, holds_of, in_force, kept_of
from fsmflow.engine.runtime import Runtime
from fsmflow.store.tables import HOLDS
from fsmflow.store.work import Due
from fsmflow.values import replace

PAGE: Final = 200
MAX_PAGES: Final = 50
_BURST_MS: Final = 2_000
#: One is due when its time has come, and not a fraction later that nothing waits for.
_ROUNDING: Final = 1e-6


def park(runtime: Runtime, item: Due) -> bool:
    """Whether a timer that is due is kept back. It is parked then. One query where there are no holds."""
    found, now = in_force(runtime), runtime.now()
    snapshot = runtime.store.entities.load_row(item.row) if found.holds else None
    if snapshot is None:
        return False
    kept = kept_of(runtime, snapshot)
    hold = found.keeping(kept, now)
    if hold is None or not runtime.store.work.park(item, lambda text: holds_of(text).parks(kept, now)):
        return False
    log.held_back(snapshot.address, snapshot.state, str(hold))
    return True


def let_go(runtime: Runtime, found: Holds) -> int:
    """Let go what was parked by holds that were released; how many. ``found``: all holds, as they were just now.

    Of all who do so at once one takes what a rate allows. A crash leaves the rest parked, for the next one. A hold is
    forgotten once nothing is parked by it: no claim can park anything by it then, as it would see that it is over.
    """
    now, gone = runtime.now(), 0
    for hold in found.holds:
        if hold.released_at is not None:
            gone += _let_go(runtime, hold, now)
        elif not hold.is_active(now):
            _forget(runtime, hold)
    return gone


def next_due(runtime: Runtime) -> int | None:
    """When something parked goes on next that is not due by itself; None where nothing does."""
    moments = [
        (hold.reached or 0) + math.ceil(1000 / hold.rate)
        for hold in in_force(runtime).holds
        if hold.released_at is not None and hold.rate
    ]
    return min(moments, default=None)


def _let_go(runtime: Runtime, hold: Hold, now: int) -> int:
    limit = PAGE * MAX_PAGES
    if hold.rate is not None:
        # What was not let go in a while is not made up for at once.
        began = max(hold.reached or now, now - max(_BURST_MS, math.ceil(1000 / hold.rate)))
        limit = min(limit, int(hold.rate * (now - began) / 1000 + _ROUNDING))
        if limit < 1 or not _swap(runtime, hold, replace(hold, reached=began + round(limit * 1000 / hold.rate))):
            return 0
    gone = 0
    while gone < limit:
        page = runtime.store.work.let_go(hold.number, now, min(PAGE, limit - gone))
        gone += page
        if page < min(PAGE, limit - (gone - page)):
            _forget(runtime, hold)
            break
    return gone


def _swap(runtime: Runtime, old: Hold, new: Hold) -> bool:
    """Change one hold; False where somebody else has."""
    meta, text = runtime.store.meta, runtime.store.meta.get([HOLDS]).get(HOLDS)
    found = holds_of(text)
    if text is None or old not in found.holds:
        return False
    changed = replace(found, holds=tuple(new if each == old else each for each in found.holds))
    return runtime.store.link.write(lambda: meta.swap(HOLDS, text, changed.to_text()))


def _forget(runtime: Runtime, hold: Hold) -> None:
    """Take a hold away that is over, if nothing is parked by it. Claims that would park something wait for this."""
    meta = runtime.store.meta
    text = meta.get([HOLDS]).get(HOLDS)
    found = holds_of(text)
    rest = tuple(each for each in found.holds if each.number != hold.number)
    if text is None or len(rest) == len(found.holds):
        return
    old = text

    def forget() -> None:
        # Locked by this, the fact stays as it is for whoever is about to park something.
        without = replace(found, holds=rest).to_text()
        if meta.swap(HOLDS, old, without) and runtime.store.work.parked_by(hold.number, 1):
            meta.swap(HOLDS, without, old)

    runtime.store.link.write(forget)
