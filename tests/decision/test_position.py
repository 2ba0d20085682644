"""How far a feed has read: nothing that is unread is ever behind it, however numbers are committed."""

from __future__ import annotations

import random

import pytest

from fsmflow.decision.position import Gap, Position, position_of


def read(position: Position, number: int, at: int = 0, writers: tuple[int, ...] = ()) -> Position:
    """As a feed reads a line; what is stored in between says the same."""
    found = position.past(number, at, writers)
    assert position_of(found.upto, found.to_text()) == found
    return found


def unread(position: Position, most: int) -> set[int]:
    """All numbers that a feed would still find a line under."""
    below = {number for gap in position.gaps for number in range(gap.low, gap.high + 1)}
    return below | set(range(position.upto + 1, most + 1))


@pytest.mark.parametrize("seed", range(20))
def test_a_number_is_unread_until_it_is_read_in_whatever_order(seed: int) -> None:
    numbers = random.Random(seed).sample(range(1, 13), 12)
    position, left = Position(), set(range(1, 13))
    for number in numbers:
        position = read(position, number)
        left.discard(number)
        assert unread(position, 12) == left
        assert position.unread == min(left, default=13)
    assert position == Position(upto=12)


@pytest.mark.parametrize("seed", range(20))
def test_of_what_will_never_come_only_what_was_found_in_it_is_left(seed: int) -> None:
    chance, position = random.Random(seed), Position()
    there, late = (set(chance.sample(range(1, 31), chance.randint(1, 30))) for _ in range(2))
    for number in sorted(there):
        position = read(position, number)
    found = {number for number in late if number not in there and number < max(there)}
    closed = position.without(position.gaps, found)
    assert unread(closed, max(there)) == found
    kept = position.without(position.gaps[1:], ())
    assert kept.gaps == position.gaps[:1]


def test_who_may_still_commit_is_remembered_with_what_is_missing() -> None:
    position = read(read(Position(), 3, at=5, writers=(7, 8)), 6, at=9, writers=(8,))
    assert position.gaps == (Gap(low=1, high=2, since=5, writers=(7, 8)), Gap(low=4, high=5, since=9, writers=(8,)))
    assert read(position, 4).gaps[1] == Gap(low=5, high=5, since=9, writers=(8,))
    assert read(position, 6) == position


def test_what_was_given_out_when_a_mark_was_made_is_missing_since_then() -> None:
    position = Position(upto=1).marked(100, 1_000, 600)
    assert position.marked(200, 1_500, 600) == position
    later = position.marked(200, 2_000, 600)
    assert later.marks == ((100, 1_000), (200, 2_000))
    assert [gap.since for gap in later.past(100, 5_000).past(150, 5_000).past(300, 5_000).gaps] == [1_000, 2_000, 5_000]
    assert later.marked(300, 3_000, 600).marks == ((200, 2_000), (300, 3_000))
