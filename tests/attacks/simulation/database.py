"""SQLite with a connection for each actor, and with the faults of a database server."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from peewee import OperationalError, SqliteDatabase, _ConnectionState

from fsmflow.store.link import Link
from fsmflow.store.tables import WORK
from tests.attacks.simulation.world import Actor, Dead, World, current_actor

LOCK_WAIT_MS: Final = 10_000
_LOST: Final = "server closed the connection unexpectedly"


class Connection(_ConnectionState):
    """What peewee keeps for each thread, here for each actor."""

    is_broken = False
    #: Whether the transaction that is open waits for no disk.
    is_hasty = False


class SimulatedDatabase(SqliteDatabase):
    """In a file, so that what is being written keeps nobody from reading. ``committed`` is called after each COMMIT
    that took effect, before anybody else goes on."""

    def __init__(self, path: Path) -> None:
        self._mine = Connection()
        self.world: World | None = None
        self.committed: Callable[[], None] = lambda: None
        self._pool: list[sqlite3.Connection] = []
        self._writer: object = None
        self._waiting: list[Actor] = []
        self._open: dict[int, Connection] = {}
        self._down_until = 0.0
        #: The work rows before the first commit that waited for no disk, since the last one that did.
        self._before_hasty: list[Any] | None = None
        self.is_lossy = False
        # Whoever has to wait for a lock waits in virtual time, and no disk is waited for.
        super().__init__(
            str(path),
            pragmas={"journal_mode": "wal", "synchronous": "off", "foreign_keys": 1},
            lock_type="IMMEDIATE",
            timeout=0,
            check_same_thread=False,
        )

    @property
    def _state(self) -> Connection:
        actor = current_actor()
        if actor is None:
            return self._mine
        if actor.connection is None:
            actor.connection = Connection()
        return actor.connection  # type: ignore[return-value]

    @_state.setter
    def _state(self, _: object) -> None:
        """peewee makes one for each thread; ours are made at their first use."""

    def reset(self, world: World, committed: Callable[[], None], *, is_lossy: bool) -> None:
        """Begin anew, in another world."""
        self.world, self.committed, self.is_lossy = world, committed, is_lossy
        self._writer, self._waiting, self._down_until, self._before_hasty = None, [], 0.0, None
        self._open.clear()

    def _connect(self) -> Any:
        if self.world is not None and self.world.now_ms < self._down_until:
            raise sqlite3.OperationalError("connection refused")
        state = self._state
        state.is_broken = False
        connection = self._pool.pop() if self._pool else super()._connect()  # type: ignore[misc]  # which the stubs leave out
        self._open[id(connection)] = state
        return connection

    def _close(self, conn: Any) -> None:
        self._give_back(conn)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.rollback()
        self._open.pop(id(connection), None)
        self._pool.append(connection)

    def close_all(self) -> None:
        """Close what is in the pool, and the connection of whoever runs the schedules."""
        self.close()
        for connection in self._pool:
            connection.close()
        self._pool.clear()

    def dispose(self) -> None:
        """Forget the connection of the actor that runs, with what was written on it."""
        state = self._state
        if state.conn is not None and id(state.conn) in self._open:
            if state.conn.in_transaction:
                state.conn.rollback()
            del self._open[id(state.conn)]
            self._release(state)
        super().dispose()

    def drop(self, actor: Actor) -> None:
        """The actor is dead: what it had not committed is rolled back."""
        state = actor.connection
        if isinstance(state, Connection) and state.conn is not None:
            self._give_back(state.conn)
            self._release(state)
            state.reset()

    def begin(self, lock_type: str | None = None) -> None:
        """Wait for one's turn to write. Raises OperationalError where that takes too long."""
        actor, world = self._alive("begin")
        deadline = world.now_ms + LOCK_WAIT_MS if world is not None else 0
        while world is not None and actor is not None and self._writer not in (None, self._state):
            if world.now_ms >= deadline:
                raise OperationalError("database is locked")
            self._waiting.append(actor)
            world.wait(actor, deadline)
        self._check()
        super().begin(lock_type)
        self._state.is_hasty = False
        self._writer = self._state

    def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> Any:
        """Run one statement; outside of a transaction, others may go on before it."""
        if self._state.transactions:
            self._check()
            self._interrupt()
        else:
            self._alive("read")
        return super().execute_sql(sql, params)

    def commit(self) -> None:
        """Commit, unless the connection is lost on the way there, or on the way back."""
        _, world = self._alive("commit")
        self._check()
        fault = self._draw("doubt") and world is not None
        takes_effect = not fault or (world is not None and world.dice.random() < 0.5)
        if takes_effect:
            super().commit()
            self._release(self._state)
            if not self._state.is_hasty:
                self._before_hasty = None
            self.committed()
        if fault and world is not None:
            world.tell(f"COMMIT IN DOUBT, {'it took' if takes_effect else 'without'} effect")
            self._break(self._state)
            raise OperationalError(_LOST)

    def rollback(self) -> None:
        """Roll back. Raises OperationalError where the connection is lost."""
        actor = current_actor()
        if actor is not None and actor.is_dead:
            raise Dead
        self._check()
        if self._state.conn is not None and self._state.conn.in_transaction:
            super().rollback()
        self._release(self._state)

    def _alive(self, name: str) -> tuple[Actor | None, World | None]:
        world = self.world
        if world is not None:
            world.pass_point(name)
        self._check()
        return current_actor(), world

    def _check(self) -> None:
        actor = current_actor()
        if actor is not None and actor.is_dead:
            raise Dead
        if self._state.is_broken and not self._state.closed:
            raise OperationalError(_LOST)

    def _draw(self, kind: str) -> bool:
        world = self.world
        if world is None or world.is_calm or kind not in world.weather.kinds or current_actor() is None:
            return False
        return world.dice.random() < world.weather.fault * 3

    def _interrupt(self) -> None:
        """A statement of a transaction that fails, and takes the transaction with it."""
        if self._draw("deadlock"):
            self._tell("DEADLOCK")
            self._state.conn.rollback()
            self._release(self._state)
            raise OperationalError("deadlock detected")
        if self._draw("disconnect"):
            self._tell("DISCONNECTED")
            self._break(self._state)
            raise OperationalError(_LOST)

    def _tell(self, what: str) -> None:
        if self.world is not None:
            self.world.tell(what)

    def _break(self, state: Connection) -> None:
        if state.conn is not None and state.conn.in_transaction:
            state.conn.rollback()
        state.is_broken = True
        self._release(state)

    def _release(self, state: object) -> None:
        if self._writer is not state:
            return
        self._writer = None
        for actor in self._waiting:
            if self.world is not None and not actor.is_frozen:
                actor.wake_at = min(actor.wake_at, self.world.now_ms)
        self._waiting.clear()

    def crash(self, down_s: float) -> None:
        """The server dies: what is open is rolled back, what waited for no disk may be gone, and it is away."""
        for state in list(self._open.values()):
            if state is not self._mine:
                self._break(state)
        if self._before_hasty is not None and self.world is not None and self.world.dice.random() < 0.7:
            self._restore(self._before_hasty)
        self._before_hasty = None
        if self.world is not None:
            self._down_until = self.world.now_ms + down_s * 1000

    def come_back(self) -> None:
        """Answer again."""
        self._down_until = 0.0

    def _restore(self, rows: list[Any]) -> None:
        connection = self._pool[-1] if self._pool else self._mine.conn
        connection.execute(f"DELETE FROM {WORK}")
        if rows:
            connection.executemany(f"INSERT INTO {WORK} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        connection.commit()

    def note_hasty(self) -> None:
        """The transaction that has just begun waits for no disk."""
        self._state.is_hasty = True
        if self.is_lossy and self._before_hasty is None:
            self._before_hasty = list(self._state.conn.execute(f"SELECT * FROM {WORK}"))


class SimulatedLink(Link):
    """A link that tells the database which commits wait for no disk."""

    @contextmanager
    def _hasty_transaction(self) -> Iterator[None]:
        assert isinstance(self.db, SimulatedDatabase)
        with self.db.atomic(*self.dialect.begin):
            if self.db.transaction_depth() == 1:
                self.db.note_hasty()
            yield
