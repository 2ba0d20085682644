"""Copies of values with other fields."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property

import pytest

from fsmflow.decision.values import made, replace
from fsmflow.decision.work import Work, WorkKind


@dataclass(frozen=True, kw_only=True)
class Box:
    width: int
    depth: int = 2
    marks: list[str] = field(default_factory=list)

    @cached_property
    def area(self) -> int:
        return self.width * self.depth


def test_a_copy_is_what_dataclasses_would_make() -> None:
    work = Work(epoch=3, kind=WorkKind.JOB, wake_at=0, queue="slow")

    copy = replace(work, wake_at=7, queue=None)

    assert copy == dataclasses.replace(work, wake_at=7, queue=None)
    assert vars(copy) == vars(dataclasses.replace(work, wake_at=7, queue=None))
    assert (work.wake_at, work.queue) == (0, "slow")


def test_a_copy_is_frozen_too() -> None:
    copy = replace(Box(width=1), depth=5)

    with pytest.raises(dataclasses.FrozenInstanceError):
        copy.width = 9  # type: ignore[misc]


def test_what_a_value_has_cached_is_worked_out_anew_for_the_copy() -> None:
    box = Box(width=3)
    assert box.area == 6

    assert replace(box, width=5).area == 10
    assert replace(box).area == 6
    assert "area" not in vars(replace(box))


def test_a_field_that_a_value_does_not_have_is_refused_by_name() -> None:
    box = Box(width=3)
    assert box.area == 6

    with pytest.raises(TypeError, match="Box has no field colour, length"):
        replace(box, length=1, colour=2, depth=1)  # type: ignore[call-arg]


def test_a_value_is_made_of_all_its_fields() -> None:
    assert made(Box, {"width": 3, "depth": 2, "marks": ["fragile"]}) == Box(width=3, marks=["fragile"])

    with pytest.raises(TypeError, match="Box has other fields: height, marks"):
        made(Box, {"width": 3, "depth": 2, "height": 4})


@dataclass(frozen=True)
class Checked:
    width: int

    def __post_init__(self) -> None:
        if self.width < 0:
            raise ValueError(self.width)


@dataclass(frozen=True, slots=True)
class Slotted:
    width: int


@dataclass
class Derived:
    width: int
    area: int = field(init=False, default=0)


@pytest.mark.parametrize("value", [Checked(1), Slotted(1), Derived(1)])
def test_a_class_that_does_more_than_to_hold_its_fields_is_refused(value: Checked | Slotted | Derived) -> None:
    with pytest.raises(TypeError, match=f"{type(value).__name__} does more than to hold its fields"):
        replace(value, width=2)
