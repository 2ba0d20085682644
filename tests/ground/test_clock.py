"""The clock that is moved by hand."""

from __future__ import annotations

from fsmflow import clock
from fsmflow.clock import HandClock


def test_a_clock_moved_by_hand_never_goes_back() -> None:
    hand = HandClock(1000)
    hand.move_to(3000)
    hand.move_to(2000)
    assert hand.now() == 3000


def test_a_stored_moment_reads_as_its_datetime_does() -> None:
    for moment in (0, 1, 999, 59_999, 3_600_000, 1_700_000_000_123, 4_102_444_799_999, -1):
        assert clock.iso_of_ms(moment) == clock.iso(clock.to_datetime(moment))
