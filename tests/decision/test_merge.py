"""What a job made of its data, and what others wrote meanwhile: the laws of the merge, and what it comes to."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmflow import codec
from fsmflow.decision.merge import MISSING, Merged, merge, same

DAY = datetime(2026, 7, 4, 12, tzinfo=UTC)
LEAVES = st.sampled_from([None, True, False, 0, 1, 1.0, 2, "", "a", Decimal("1"), Decimal("1.0"), DAY])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
TAILS = st.lists(LEAVES, min_size=1, max_size=3)
DATA = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def text(value: Any) -> Any:
    """A value as it is told from any other: by its stored form, in which the order of keys counts for nothing."""
    if isinstance(value, dict):
        return {key: text(item) for key, item in value.items()}
    return [text(item) for item in value] if isinstance(value, list) else codec.encode(value)


@given(DATA, DATA)
def test_what_one_side_alone_changed_counts(base: dict[str, Any], changed: dict[str, Any]) -> None:
    assert text(merge(base, base, changed).data) == text(changed)
    assert text(merge(base, changed, base).data) == text(changed)
    assert merge(base, base, changed).overwritten == merge(base, changed, base).overwritten == {}


@given(st.dictionaries(st.sampled_from("abc"), LEAVES), st.dictionaries(st.sampled_from("abc"), LEAVES))
def test_a_value_that_both_made_alike_is_that_and_nothing_is_overwritten(
    base: dict[str, Any], both: dict[str, Any]
) -> None:
    assert merge(base, both, copy.deepcopy(both)) == Merged(both)


def test_a_merge_is_asked_of_what_both_made_alike_and_may_have_no_answer() -> None:
    asked = []

    def resolve(path: str, base: Any, theirs: Any, mine: Any) -> Any:
        asked.append(path)
        return theirs + mine - base if path == "n" else None

    merged = merge({"n": 1, "m": 1, "gone": 1}, {"n": 2, "m": 2, "gone": 2}, {"n": 2, "m": 3}, resolve)
    assert (asked, merged.data) == (["n", "m", "gone"], {"n": 3, "m": 3, "gone": None})
    assert merged.overwritten == {("m",): 2}


def test_what_was_edited_by_hand_stands_and_what_the_job_made_beside_it_is_kept() -> None:
    base: dict[str, Any] = {"m": {"ok": False}, "log": [], "card": "old", "n": 1}
    theirs = {"m": {"ok": True, "a": 1}, "log": ["op"], "card": "old", "n": 1}
    mine = {"m": {"ok": None, "paid": "P1"}, "log": ["charged"], "card": "new", "n": 2}
    merged = merge(base, theirs, mine, edited=frozenset({"m", "log", "card"}))
    assert merged.data == {"m": {"ok": True, "a": 1, "paid": "P1"}, "log": ["op", "charged"], "card": "old", "n": 2}
    assert merged.overwritten == {}


@given(st.lists(LEAVES, max_size=4), st.lists(LEAVES, min_size=1, max_size=3), st.lists(LEAVES, min_size=1, max_size=3))
def test_of_a_list_to_which_both_appended_both_ends_are_there(
    base: list[Any], theirs: list[Any], mine: list[Any]
) -> None:
    merged = merge({"log": base}, {"log": [*base, *theirs]}, {"log": [*base, *mine]})
    assert text(merged.data) == text({"log": [*base, *theirs, *mine]})
    assert merged.overwritten == {}


@given(DATA, DATA, DATA)
def test_each_value_of_the_outcome_is_of_one_side_and_nothing_is_lost_unsaid(
    base: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]
) -> None:
    before = copy.deepcopy((base, theirs, mine))
    merged = merge(base, theirs, mine)
    assert text((base, theirs, mine)) == text(before)
    for key in {*base, *theirs, *mine}:
        sides = [side.get(key, MISSING) for side in (base, theirs, mine)]
        if not same(sides[1], sides[0]) and same(sides[2], sides[0]):
            assert same(merged.data.get(key, MISSING), sides[1])
        for path, lost in merged.overwritten.items():
            if path == (key,):
                assert same(lost, sides[1])
                assert same(merged.data.get(key, MISSING), sides[2])


@given(DATA, DATA, DATA)
def test_a_merge_is_asked_of_all_that_would_be_overwritten(
    base: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]
) -> None:
    asked: list[str] = []

    def resolve(key: str, *values: Any) -> Any:
        asked.append(key)
        return values[1]

    merge(base, theirs, mine, resolve)
    assert {".".join(path) for path in merge(base, theirs, mine).overwritten} <= set(asked)


#: base, theirs, mine; what is merged, and what is overwritten.
CASES: dict[str, tuple[Any, Any, Any, Any, dict[tuple[str, ...], Any]]] = {
    "leaves of a mapping": (
        {"c": {"a": 1, "b": 1}},
        {"c": {"a": 2, "b": 1}},
        {"c": {"a": 1, "b": 2}},
        {"c": {"a": 2, "b": 2}},
        {},
    ),
    "a mapping that both began": ({}, {"c": {"a": 1}}, {"c": {"b": 2}}, {"c": {"a": 1, "b": 2}}, {}),
    "a list that both began": ({}, {"log": ["t"]}, {"log": ["m"]}, {"log": ["t", "m"]}, {}),
    "numbers": ({"n": 1}, {"n": 2}, {"n": 3}, {"n": 3}, {("n",): 2}),
    "true is not one": ({"n": 1}, {"n": True}, {"n": 1}, {"n": True}, {}),
    "one is not 1.0": ({"n": 1}, {"n": 1.0}, {"n": 2}, {"n": 2}, {("n",): 1.0}),
    "a decimal with its places": (
        {"n": Decimal("1")},
        {"n": Decimal("1.0")},
        {"n": Decimal("1")},
        {"n": Decimal("1.0")},
        {},
    ),
    "both removed": ({"a": 1}, {}, {}, {}, {}),
    "they removed, I left alone": ({"a": 1}, {}, {"a": 1}, {}, {}),
    "they removed, I changed": ({"a": 1}, {}, {"a": 2}, {"a": 2}, {("a",): MISSING}),
    "they changed, I removed": ({"a": 1}, {"a": 2}, {}, {}, {("a",): 2}),
    "they changed inside, I removed all": ({"c": {"a": 1}}, {"c": {"a": 2}}, {}, {}, {("c",): {"a": 2}}),
    "another type": ({"a": 1}, {"a": [1]}, {"a": {"x": 1}}, {"a": {"x": 1}}, {("a",): [1]}),
    "a list that one took from": ({"a": [1, 2]}, {"a": [1, 2, 3]}, {"a": [1]}, {"a": [1]}, {("a",): [1, 2, 3]}),
    "deep down": (
        {"a": {"b": {"c": 1, "log": []}}},
        {"a": {"b": {"c": 2, "log": ["t"]}}},
        {"a": {"b": {"c": 3, "log": ["m"]}}},
        {"a": {"b": {"c": 3, "log": ["t", "m"]}}},
        {("a", "b", "c"): 2},
    ),
    "inside of a list": (
        {"a": [{"x": 1}]},
        {"a": [{"x": 2}]},
        {"a": [{"x": 3}]},
        {"a": [{"x": 3}]},
        {("a",): [{"x": 2}]},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_merge_of_three(name: str) -> None:
    base, theirs, mine, expected, overwritten = CASES[name]
    merged = merge(base, theirs, mine)
    assert text(merged.data) == text(expected)
    assert {path: None if value is MISSING else text(value) for path, value in merged.overwritten.items()} == {
        path: None if value is MISSING else text(value) for path, value in overwritten.items()
    }


def test_who_is_asked_sees_none_for_what_is_not_there() -> None:
    seen: list[Any] = []

    def resolve(*asked: Any) -> str:
        seen.append(asked)
        return "said"

    merged = merge({"c": {"n": 1}}, {"c": {}}, {"c": {"n": 2}}, resolve)
    assert (merged, seen) == (Merged({"c": {"n": "said"}}), [("c.n", 1, None, 2)])
