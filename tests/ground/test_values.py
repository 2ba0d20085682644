"""Dataclasses whose methods are written late, and copies of values with other fields."""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import pickle
import re
from dataclasses import KW_ONLY, field
from functools import cached_property
from typing import Any

import pytest

from fsmflow import Retry, Schedule, State
from fsmflow.decision.work import Work, WorkKind
from fsmflow.values import dataclass, made, replace
from tests.support.paths import ROOT


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


@dataclasses.dataclass(frozen=True, slots=True)
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


def _written_by(writer: Any) -> tuple[type, type]:
    """A class with all that is in use here, and one below it."""

    @writer(frozen=True)
    class Place:
        """Where."""

        row: int
        name: str = field(default="", compare=False)
        _: KW_ONLY
        tags: list[str] = field(default_factory=list, hash=False)
        secret: str = field(default="x", repr=False)

        def __post_init__(self) -> None:
            if self.row < 0:
                raise ValueError(self.row)

    @writer(frozen=True, kw_only=True)
    class Room(Place):
        """Inside."""

        floor: int

        def __repr__(self) -> str:
            return f"room {self.row}"

    return Place, Room


def _told(function: Any) -> Any:
    try:
        return function()
    except (AttributeError, TypeError, ValueError) as error:
        return type(error), str(error)


def _below(kind: type, *, frozen: bool) -> Any:
    """A dataclass of a user's own that is made of one of ours."""
    return dataclasses.dataclass(frozen=frozen)(type("Below", (kind,), {}))


@pytest.mark.parametrize("of", [0, 1], ids=["Place", "Room"])
def test_a_class_is_what_dataclasses_makes_of_it(of: int) -> None:
    more = {"floor": 4} if of else {}

    def seen(kind: Any) -> list[Any]:
        one, same, other = kind(1, tags=["a"], **more), kind(1, "named", tags=["a"], **more), kind(2, **more)
        return [
            inspect.signature(kind),
            inspect.signature(kind.__init__),
            kind.__init__.__qualname__,
            kind.__match_args__,
            kind.__doc__,
            [(each.name, each.type, each.kw_only) for each in dataclasses.fields(kind)],
            [repr(one), repr(same), hash(one) == hash(same), hash(one) == hash(other)],
            [one == same, one != same, one == other, one == 1, kind(1, **more).tags is kind(1, **more).tags],
            dataclasses.asdict(one),
            vars(dataclasses.replace(one, row=7)),
            vars(copy.copy(one)),
            *(_told(lambda name=name: setattr(one, name, 3)) for name in ("row", "tags", "nothing")),
            *(_told(lambda name=name: delattr(one, name)) for name in ("row", "nothing")),
            _told(kind),
            _told(lambda: kind(1, 2, 3)),
            _told(lambda: kind(-1, **more)),
            _told(lambda: kind(1, colour=2, **more)),
            _told(lambda: one < other),
            *(_told(lambda frozen=frozen: _below(kind, frozen=frozen)(1, **more).row) for frozen in (True, False)),
        ]

    ours, theirs = (_written_by(each)[of] for each in (dataclass, dataclasses.dataclass))
    for mine, expected in zip(seen(ours), seen(theirs), strict=True):
        assert mine == expected


def test_whoever_derives_from_one_may_hold_more() -> None:
    kind: Any = type("Suite", (_written_by(dataclass)[0],), {})
    suite = kind(1)
    suite.colour = "red"
    assert (suite.colour, repr(suite)) == ("red", repr(suite))
    del suite.colour
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'row'"):
        suite.row = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'row'"):
        del suite.row


def test_one_that_changes_has_no_hash() -> None:
    derived = Derived(1)
    derived.width = 2
    assert derived == Derived(2)
    with pytest.raises(TypeError, match="unhashable type: 'Derived'"):
        hash(derived)


def test_one_that_is_equal_to_itself_alone() -> None:
    @dataclass(frozen=True, eq=False)
    class Mark:
        width: int

    assert Mark(1) != Mark(1)
    assert len({Mark(1), Mark(1)}) == 2


def test_a_value_is_pickled() -> None:
    work = Work(epoch=3, kind=WorkKind.JOB, wake_at=0, queue="slow")
    assert pickle.loads(pickle.dumps(work)) == work


def test_a_method_is_written_once_it_is_called() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Fresh:
        width: int

    methods = ("__init__", "__repr__", "__eq__", "__hash__")
    assert not any(inspect.isfunction(vars(Fresh)[name]) for name in methods)

    fresh = Fresh(width=1)
    assert [inspect.isfunction(vars(Fresh)[name]) for name in methods] == [True, False, False, False]

    assert (fresh, hash(fresh)) == (Fresh(width=1), hash(Fresh(width=1)))
    assert repr(fresh).endswith("Fresh(width=1)")
    assert all(inspect.isfunction(vars(Fresh)[name]) for name in methods)


def test_all_of_ours_are_of_this_kind() -> None:
    for path in (ROOT / "fsmflow").rglob("*.py"):
        if path == ROOT / "fsmflow" / "values.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
                assert "dataclass" not in {alias.name for alias in node.names}, path
            # What users declare as types may be dataclasses of the standard library, which are looked into.
            if isinstance(node, ast.Import) and path.parent != ROOT / "fsmflow" / "shapes":
                assert "dataclasses" not in {alias.name for alias in node.names}, path


class TestOptions:
    @pytest.mark.parametrize(
        ("kind", "first", "option", "told"),
        [
            (State, ["x"], "retries", "State('x', ...) takes no 'retries'; did you mean 'retry'?"),
            (State, ["x"], "timeuot", "State('x', ...) takes no 'timeuot'; did you mean 'timeout'?"),
            (Retry, [], "max_retries", "Retry(...) takes no 'max_retries'; did you mean 'max'?"),
            (Schedule, ["* * * * *"], "tz", "Schedule('* * * * *', ...) takes no 'tz'; did you mean 'zone'?"),
            (Schedule, ["* * * * *"], "blue", "takes no 'blue'; it takes cron, zone, overlap"),
        ],
    )
    def test_one_that_there_is_not_is_told_with_the_likely_one(
        self, kind: Any, first: list[str], option: str, told: str
    ) -> None:
        with pytest.raises(TypeError, match=re.escape(told)):
            kind(*first, **{option: 3})

    def test_a_class_that_a_user_has_derived_takes_what_it_likes(self) -> None:
        class Slow(State):
            def __init__(self, name: str, *, hours: int) -> None:
                super().__init__(name, timeout=hours * 3_600)

        assert Slow("x", hours=2).timeout == 7_200
        assert copy.copy(State("x", wait=True)) == State("x", wait=True)
