"""Brings what is due back to life: lost doorbells, expired leases, timers, retries. Leaderless: any number may run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from fsmflow import clock, log
from fsmflow.decision.entity import StaleClaim
from fsmflow.decision.failure import clip
from fsmflow.decision.mover import MAX_WHY
from fsmflow.decision.work import again_ms as again_ms_after
from fsmflow.engine.holds import holds_of
from fsmflow.engine.lookup import address_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    EntityNotFound,
    TransitionConflict,
    TransitionNotAllowed,
    UnknownState,
    noted,
    text_of,
)
from fsmflow.operations.watch import Watch
from fsmflow.running import permits
from fsmflow.running.maintenance import holds
from fsmflow.running.maintenance.doorbells import Doorbells
from fsmflow.running.maintenance.intake import Intake
from fsmflow.running.maintenance.losses import Losses
from fsmflow.running.maintenance.messages import deliver_due
from fsmflow.running.maintenance.parents import look_at
from fsmflow.running.maintenance.recount import Recount
from fsmflow.running.maintenance.retention import Retention
from fsmflow.running.maintenance.row import LOCKED_MS, POISON_MS, REFUSED_MS, STRANGE_MS
from fsmflow.running.maintenance.schedules import Schedules
from fsmflow.running.maintenance.timers import fire
from fsmflow.running.maintenance.turn import Share, Turn
from fsmflow.store.tables import HOLDS, LIMITS
from fsmflow.store.work import Due

PAGE: Final = 200
MAX_PAGES: Final = 50


class Maintenance:
    """One sweeper. ``sweep`` may run anywhere, any number of times at once: each row is a compare-and-set."""

    def __init__(self, runtime: Runtime, queues: Iterable[str], name: str = "") -> None:
        self._runtime = runtime
        self._doorbells = Doorbells(runtime, queues, name)
        self._losses = Losses(runtime, self._doorbells)
        self._schedules = Schedules(runtime)
        self._retention = Retention(runtime)
        self._turn = Turn(runtime)
        self.share = Share(self._doorbells.neighbours)
        self._watch = Watch(runtime)
        self._besides: tuple[tuple[str, Callable[[], None]], ...] = (
            ("bringing in what is searched by", Intake(runtime).go_on),
            ("counting", Recount(runtime).go_on),
            ("looking for alarms", self._watch.go_on),
        )
        self._besides_from_s = float("-inf")

    @property
    def again_s(self) -> float:
        """When to sweep again, in seconds after a sweep."""
        return self._turn.again_s

    def sweep(self, *, paced: bool = False, in_turn: bool = True) -> int:
        """Look after all that is due now; how many rows. A few queries where nothing is, none while another one sweeps.

        ``paced``: of all who are, one a second sweeps. Not ``in_turn``: whatever others do. Raises DatabaseUnavailable.
        A row that cannot be handled is logged and looked at again later; it never keeps others from being handled.
        """
        try:
            return self._sweep(paced=paced, in_turn=in_turn) + self._schedules.start_due()
        except DatabaseUnavailable:
            self._losses.no_renewals()
            raise

    def _sweep(self, *, paced: bool, in_turn: bool) -> int:
        rings = self._doorbells.look_at_redis()
        # Without Redis, nobody is there to tell whose turn it is.
        if rings and in_turn and not self._turn.take():
            return 0
        began_s = clock.monotonic()
        try:
            rings = rings and self._doorbells.bring_back() and self._doorbells.ring_for_gone()
            handled = self._let_go() + self._handle_due(rings)
            handled += deliver_due(self._runtime, self._turn.keep)
            self._do_besides()
            self._runtime.counting.swept(clock.monotonic() - began_s, handled)
            return handled
        finally:
            self._turn.leave(paced=paced)

    def _let_go(self) -> int:
        """Let go what waited for the end of a hold, or in the line of a limit; how many. One query where nothing ever
        did."""
        facts = self._runtime.store.meta.get([HOLDS, LIMITS])
        called = permits.call_due(self._runtime) if LIMITS in facts else 0
        return holds.let_go(self._runtime, holds_of(facts.get(HOLDS))) + called

    def _do_besides(self) -> None:
        """What can wait. What goes wrong in it is logged, and tried again after a while. Raises DatabaseUnavailable."""
        self._retention.prune_due(self._turn.keep)
        if clock.monotonic() < self._besides_from_s:
            return
        for what, go_on in self._besides:
            try:
                go_on()
            except DatabaseUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - nothing else is to wait for it
                self._besides_from_s = clock.monotonic() + POISON_MS / 1000
                log.sweep_failed(what, error)

    def next_due(self) -> int | None:
        """The first moment after now at which something becomes due by itself, in milliseconds."""
        runtime = self._runtime
        besides = (holds.next_due(runtime), runtime.store.permits.rows.next_look_at())
        moments = (runtime.next_due(), self._schedules.next_due(), *besides)
        return min((moment for moment in moments if moment is not None), default=None)

    def next_look(self, stirred: int) -> int | None:
        """When to look for alarms next, for whoever moves the clock and has last done something at ``stirred``."""
        return self._watch.next_look(stirred)

    def lost(self, row: int, owner: str, how: str, *, timed_out: bool = False) -> None:
        """A worker process is gone: end the attempt that it held, if its claim is still live."""
        self._losses.lost(row, owner, how, timed_out=timed_out)

    def released(self, row: int, owner: str) -> None:
        """A worker process was told to stop at once: give back the attempt that it held, and count no crash, unless the
        job may run only once and may have begun."""
        self._losses.released(row, owner)

    def left_behind(self, worker: str) -> None:
        """A worker process is gone whose names begin so: it listens no more, and what it had taken, or had to ring, is
        rung anew."""
        self._doorbells.absent(worker.removesuffix("."))
        self._doorbells.ring_for_dead([worker])

    def no_renewals(self) -> None:
        """Leases could not be renewed, as where a long transaction holds SQLite's lock: those that ran out meanwhile
        are no crashes, until they could have been."""
        self._losses.no_renewals()

    def listen(self, *, listens: bool) -> None:
        """Whether workers here take jobs; until this is called they do."""
        self._doorbells.listen(listens=listens)

    def withdraw(self) -> None:
        """Tell that nobody here listens any more; Redis may be gone itself."""
        self._doorbells.withdraw()

    def _handle_due(self, rings: bool) -> int:
        """Handle what is due by itself, then ring for what waits for Redis, page by page; how many rows. ``rings``:
        whether Redis is there."""
        seen = 0
        for _ in range(MAX_PAGES):
            now = self._runtime.now()
            due = self._runtime.store.work.due(now, PAGE, doorbells=rings, but=self._doorbells.away)
            self._losses.database_answers()
            doorbells = [item for item in due if item.is_doorbell and not item.work.is_over(now)]
            for item in due:
                self._turn.keep()
                if not item.is_doorbell or item.work.is_over(now):
                    self._handle(item, now)
            rings = self._doorbells.ring(doorbells, now) and rings
            seen += len(due)
            if len(due) < PAGE:
                break
        return seen

    def _handle(self, item: Due, now: int) -> None:
        """Look after one row. Raises nothing: what went wrong says when it is looked at again, and is told of the
        entity until it goes on."""
        again_ms = REFUSED_MS
        try:
            self._look_after(item, now)
            return
        except (StaleClaim, EntityNotFound, TransitionConflict):
            # Mostly it has moved on, and putting it off does nothing. A row that nobody handles must not come first
            # again and again.
            pass
        except (TransitionNotAllowed, DatabaseRefused) as error:
            again_ms = again_ms_after(item.work.tries + 1, REFUSED_MS)
            log.timer_refused(self._address(item), _what(item, error), _words(error), again_ms / 1000)
            self._stick(item, now, _words(error), again_ms)
            return
        except UnknownState as error:
            # In a rolling deployment others know it: they are not to be kept waiting long.
            log.left_to_others(self._address(item), text_of(error), STRANGE_MS / 1000)
            self._stick(item, now, text_of(error), STRANGE_MS)
            return
        except DatabaseUnavailable as error:
            again_ms = LOCKED_MS
            log.sweep_failed(self._address(item), error)
        except BaseException as error:  # noqa: BLE001 - one row must not keep the others waiting
            log.sweep_failed(self._address(item), error)
            why = f"{type(error).__name__}: {text_of(error)}{noted(error)}"
            self._stick(item, now, why, again_ms_after(item.work.tries + 1, POISON_MS))
            return
        self._runtime.store.work.postpone([(item, now + again_ms)], now)

    def _stick(self, item: Due, now: int, why: str, again_ms: int) -> None:
        self._runtime.store.work.stick(item, now=now, again_at=now + again_ms, why=clip(why, MAX_WHY))

    def _address(self, item: Due) -> str:
        return address_of(self._runtime, item.row)

    def _look_after(self, item: Due, now: int) -> None:
        claim = item.claim
        if claim is not None and (item.work.lease_until or 0) <= now:
            # Before its deadline, which comes again: nothing else would ever end the attempt of a dead worker.
            self._losses.expire(item, claim, now)
        elif item.work.is_over(now):
            self._fire(item)
        elif item.work.watches:
            look_at(self._runtime, item, now)
        elif claim is not None:
            self._runtime.store.work.postpone([(item, item.work.lease_until or now)], now)
        else:
            self._fire(item)

    def _fire(self, item: Due) -> None:
        if item.work.owner is not None or not holds.park(self._runtime, item):
            fire(self._runtime, item)


def _what(item: Due, error: BaseException) -> str:
    """What is due, by the name of its trigger where that is known."""
    return repr(error.trigger) if isinstance(error, TransitionNotAllowed) else item.work.kind.value


def _words(error: BaseException) -> str:
    """Why nothing happens: what the guards say, where it is they who refuse."""
    refusals = error.refusals if isinstance(error, TransitionNotAllowed) else ()
    return "; ".join(refusals) or text_of(error)
