"""Processes that die as they pass a point: workers once it is armed, supervisors at the time that is named for them.
Named beside the machines, in their environment."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from fsmflow import points


def _die(name: str, about: str) -> None:
    folder = Path(os.environ["EFFECTS"])
    with suppress(FileNotFoundError):
        (folder / f"armed-{name}").rename(folder / f"died-{name}")  # by one process alone
        os.utime(folder / f"died-{name}")
        os.kill(os.getpid(), signal.SIGKILL)


def _die_as_a_supervisor(name: str, about: str) -> None:
    """SIGKILL this process at the n-th time that it passes a point, whatever that is about."""
    with (Path(os.environ["EFFECTS"]) / f"supervisor-at-{name}").open("a") as file:
        file.write("x")
        file.flush()
        if os.environ["SUPERVISOR_DIES_AT"] == f"{name}~{file.tell()}":
            os.kill(os.getpid(), signal.SIGKILL)


if "fsmflow.running.worker" in sys.orig_argv and "EFFECTS" in os.environ:
    points.listen(_die)
elif "worker" in sys.orig_argv and "SUPERVISOR_DIES_AT" in os.environ:
    points.listen(_die_as_a_supervisor)
