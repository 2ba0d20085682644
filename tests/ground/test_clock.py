"""The clock that is moved by hand."""

from __future__ import annotations

from fsmflow.clock import HandClock


def test_a_clock_moved_by_hand_never_goes_back() -> None:
    hand = HandClock(1000)
    hand.move_to(3000)
    hand.move_to(2000)
    assert hand.now() == 3000
