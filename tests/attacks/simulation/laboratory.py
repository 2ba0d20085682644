"""What all schedules of a process share, and what takes the place of time, of limits and of jobs meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest.mock import patch

from fsmflow import clock, points
from fsmflow.running import job
from fsmflow.store.columns import TABLES
from fsmflow.store.store import Store
from fsmflow.store.tables import META
from tests.attacks.simulation.actors import SimulatedLimit
from tests.attacks.simulation.database import SimulatedDatabase, SimulatedLink
from tests.attacks.simulation.jobs import Player, stage
from tests.attacks.simulation.world import World

#: Where transactional jobs write.
EFFECTS: Final = "simulated_effect"


class Laboratory:
    """What all schedules of a process share: a database with its tables, and a store on it."""

    def __init__(self, folder: Path) -> None:
        self.database = SimulatedDatabase(folder / "simulated.db")
        self.store = Store(SimulatedLink(self.database, own=False))
        self.store.create()
        self.store.check()
        self.database.execute_sql(f"CREATE TABLE {EFFECTS} (row INTEGER, epoch INTEGER)")
        #: A connection of its own, which no fault strikes.
        self.reader = self.database._connect()
        self._clock = _WorldClock()
        self.store.clock = self._clock

    def clear(self) -> None:
        """Begin with an empty database: what an earlier schedule has left there would change the dice of this one."""
        for table in (*(table.name for table in TABLES), EFFECTS, "sqlite_sequence"):
            some = " WHERE name NOT IN ('schema', 'installation')" if table == META else ""
            self.database.execute_sql(f"DELETE FROM {table}{some}")

    def close(self) -> None:
        """Let go of all connections."""
        self.reader.close()
        self.database.close_all()

    @contextmanager
    def taking_place_in(self, world: World, player: Player) -> Iterator[None]:
        """Inside, time, points, limits and jobs are those of a world."""
        before = (clock.monotonic, clock.pause, clock.local_now, logging.root.manager.disable)
        clock.monotonic, clock.pause, clock.local_now = world.monotonic, world.sleep, world.now
        logging.disable(logging.CRITICAL)
        self._clock.world = world
        points.listen(world.pass_point)
        stage.player = player
        try:
            with patch.object(job, "TimeLimit", SimulatedLimit):
                yield
        finally:
            stage.player = None
            points.listen(None)
            clock.monotonic, clock.pause, clock.local_now, level = before
            logging.disable(level)


class _WorldClock(clock.Clock):
    """The clock of whoever asks."""

    def __init__(self) -> None:
        super().__init__(lambda: 0)
        self.world: World | None = None

    def now(self) -> int:
        return self.world.now() if self.world is not None else 0

    def exact(self) -> int:
        """The clock of the database."""
        return self.world.exact() if self.world is not None else 0
