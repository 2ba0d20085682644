"""Waiting between tries: how long, and for how long."""

from __future__ import annotations

import pytest

from fsmflow import clock
from fsmflow.patience import Patience


class Time:
    """Time that passes by pauses alone."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "pause", time.pause)
    monkeypatch.setattr(clock, "monotonic", lambda: time.now)
    return time


def test_each_pause_is_twice_as_long_as_the_last_up_to_the_longest(time: Time) -> None:
    patience = Patience(0.5, 3.0)
    for _ in range(5):
        assert not patience.is_over
        patience.pause()
    assert time.pauses == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_what_is_told_before_a_pause_is_how_long_it_takes(time: Time) -> None:
    patience = Patience(0.5)
    told = []
    for _ in range(4):
        told.append(patience.next_s)
        patience.pause()
    assert told == time.pauses


def test_after_a_success_it_begins_anew(time: Time) -> None:
    patience = Patience(0.5, tries=3, total_s=2.0)
    patience.pause()
    patience.pause()
    assert patience.is_over
    time.now += 60
    patience.begin_anew()
    assert not patience.is_over
    patience.pause()
    assert time.pauses == [0.5, 1.0, 0.5]


def test_so_many_tries_and_no_more(time: Time) -> None:
    patience = Patience(tries=5)
    tries = 1
    while not patience.is_over:
        patience.pause()
        tries += 1
    assert tries == 5
    assert len(time.pauses) == 4


def test_one_try_is_no_second_one(time: Time) -> None:
    assert Patience(tries=1).is_over


def test_so_much_time_and_no_more(time: Time) -> None:
    """Also where it is the tries that take it."""
    patience = Patience(tries=5, total_s=5.0)
    assert not patience.is_over
    time.now += 5.1
    assert patience.is_over
