"""The client of a chaos run: starts voyages, approves, retries, undoes and bumps them, and notes what it was told.

Each call is a line in ``acks`` before it is made and another one after it: acknowledged, refused, or unknown, where
it raised because of a server. What is unknown is asked again with the same key until it is acknowledged, as whoever
delivers a webhook would do; a bump is not, so that it may have happened once or not at all.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _chaos.load import Voyage, is_given_up
from fsmflow import ConfigurationError, FsmflowError

_LOOK_EVERY_S = 0.4
_AGAIN_AFTER_S = 0.3
_PAGE = 200


class Driver:
    """Threads that load the machines while it is entered; ``drain`` ends the starts and goes on with the rest."""

    def __init__(self, path: Path, *, rate: float, seed: int) -> None:
        self.started = 0
        self._file = path.open("a")
        self._lock = threading.Lock()
        self._calls = 0
        self._rate = rate
        self._rng = random.Random(seed)
        self._no_more = threading.Event()
        self._over = threading.Event()
        loops = (self._start_voyages, self._attend)
        self._threads = [threading.Thread(target=self._run, args=(loop,), daemon=True) for loop in loops]
        self.failed: list[BaseException] = []

    def __enter__(self) -> Driver:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._no_more.set()
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._file.close()

    def drain(self) -> None:
        """Start no more; returns once all that was begun is acknowledged."""
        self._no_more.set()
        self._threads[0].join()

    def _run(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:  # noqa: BLE001 - the run is worth nothing then, and says so
            self.failed.append(error)

    def _start_voyages(self) -> None:
        """So many a second; those that an outage held up are made up for by the next ones."""
        began = time.monotonic()
        while not self._no_more.wait(max(0.0, began + self.started / self._rate - time.monotonic())):
            number = self.started = self.started + 1
            self._insist("start", number, f"start-{number}", self._start)
            self._insist("go", number, f"go-{number}", self._trigger)

    def _attend(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                waiting = [voyage.entity_id for voyage in Voyage.find(state="awaiting", limit=_PAGE)]
                failed = [(voyage.entity_id, voyage.state, voyage.epoch) for voyage in Voyage.find(phase="failed")]
            except ConfigurationError:
                continue
            for number in map(int, waiting):
                for _ in range(self._rng.choice((1, 1, 2))):
                    self._ask("approve", number, f"approve-{number}", self._trigger)
            for id_, state, epoch in failed:
                undone = state == "failed_from_climbing" and is_given_up(int(id_))
                self._ask("undo" if undone else "retry", int(id_), f"again-{id_}-{epoch}", self._mend)
            if self.started:
                number = self._rng.randint(max(1, self.started - 20), self.started)
                self._ask("bump", number, f"bump-{self._calls}", self._trigger)

    def _insist(self, what: str, number: int, key: str, call: Callable[[str, int, str], None]) -> None:
        while not self._ask(what, number, key, call) and not self._over.wait(_AGAIN_AFTER_S):
            pass

    def _ask(self, what: str, number: int, key: str, call: Callable[[str, int, str], None]) -> bool:
        """Whether it was acknowledged or refused; False where that is unknown."""
        with self._lock:
            self._calls += 1
            id_ = self._calls
        self._note(id=id_, what=what, number=number, key=key, answer="asked")
        try:
            call(what, number, key)
        except ConfigurationError as error:
            self._note(id=id_, answer="unknown", error=str(error))
            return False
        except FsmflowError as error:
            self._note(id=id_, answer="refused", error=f"{type(error).__name__}: {error}")
            return True
        self._note(id=id_, answer="acknowledged")
        return True

    def _start(self, what: str, number: int, key: str) -> None:
        Voyage.start(number, key=key)

    def _trigger(self, what: str, number: int, key: str) -> None:
        Voyage.get(number).trigger(what, key=key, actor="driver")

    def _mend(self, what: str, number: int, key: str) -> None:
        voyage = Voyage.get(number)
        if what == "undo":
            voyage.undo(key=key)
        else:
            voyage.retry(data={"mended": True}, key=key)

    def _note(self, **line: Any) -> None:
        with self._lock:
            self._file.write(json.dumps({**line, "at": time.monotonic()}) + "\n")
            self._file.flush()
