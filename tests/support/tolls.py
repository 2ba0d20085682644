"""A machine whose jobs have to pass a gate in small numbers, and tell when they begin and end."""

from __future__ import annotations

import fcntl
import os
import signal
import time

from fsmflow import Limit, Machine, State
from tests.support.process_flows import folder

#: So many at once, and so many in a minute.
MOST = int(os.environ.get("TOLL_RUNNING") or (5 if os.environ.get("FSMFLOW_TEST_WHOLE") else 2))
PER_MINUTE = os.environ.get("TOLL_PER_MINUTE")


class Toll(Machine):
    """At the gate a few at once, whatever becomes of their workers."""

    limits = [Limit("gate", per_minute=int(PER_MINUTE)) if PER_MINUTE else Limit("gate", running=MOST)]
    initial = "new"
    states = ["new", State("paying", job="pay", thread=True), State("over", final=True)]
    transitions = [["go", "new", "paying"], ["done", "paying", "over"]]

    def pay(self) -> None:
        self._note("begin")
        time.sleep(self.data["seconds"])
        if self.data.get("dies") and self.attempt == 1:
            self._note("end")
            os.kill(os.getpid(), signal.SIGKILL)
        self._note("end")

    def _note(self, what: str) -> None:
        with (folder() / "gate").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(f"{time.monotonic()} {what} {self.entity_id}\n")
