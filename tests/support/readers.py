"""What feeds are tested by: a machine, transactions that stay open, and writers that come in between each other."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator

import peewee

from fsmflow import FsmflowError, Machine
from fsmflow.store.tables import ENTITY, HISTORY


class Lamp(Machine):
    """Goes on and off."""

    initial = "off"
    states = ["off", "on"]
    transitions = [["turn", "off", "on"], ["turn", "on", "off"]]


class Undone(Exception):
    """Ends a transaction, of which nothing is left."""


class Open:
    """A transaction of the caller's on another connection, open until it is told to end."""

    def __init__(self, db: peewee.Database, action: Callable[[], object]) -> None:
        self._db = db
        self._action = action
        self._began, self._end = threading.Event(), threading.Event()
        self._fails = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._began.wait(20)

    def _run(self) -> None:
        try:
            with contextlib.suppress(Undone), self._db.atomic():
                try:
                    self._action()
                finally:
                    self._began.set()
                assert self._end.wait(20)
                if self._fails:
                    raise Undone
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._error = error
        finally:
            self._db.close()

    def commit(self) -> None:
        """What it has written is there once this returns."""
        self._end.set()
        self._thread.join(20)
        if self._error is not None:
            raise self._error

    def roll_back(self) -> None:
        """Nothing of it is left once this returns."""
        self._fails = True
        self.commit()


def lines_of(db: peewee.Database) -> set[tuple[str, int]]:
    """Every line of history: the address and its number there."""
    sql = f"SELECT e.machine, e.entity_id, h.seq FROM {HISTORY} h JOIN {ENTITY} e ON e.id = h.entity"
    return {(f"{machine}:{entity_id}", seq) for machine, entity_id, seq in db.execute_sql(sql).fetchall()}


def write(db: peewee.Database, chance: random.Random, mine: str, rounds: int) -> None:
    """Some transactions of all kinds, of one entity and of several, long and short, of which some are rolled back."""
    for number in range(rounds):
        with contextlib.suppress(Undone, FsmflowError, peewee.OperationalError, peewee.InternalError):
            if chance.random() < 0.4:
                Lamp.get(str(chance.randrange(6))).trigger("turn")
                continue
            with db.atomic():
                for part in range(chance.randint(1, 4)):
                    if chance.random() < 0.3:
                        Lamp.start(f"{mine}-{number}-{part}")
                    else:
                        Lamp.get(str(chance.randrange(6))).trigger("turn")
                    threading.Event().wait(chance.random() * 0.01)
                if chance.random() < 0.3:
                    raise Undone


@contextlib.contextmanager
def writers(db: peewee.Database, seed: int, count: int, rounds: int) -> Iterator[list[threading.Thread]]:
    """Threads that write, each on its own connection, for as long as the block takes at least."""

    def run(number: int) -> None:
        try:
            write(db, random.Random(f"{seed}-{number}"), f"{seed}-{number}", rounds)
        finally:
            db.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join()
