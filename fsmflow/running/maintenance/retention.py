"""When to delete what machines keep no longer, and how much of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from fsmflow import clock, log
from fsmflow.engine.retention import Pruned, forget_keys, prune
from fsmflow.engine.runtime import Runtime

#: How long one sweep deletes, and rests from that: a tenth of the time, so that workers come first.
_SWEEP_S: Final = 0.1
#: Between two passes: a part of the shortest time for which anything is kept, within these.
_PARTS: Final = 20
_REST_MS: Final = (1_000, 3_600_000)
#: When to try again after something went wrong.
_AGAIN_MS: Final = 60_000


class Retention:
    """One sweeper's way through what is finished, a little at each sweep.

    Where others are on their way at the same time, each tree is deleted by one of them. Where nobody is, or this dies,
    what is left is found by whoever passes next.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pass: Iterator[tuple[str, Pruned]] | None = None
        self._next_at = 0

    def prune_due(self, go_on: Callable[[], None]) -> None:
        """Delete for a tenth of a second what is kept no longer; without a query between two passes, or where no
        machine says ``retention`` or has hooks. ``go_on`` is called now and then.

        Raises nothing: what went wrong is logged, and tried again in a minute. A lock that was waited for in vain is no
        outage, and a database that is away is met by what else there is to do.
        """
        now = self._runtime.now()
        if self._pass is None and now < self._next_at:
            return
        try:
            self._go_on(now, go_on)
        except BaseException as error:  # noqa: BLE001 - of the user's modules too; what else there is to do goes on
            self._pass, self._next_at = None, now + _AGAIN_MS
            log.retention_failed(error)

    def _go_on(self, now: int, go_on: Callable[[], None]) -> None:
        if self._pass is None:
            self._next_at = now + self._rest_ms()
            self._pass = self._round()
        done: dict[str, Pruned] = {}
        began = clock.monotonic()
        while clock.monotonic() - began < _SWEEP_S:
            at = clock.monotonic()
            piece = next(self._pass, None)
            if piece is None:
                self._pass = None
                break
            machine, pruned = piece
            done[machine] = done.get(machine, Pruned()) + pruned
            go_on()
            # Whoever waits for the lock of SQLite looks only now and then whether it is free.
            self._runtime.rest(clock.monotonic() - at)
        for machine, pruned in done.items():
            if pruned.trees:
                log.pruned(machine, str(pruned))

    def _round(self) -> Iterator[tuple[str, Pruned]]:
        """One pass over all machines."""
        keys, deletes = {}, False
        for name, definition in self._runtime.machines.all().items():
            for pruned in prune(self._runtime, definition, definition.wide.retention):
                yield name, pruned
            if definition.wide.key_retention is not None:
                keys[name] = definition.wide.key_retention
            deletes = deletes or bool(definition.wide.retention)
        if deletes:
            # Whoever has deleted something before may have died before it did this.
            self._runtime.store.erasure.renew_samples()
        for _ in forget_keys(self._runtime, keys) if keys else ():
            yield "", Pruned()
        if self._runtime.machines.hooks():
            self._runtime.store.arrivals.expire(self._runtime.now())

    def _rest_ms(self) -> int:
        """How long to wait before the next pass."""
        kept = [_REST_MS[1] * _PARTS]
        for definition in self._runtime.machines.all().values():
            kept += definition.wide.retention.values()
            kept += [] if definition.wide.key_retention is None else [definition.wide.key_retention]
        return max(min(kept) // _PARTS, _REST_MS[0])
