"""Somebody who holds what a simulated machine does, and lets it go again; and what must not begin meanwhile."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Final

from fsmflow import holds
from fsmflow.errors import DatabaseUnavailable, DataError
from fsmflow.store.tables import HOLDS, META
from tests.attacks.simulation.machines import Design
from tests.attacks.simulation.world import World

#: Every tenth schedule has somebody who holds: a rest that none of the seeds has which find wrong variants.
_EVERY: Final = 10
_REST: Final = 1


def holds_there(seed: int) -> bool:
    """Whether a schedule has holds."""
    return seed % _EVERY == _REST


class Holder:
    """Makes a few holds and ends some of them. All that it does goes by dice of its own."""

    def __init__(self, world: World, design: Design, seed: int) -> None:
        self._world = world
        self._design = design
        self._dice = Random(f"holds {seed}")

    def hold_and_release(self) -> None:
        """What it does in the storm; a database that is away is left alone."""
        for _ in range(self._dice.randint(1, 4)):
            self._world.sleep(self._dice.choice([0, 0.2, 1, 6]))
            if self._world.is_calm:
                return
            self._try(self._hold)
            self._world.sleep(self._dice.choice([0.2, 3, 15, 45]))
            if self._dice.random() < 0.6:
                self._try(self._release)

    def release_all(self) -> None:
        """Once it is calm: nothing is kept back for ever."""
        for hold in holds.current_holds():
            if hold.released_at is None or hold.rate is not None:
                self._end(hold, self._dice.choice([None, 4.0]))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (DatabaseUnavailable, DataError) as error:
            self._world.tell(f"holder: {type(error).__name__}: {error}")

    def _hold(self) -> None:
        dice = self._dice
        definition = dice.choice(self._design.classes)._definition
        machine = dice.choice([definition.name, definition.name, None])
        states = [name for name, spec in definition.states.items() if not spec.is_final]
        state = dice.choice([*states, "s*", None]) if machine else dice.choice(states)
        until = dice.choice([None, None, 2, 20])
        made = holds.hold(machine, state=state, until=until)
        self._world.tell(f"holder: {made}")

    def _release(self) -> None:
        found = [hold for hold in holds.current_holds() if hold.released_at is None]
        if found:
            hold = found[self._dice.randrange(len(found))]
            self._end(hold, self._dice.choice([None, 0.5, 10.0]))

    def _end(self, hold: holds.Hold, rate: float | None) -> None:
        """Workers may have forgotten it meanwhile."""
        self._try(lambda: self._world.tell(f"holder: ended {holds.release(hold.number, rate=rate)}"))


def keeping(connection: sqlite3.Connection, machine: str, state: str, now: int) -> int | None:
    """The number of a hold that keeps back what stands there, as the database says; None where none does."""
    rows = connection.execute(f"SELECT value FROM {META} WHERE name = ?", (HOLDS,)).fetchall()
    found: list[dict[str, Any]] = json.loads(rows[0][0])["holds"] if rows else []
    for hold in found:
        is_over = hold["released_at"] is not None or (hold["until"] is not None and hold["until"] <= now)
        is_meant = hold["machine"] in (None, machine) and fnmatchcase(state, hold["state"] or "*")
        if is_meant and not is_over:
            return int(hold["number"])
    return None
