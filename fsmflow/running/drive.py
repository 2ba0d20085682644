"""Runs the jobs of one entity in this process, as a worker would: for commands that wait for no worker."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Final, Self

from fsmflow.decision.entity import Claim, StaleClaim
from fsmflow.dispatch.doorbell import Ring
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import EntityNotFound, TransitionConflict
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance.doorbells import Doorbells
from fsmflow.running.maintenance.losses import Losses
from fsmflow.running.permits import call_due
from fsmflow.store.work import Due

#: How long whoever runs it already is left alone between two looks.
_LOOK_S: Final = 0.2


class Drive:
    """Claims and runs what an entity has to do, under leases as any worker; a thread renews them.

    Nobody is rung for while it drives, so no worker comes first as a rule. One that does is left to it, and waited for.
    Whatever is still to be done when this is left is rung for. If the process is killed instead, workers take it up:
    at once what was not claimed, else when the lease has run out.
    """

    def __init__(self, runtime: Runtime, row: int, rings: list[Ring]) -> None:
        """``row``: that of the entity; ``rings``: those that nobody has rung yet."""
        self._runtime = runtime
        self._row = row
        self._rings = rings
        self._losses = Losses(runtime, Doorbells(runtime, ()))

    @cached_property
    def _executor(self) -> Executor:
        """Made as the first attempt is run: its jobs find the process as it is then."""
        return Executor(self._runtime)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        rings, self._rings = self._rings, []
        self._runtime.ring_for(rings)

    def go_on(self) -> bool:
        """Run the next attempt, or wait a moment for whoever runs it; False where nothing is to be run: it has ended,
        waits for somebody, or is kept back by a pause or a hold. Raises EntityNotFound, DatabaseUnavailable."""
        snapshot = self._runtime.store.entities.load_row(self._row)
        if snapshot is None:
            raise EntityNotFound(f"entity row {self._row}")
        work = snapshot.work
        if work is None or not work.runs or work.held is not None or not (work.parked is None or work.is_in_line):
            return False
        if work.is_in_line:
            call_due(self._runtime)
            self._runtime.idle(_LOOK_S)
            return True
        item, now = Due(row=snapshot.row, work=work), self._runtime.now()
        if item.claim is not None:
            self._wait_for_other(item, item.claim)
            return True
        if work.waits and work.wake_at > now:
            self._runtime.idle(min((work.wake_at - now) / 1000, _LOOK_S))
            return True
        rings = self._executor.execute(item.last_ring[0])
        self._rings = [ring for ring in rings if ring[0].row == self._row]
        self._runtime.ring_for([ring for ring in rings if ring[0].row != self._row])
        return True

    def _wait_for_other(self, item: Due, claim: Claim) -> None:
        """Another process runs it. Where that has let its lease run out the attempt is ended here, as maintenance does:
        there may be no worker."""
        now = self._runtime.now()
        if (item.work.lease_until or 0) <= now:
            # It may have come back to life, or somebody else was first.
            with suppress(StaleClaim, TransitionConflict):
                self._losses.expire(item, claim, now)
        self._runtime.idle(_LOOK_S)
