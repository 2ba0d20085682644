"""A database, and the runs on it: for each life of a run a process is forked, and waited for."""

from __future__ import annotations

import json
import os
import select
import signal
import traceback
from mmap import mmap
from pathlib import Path

from fsmflow import clock
from fsmflow.engine.registry import Registry
from fsmflow.running.slot import Slot
from fsmflow.settings import Settings
from fsmflow.store.store import create_store, open_store
from fsmflow.verify import verify
from tests.attacks.killed.kinds import KINDS
from tests.attacks.killed.life import Board, Life, Outcome, Plan
from tests.attacks.killed.machines import LEDGER

ENDS_WITHIN_S = 60.0


class Place:
    """A database, and the runs on it, one after the other."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self._urls = (database_url, redis_url)
        self._folder = folder
        self._board = Board.from_buffer(mmap(-1, 1 << 16))
        self._board.now = clock.local_now()
        self._slot = Slot.create()
        self._alive: dict[str, dict[str, list[str]]] = {}
        self._count = 0
        store = create_store(Settings(database_url=database_url))
        store.link.execute(f"CREATE TABLE {LEDGER} (address VARCHAR(300))")
        # A connection must not be there when a process is forked.
        store.link.forget_connection()

    def run(self, plan: Plan) -> Outcome:
        """Carry out a plan, in a process for each life."""
        outcome, board = Outcome(plan), self._board
        board.begin()
        self._count += 1
        run, effects = f"r{self._count:06}", self._folder / "effects"
        effects.unlink(missing_ok=True)
        answer = ""
        while not answer and board.deaths <= len(plan.deaths):
            answer = self._live(plan, run, effects)
        outcome.lives = [board.passed(life) for life in range(board.deaths + 1)]
        outcome.shape, outcome.faults = json.loads(answer)
        if not plan.deaths:
            self._alive[plan.kind.name] = outcome.shape
        if not outcome.faults and board.deaths < len(plan.deaths):
            outcome.faults.append(f"only {board.deaths} of {len(plan.deaths)} deaths were met")
        return outcome

    def verified(self) -> list[str]:
        """What the checker that users have finds wrong with all that was done here."""
        machines = [machine for kind in KINDS for machine in kind.all_machines]
        store = open_store(Settings(database_url=self._urls[0]))
        try:
            report = verify(store, Registry(dict.fromkeys(machines)).all(), now=self._board.now, strict=True)
        finally:
            store.link.forget_connection()
        return [str(violation) for violation in report.violations]

    def _live(self, plan: Plan, run: str, effects: Path) -> str:
        """One process; what it found in the end, or nothing where it was killed as planned."""
        reading, writing = os.pipe()
        deaths = self._board.deaths
        child = os.fork()
        if not child:
            os.close(reading)
            self._be_child(plan, run, effects, writing)
        os.close(writing)
        with open(reading, "rb") as pipe:
            if not select.select([pipe], [], [], ENDS_WITHIN_S)[0]:
                os.kill(child, signal.SIGTERM)
            answer = pipe.read().decode()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == -signal.SIGKILL and self._board.deaths == deaths + 1:
            return ""
        return answer or json.dumps([{}, [f"a process ended with {status}, which was not planned"]])

    def _be_child(self, plan: Plan, run: str, effects: Path, writing: int) -> None:
        """Never returns: what is above belongs to the parent."""
        try:
            with open(writing, "wb") as pipe:
                pipe.write(json.dumps(self._lived(plan, run, effects)).encode())
        finally:
            os._exit(0)

    def _lived(self, plan: Plan, run: str, effects: Path) -> object:
        try:
            life = Life(plan, self._board, self._slot, run=run, place=self._urls, effects=effects)
            return life.live(self._alive.get(plan.kind.name))
        except BaseException:  # noqa: BLE001 - whatever it is, it is told
            return {}, [traceback.format_exc()]
