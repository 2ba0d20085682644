"""Steps whose time is bounded by ``within``: none begins once that is over, none is ended before, and each is left soon
after. Reckoned by the moments that history tells, and by the pauses, which do not count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.attacks.simulation.world import EPOCH_MS, World

#: How soon a step is left, once its time is over and nothing fails any more: a lease that has to run out first, and a
#: sweeper that sleeps for a minute where nothing is due.
SOON_S: Final = 15 + 60 + 5
#: Moments are whole milliseconds, and a worker has a clock of its own.
_NEAR_MS: Final = 2


@dataclass
class _Time:
    """Of one step. ``least`` does not count its pauses: nothing that runs is stopped by one."""

    least: int
    ends: int
    lasts: int


class Deadlines:
    """When the steps of each row are over. ``bounds``: how many seconds a step may take, by machine and state."""

    def __init__(self, world: World, bounds: Mapping[tuple[str, str], int]) -> None:
        self._world = world
        # Where clocks jump, nobody can say when a step should have ended.
        self._bounds = {} if "clock" in world.weather.kinds else bounds
        self._times: dict[tuple[int, int], _Time] = {}
        self._paused_at: dict[int, int] = {}
        self._resumed_at: dict[int, int] = {}
        self._waits: set[int] = set()
        self._claimed_at: dict[int, float] = {}
        #: Since when nothing fails any more.
        self.calm_since: float = math.inf

    def entered(self, row: int, epoch: int, step: tuple[str, str], at: int) -> None:
        """A state is entered, by its machine and name."""
        seconds = self._bounds.get(step)
        if seconds is not None:
            lasts = seconds * 1000
            self._times[row, epoch] = _Time(at + lasts, at + lasts, lasts)
        if row in self._paused_at:
            self._paused_at[row] = at

    def seen(self, row: int, epoch: int, *, waits: bool) -> None:
        """A step is there after a commit. The time of a child that ``waits`` for its turn begins with that."""
        time = self._times.get((row, epoch))
        if time is not None and (waits or row in self._waits):
            time.ends = math.ceil(self._now) + time.lasts
        (self._waits.add if waits else self._waits.discard)(row)

    def paused(self, row: int, at: int) -> None:
        """What is left of its time is kept from now on."""
        self._paused_at[row] = at

    def resumed(self, row: int, epoch: int, at: int) -> None:
        """Its time goes on; or it begins, where the entity was adopted and nobody had paused it."""
        since = self._paused_at.pop(row, None)
        self._resumed_at[row] = at
        time = self._times.get((row, epoch))
        if time is not None:
            time.ends = at + time.lasts if since is None else time.ends + at - since

    def claimed(self, row: int) -> None:
        """Somebody has claimed what is to be done next."""
        self._claimed_at[row] = self._now

    def bounds_step(self, row: int, epoch: int) -> bool:
        """Whether the time of a step is bounded."""
        return (row, epoch) in self._times

    def begins_late(self, row: int, epoch: int) -> bool:
        """Whether the time of a step that begins now is over."""
        return self._over_ms(row, epoch, self._now) > 0

    def is_claimed_late(self, branch: int, row: int, epoch: int) -> bool:
        """Whether the time of a step was over as a branch of it was claimed."""
        return self._over_ms(row, epoch, self._claimed_at.get(branch, -math.inf)) > 0

    def is_left_early(self, row: int, epoch: int, at: int) -> bool:
        """Whether a step whose time is said to be over has time left."""
        time = self._times.get((row, epoch))
        return time is not None and at < time.least - _NEAR_MS

    def is_left_late(self, row: int, epoch: int) -> bool:
        """Whether a step is still there long after its time, with nothing that keeps it."""
        since = max(self.calm_since, self._resumed_at.get(row, 0))
        return min(self._over_ms(row, epoch, self._now), self._now - since) > SOON_S * 1000

    @property
    def _now(self) -> float:
        return EPOCH_MS + self._world.now_ms

    def _over_ms(self, row: int, epoch: int, moment: float) -> float:
        time = self._times.get((row, epoch))
        return -math.inf if time is None or row in self._paused_at else moment - time.ends - _NEAR_MS
