"""Ids that are made: UUIDs of version 7, which sort by time."""

from __future__ import annotations

from uuid import RFC_4122

from fsmflow.ids import uuid7


def test_an_id_is_a_uuid_of_version_7_with_its_millisecond() -> None:
    made = uuid7(1_893_456_000_123)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == 1_893_456_000_123


def test_ids_sort_by_the_millisecond_in_which_they_were_made() -> None:
    moments = [*range(0, 1_000, 7), 2**40, 2**40 + 1, 2**47]
    made = [str(uuid7(moment)) for moment in moments]
    assert made == sorted(made)


def test_no_two_ids_of_a_millisecond_are_the_same() -> None:
    assert len({uuid7(1_893_456_000_123) for _ in range(10_000)}) == 10_000
