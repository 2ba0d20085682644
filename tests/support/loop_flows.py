"""Machines whose jobs share an event loop, and what each of them may do to the others."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from pathlib import Path

from fsmflow import Machine, State, points
from tests.support.process_flows import folder, leave_effect, wait_at

#: Tasks that nobody waits for.
kept: list[asyncio.Task[None]] = []


async def leave_mark(path: Path) -> None:
    """Tell that it was cancelled."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        path.touch()
        raise


async def leave() -> None:
    """End the process, as it thinks."""
    raise SystemExit(3)


async def misbehave(what: str) -> None:
    """What a job may do to those beside it, or to itself."""
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "blocks":
        time.sleep(20)
    elif what == "raises":
        raise ConnectionError("nobody answers")
    elif what == "sleeps":
        await asyncio.sleep(60)
    elif what == "leaves":
        kept.append(asyncio.create_task(leave_mark(folder() / "left")))
        await asyncio.sleep(0)
    elif what == "exits":
        await asyncio.gather(asyncio.create_task(leave()), asyncio.sleep(60))
    elif what == "stops":
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.1)


class Call(Machine):
    """One ``async`` job that does what its data says, and a plain one."""

    initial = "new"
    states = [
        "new",
        State("asking", job="ask", timeout=60),
        State("brief", job="ask", timeout=0.5),
        State("longer", job="ask", timeout=2.7),
        State("once", job="ask", at_most_once=True),
        State("whole", job="ask", transactional=True),
        State("telling", job="tell"),
        State("ended", final=True),
    ]
    transitions = [
        ["go", "new", "asking"],
        ["go_briefly", "new", "brief"],
        ["go_for_longer", "new", "longer"],
        ["go_once", "new", "once"],
        ["go_whole", "new", "whole"],
        ["done", ["asking", "brief", "longer", "once", "whole"], "telling"],
        ["done", "telling", "ended"],
    ]

    async def ask(self) -> dict[str, int]:
        leave_effect(self)
        what = self.data.get("what") if self.attempt == 1 or self.data.get("always") else None
        if what == "atomic":
            with self.database.atomic():
                await asyncio.sleep(0.01)
        elif what is not None:
            await misbehave(what)
        while self.data.get("gate") and not (folder() / self.data["gate"]).exists():
            await asyncio.sleep(0.01)
        self.data["asked_by"] = os.getpid()
        return {"asked": self.attempt or 0}

    def tell(self) -> None:
        leave_effect(self)


class Round(Machine):
    """An ``async`` job for each of some numbers."""

    initial = "asking"
    states = [State("asking", job="ask", each="numbers"), State("ended", final=True)]
    transitions = [["done", "asking", "ended"]]

    async def ask(self, number: int) -> None:
        leave_effect(self)
        while not (folder() / "open").exists():
            await asyncio.sleep(0.01)


class Letter(Machine):
    """Two jobs that only wait, each in a thread where there are any."""

    initial = "new"
    states = [
        "new",
        State("sending", job="send_it", thread=True),
        State("brief", job="send_it", thread=True, timeout=0.5),
        State("ended", final=True),
    ]
    transitions = [
        ["go", "new", "sending"],
        ["go_briefly", "new", "brief"],
        ["done", ["sending", "brief"], "ended"],
    ]

    def send_it(self) -> dict[str, str]:
        leave_effect(self)
        if self.data.get("fails"):
            raise ConnectionError("nobody answers")
        if self.data.get("opens"):
            self.database.begin()
            self.database.execute_sql("UPDATE fsmflow_meta SET value = value")
        if self.data.get("gate"):
            wait_at(self.data["gate"])
        return {"thread": threading.current_thread().name}


class Errand(Machine):
    """One job, ``async`` or plain, of the queue that its data name, which tells when it began and ended."""

    initial = "new"
    states = [
        "new",
        State("running", job="run_it", queue="where"),
        State("plainly", job="do_it", queue="where"),
        State("ended", final=True),
    ]
    transitions = [
        ["go", "new", "running"],
        ["go_plainly", "new", "plainly"],
        ["done", ["running", "plainly"], "ended"],
    ]

    def where(self) -> str:
        return str(self.data["queue"])

    async def run_it(self) -> dict[str, float]:
        began = time.monotonic()
        leave_effect(self)
        while self.data.get("gate") and not (folder() / self.data["gate"]).exists():
            await asyncio.sleep(0.01)
        await asyncio.sleep(self.data.get("seconds", 0))
        return {"began": began, "over": time.monotonic()}

    def do_it(self) -> dict[str, float]:
        began = time.monotonic()
        leave_effect(self)
        return {"began": began, "over": time.monotonic()}


def die_in_turn(name: str, address: str) -> None:
    """SIGKILL this process where it passes a point for the n-th time, as ``DIES_AT`` names some: each strikes once."""
    for plan in os.environ["DIES_AT"].split(","):
        point, _, nth = plan.partition("~")
        if point == name:
            with (folder() / f"passed-{name}").open("a") as file:
                file.write("x")
                file.flush()
                if file.tell() == int(nth):
                    os.kill(os.getpid(), signal.SIGKILL)


if "fsmflow.running.worker" in sys.orig_argv and "DIES_AT" in os.environ:
    points.listen(die_in_turn)
