"""Which workers a fault has hit, and how those are found that have something to lose."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from _chaos.world import World

_FOR_BUSY_S = 0.5

Found = TypeVar("Found")


@dataclass(frozen=True)
class Hit:
    """The workers that were taken away, and when; to be made at that moment."""

    pids: list[int]
    at: float = field(default_factory=time.monotonic)


NOBODY = Hit([])


def busy(world: World, workers: list[int]) -> list[int]:
    """Those of these workers that have begun a run just now; waits a moment for one."""
    return wait_until(lambda: [pid for pid in world.busy() if pid in workers], _FOR_BUSY_S) or []


def wait_until(look: Callable[[], Found], seconds: float) -> Found:
    """What ``look`` gives, as soon as that is something, or after so long."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found
