"""What the jobs of simulated machines do: whatever the dice of the running simulation say."""

from __future__ import annotations

from typing import Any, Protocol

from fsmflow import Machine


class Player(Protocol):
    """Decides what a job does."""

    def play(self, machine: Machine, item: Any) -> Any:
        """Do it, and return or raise what the job does."""


class _Stage:
    player: Player | None = None


stage = _Stage()


def work(machine: Machine) -> Any:
    """A job of a state, or an undo."""
    return _playing().play(machine, None)


def branch_work(machine: Machine, item: Any = None) -> Any:
    """A job of a branch."""
    return _playing().play(machine, item)


def _playing() -> Player:
    if stage.player is None:
        raise AssertionError("no simulation runs")
    return stage.player
