"""Attempts that were lost with their worker: ended at once where that is known, else when their lease has run out."""

from __future__ import annotations

from typing import Final

from fsmflow import clock, log
from fsmflow.decision.entity import Claim, Snapshot, StaleClaim
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Crashed, Failed, Happening
from fsmflow.engine.lookup import address_of, under_todays_names
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import StepTimeout, UnknownMachine
from fsmflow.points import point
from fsmflow.running.maintenance.doorbells import Doorbells
from fsmflow.running.maintenance.row import LOCKED_MS, apply
from fsmflow.running.permits import pass_on_for
from fsmflow.store.work import Due

#: How long the database must have answered before a lease that ran out meanwhile counts as a crash.
SETTLED_S: Final = 6.0


class Losses:
    """Lost attempts, as one sweeper sees them."""

    def __init__(self, runtime: Runtime, doorbells: Doorbells) -> None:
        self._runtime = runtime
        self._doorbells = doorbells
        #: Since when leases could have been renewed.
        self.answers_since = clock.monotonic()

    def database_answers(self) -> None:
        """The database has just answered; it may have been away before."""
        self.answers_since = min(self.answers_since, clock.monotonic())

    def no_renewals(self) -> None:
        """Leases cannot be renewed: those that run out meanwhile are no crashes, until they could have been."""
        self.answers_since = float("inf")

    def lost(self, row: int, owner: str, how: str, *, timed_out: bool = False) -> None:
        """A worker process is gone: end the attempt that it held, if its claim is still live.

        Where it died before it had claimed anything, the doorbell that it had taken is rung again.
        """
        claim = self._runtime.store.work.owned_by(row, owner)
        if claim is None:
            self._doorbells.ring_again(row)
            return
        point("lost.before", row)
        if timed_out:
            message = f"the job ran longer than its limit and did not stop; {how}"
            happening: Happening = Failed(claim=claim, facts=Facts(kind=StepTimeout, message=message))
        else:
            happening = Crashed(claim=claim, detail=how)
        apply(self._runtime, row, lambda snapshot: happening)
        pass_on_for(self._runtime, row)

    def released(self, row: int, owner: str) -> None:
        """A worker process was told to stop at once: give back the attempt that it held, and count no crash, unless the
        job may run only once and may have begun."""
        claim = self._runtime.store.work.owned_by(row, owner)
        point("release.before", row)
        if claim is not None and self._runs_once(row):
            crashed = Crashed(claim=claim, detail="its worker process was told to stop at once")
            apply(self._runtime, row, lambda snapshot: crashed)
        elif claim is not None:
            now = self._runtime.now()
            self._runtime.store.work.release(claim, attempt=claim.attempt + 1, dispatch=0, wake_at=now, now=now)
            pass_on_for(self._runtime, row)

    def _runs_once(self, row: int) -> bool:
        snapshot = self._runtime.store.entities.load_row(row)
        machine = self._runtime.machines.all().get(snapshot.machine) if snapshot is not None else None
        if snapshot is None or machine is None:
            return False
        spec = under_todays_names(machine, snapshot).spec
        return spec is not None and spec.at_most_once

    def expire(self, item: Due, claim: Claim, now: int) -> None:
        """A lease has run out: end its attempt, unless the database was away, or the lease has been renewed since.

        Raises StaleClaim for that.
        """
        if clock.monotonic() - self.answers_since < SETTLED_S:
            # After an outage of the database those who are alive come first, and renew their leases.
            self._runtime.store.work.postpone([(item, now + LOCKED_MS)], now)
            return

        def expired(snapshot: Snapshot) -> Happening:
            work = snapshot.work
            if work is not None and work.lease_until is not None and work.lease_until > self._runtime.now():
                raise StaleClaim(f"{snapshot.address}: the lease has been renewed")
            return Crashed(claim=claim, detail="its worker stopped renewing the lease")

        point("expire.before", item.row)
        try:
            apply(self._runtime, item.row, expired)
            pass_on_for(self._runtime, item.row)
        except UnknownMachine as error:
            # Only code that knows the machine may tell whether the job can be run again.
            self._runtime.store.work.postpone([(item, now + LOCKED_MS)], now)
            log.claim_released(address_of(self._runtime, item.row), str(error), as_usual=False)
