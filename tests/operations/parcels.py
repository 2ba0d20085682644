"""Parcels that are overdue, fail, wait and get stuck; and what tests of alarms do with them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from fsmflow import (
    Fail,
    Failing,
    Machine,
    Overdue,
    State,
    alarms,
    points,
    settings,
)
from fsmflow.channels.kinds import Log
from fsmflow.operations.watch import CALM_MS, EVERY_MS, Watch
from fsmflow.values import replace
from tests.support.bench import Bench
from tests.support.machines import Trigger

HOUR = 3_600


class Parcel(Machine):
    """Is collected within an hour, as a rule, and packed."""

    name = "parcel"
    initial = "shelved"
    renamed_states = {"stored": "shelved"}
    states = [
        State("shelved", expect=timedelta(hours=1)),
        State("packing", job="pack", queue="slow"),
        State("asking", timeout=60),
        State("gone", final=True),
    ]
    transitions = [
        ["collect", "shelved", "packing"],
        ["ask", "shelved", "asking"],
        {"trigger": "timeout", "source": "asking", "dest": "gone", "conditions": "is_answered"},
        ["done", "packing", "gone"],
    ]
    alarms = [Overdue(), Failing(2, within=600)]
    collect: Trigger
    ask: Trigger

    def pack(self) -> None:
        raise Fail(f"no box for {self.data['size']}")

    def is_answered(self) -> bool:
        return bool(self.data.get("answered"))


def watches(bench: Bench, *wanted: Any) -> None:
    """Have the installation want these alarms."""
    chosen = replace(bench.runtime.settings, alarms=wanted, channels={"ops": Log()})
    settings.choose(chosen)
    bench.runtime.settings = chosen


def look(bench: Bench, seconds: float = EVERY_MS / 1000) -> None:
    """Let time pass, and have a sweeper look that has not looked before."""
    bench.clock.ms += round(seconds * 1000)
    Watch(bench.runtime).go_on()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines of alarms so far, which are forgotten then."""
    found = [each.getMessage() for each in caplog.records if each.getMessage().startswith("alarm.")]
    caplog.clear()
    return found


def settle(bench: Bench) -> None:
    """Look until what is over has been so for long enough."""
    for _ in range(CALM_MS // EVERY_MS + 1):
        look(bench)


def raising(error: BaseException) -> Any:
    """A function that raises."""

    def act(*args: Any, **options: Any) -> Any:
        raise error

    return act


@contextlib.contextmanager
def at_point(name: str, act: Callable[[], Any]) -> Iterator[None]:
    """Inside, this is done the first time that a point is passed."""
    passed: list[str] = []

    def listen(point: str, about: str) -> None:
        if point == name and not passed:
            passed.append(about)
            act()

    points.listen(listen)
    try:
        yield
    finally:
        points.listen(None)
    assert passed


def kinds() -> list[str]:
    return [each.kind for each in alarms.raised()]


def text_of(kind: str) -> str:
    return next(each.text for each in alarms.raised() if each.kind == kind)


def fail(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        Parcel.start(number, size="small").collect()
        bench.step("slow")
