"""The stored form of data: what comes back as it was, and what is refused, with its place."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmflow import DataError
from fsmflow.codec import MAX_BYTES, MAX_DEPTH, decode, encode

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


class NotATime(datetime):
    """Behaves like NaT of pandas, which is a datetime in name alone."""

    def utcoffset(self) -> Any:
        raise ValueError("NaTType does not support utcoffset")

    def isoformat(self, *_: Any) -> str:
        return "NaT"

    def __repr__(self) -> str:
        return "NaT"


class NoDay(date):
    """The same of a date."""

    def isoformat(self) -> str:
        return "NaT"

    def __repr__(self) -> str:
        return "NaT"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**80,
        0.1,
        -0.0,
        1e300,
        "",
        "ö\u2028\x00\U0001f600",
        [],
        {},
        [[], {}],
        {"": 1, "ö": {"a b": None}},
        MOMENT,
        MOMENT.replace(tzinfo=None),
        MOMENT.replace(tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
        MOMENT.replace(tzinfo=timezone(timedelta(seconds=3_661, microseconds=5))),
        datetime.min,
        datetime.max,
        date(2026, 1, 2),
        date.min,
        Decimal("0.10"),
        Decimal("-0"),
        Decimal("1E+999"),
        Decimal("123456789012345678901234567890.123456789"),
        UUID(int=2**127),
        {"nested": [{"at": MOMENT, "days": [date(2026, 1, 2)]}, {"price": Decimal("9.99"), "id": UUID(int=1)}]},
    ],
)
def test_what_comes_back_is_what_was_stored(value: Any) -> None:
    back = decode(encode(value))
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


@pytest.mark.parametrize("tag", ["$datetime", "$date", "$decimal", "$uuid", "$dict"])
@pytest.mark.parametrize("inner", ["2026-01-02", None, [], [["$date", 1]], {"$date": "2026-01-02"}, MOMENT])
def test_dicts_that_look_like_tags_come_back_as_they_were(tag: str, inner: Any) -> None:
    for value in ({tag: inner}, [{tag: inner}], {"a": {tag: {tag: inner}}}, {tag: inner, "more": 1}):
        assert decode(encode(value)) == value


def test_other_dicts_with_a_dollar_are_left_alone() -> None:
    assert encode({"$set": 1}) == '{"$set":1}'
    assert decode(encode({"$set": {"$date": 1}})) == {"$set": {"$date": 1}}


class Point(NamedTuple):
    x: int
    y: int


class Colour(StrEnum):
    RED = "red"


class Old(str, Enum):  # noqa: UP042 - what users still write
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Ratio(float):
    """A float of the user's."""


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({"a": MOMENT}), {"a": MOMENT}),
        (Colour.RED, "red"),
        (Old.RED, "red"),
        (Size.BIG, 3),
        (Ratio(0.5), 0.5),
        ({Old.RED: 1, Colour.RED: 2}, {"red": 2}),
    ],
)
def test_subclasses_and_other_mappings_come_back_plain(value: Any, plain: Any) -> None:
    back = decode(encode(value))
    assert back == plain
    assert type(back) is type(plain)
    assert json.loads(encode(value)) is not None


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


CYCLE: list[Any] = []
CYCLE.append({"again": CYCLE})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": {1, 2}}, r"data['a'] is {1, 2} (set), which cannot be stored; data holds JSON, datetime, date, Decimal"),
        ({"a": [0, b"x"]}, "data['a'][1] is b'x' (bytes), which cannot be stored"),
        ({"a": {"b": object}}, "data['a']['b'] is <class 'object'> (type), which cannot be stored"),
        ([timedelta(1)], "data[0] is datetime.timedelta(days=1) (timedelta)"),
        ({"at": NotATime(2026, 1, 1)}, "data['at'] is NaT (NotATime), which cannot be stored: it is no moment"),
        ([NoDay(2026, 1, 1)], "data[0] is NaT (NoDay), which cannot be stored: it is no moment"),
        ([time(1)], "data[0] is datetime.time(1, 0) (time)"),
        ([1j], "data[0] is 1j (complex)"),
        ([lambda: 1], "data[0] is <function"),
        ([(x for x in "a")], "data[0] is <generator"),
        ([bytearray(9_999)], "..."),
        ({"a": float("nan")}, "data['a'] is nan; only finite numbers can be stored"),
        ([float("inf")], "data[0] is inf; only finite numbers"),
        ([-float("inf")], "data[0] is -inf; only finite numbers"),
        ([Ratio("nan")], "data[0] is nan; only finite numbers"),
        ([Decimal("NaN")], "data[0] is Decimal('NaN'); only finite numbers"),
        ([Decimal("sNaN")], "data[0] is Decimal('sNaN'); only finite numbers"),
        ([Decimal("-Infinity")], "data[0] is Decimal('-Infinity'); only finite numbers"),
        ({"a": {1: 2}}, "data['a'] has the key 1 (int); keys are text"),
        ({None: 2}, "data has the key None (NoneType); keys are text"),
        ({"a": {b"b": 2}}, "data['a'] has the key b'b' (bytes); keys are text"),
        ({"a": {("b", 1): 2}}, "data['a'] has the key ('b', 1) (tuple); keys are text"),
        (nested(MAX_DEPTH + 1), "[0][0] is nested deeper than 64 levels"),
        (CYCLE, "['again'] is nested deeper than 64 levels"),
        ({"a": ["ok", "\ud800"]}, "data['a'][1] cannot be stored: 'utf-8' codec can't encode character '\\ud800'"),
        ({"a": {"\udfff": 1}}, "the key '\\udfff' of data['a'] cannot be stored"),
        ({"a": [1, 10**5000]}, "data['a'][1] cannot be stored: Exceeds the limit"),
        ({"a": MappingProxyType({"b": (1, "\ud800")})}, "data['a']['b'][1] cannot be stored"),
        (
            "x" * MAX_BYTES,
            "data has 262,146 bytes; 262,144 are allowed. Keep large things elsewhere and their key here",
        ),
        ("ö" * (MAX_BYTES // 2), "data has 262,146 bytes"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(DataError) as caught:
        encode(value)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("microseconds", [1, -1, 999_999, -999_999])
def test_an_offset_from_utc_below_a_second_is_refused(microseconds: int) -> None:
    zone = timezone(timedelta(microseconds=microseconds))
    with pytest.raises(DataError, match=r"data\['at'\] is .* its offset from UTC is less than a second"):
        encode({"at": MOMENT.replace(tzinfo=zone)})


def test_the_refusal_names_what_was_to_be_stored() -> None:
    with pytest.raises(DataError, match=r"payload\['x'\] is nan"):
        encode({"x": float("nan")}, what="payload")
    with pytest.raises(DataError, match="result has 12 bytes; 10 are allowed"):
        encode("x" * 10, what="result", limit=10)


def test_the_limits_themselves_are_allowed() -> None:
    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    assert len(encode("x" * (MAX_BYTES - 2))) == MAX_BYTES


def test_what_is_stored_is_json_that_any_tool_can_read() -> None:
    stored = json.loads(encode({"at": MOMENT, "on": date(2026, 1, 2), "price": Decimal("1.50"), "id": UUID(int=1)}))
    assert stored == {
        "at": {"$datetime": "2026-01-02T03:04:05.000678+00:00"},
        "on": {"$date": "2026-01-02"},
        "price": {"$decimal": "1.50"},
        "id": {"$uuid": "00000000-0000-0000-0000-000000000001"},
    }


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
#: Those below a second are refused, which has a test of its own.
OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).filter(
    lambda offset: not offset or abs(offset) >= timedelta(seconds=1)
)
ZONES = st.one_of(st.none(), OFFSETS.map(timezone))
STORABLE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
        st.datetimes(timezones=ZONES),
        st.dates(),
        st.decimals(allow_nan=False, allow_infinity=False),
        st.uuids(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(TEXT, st.sampled_from(["$date", "$dict", "$datetime", "$decimal", "$uuid"])), inner),
    ),
    max_leaves=12,
)


@given(STORABLE)
def test_everything_that_can_be_stored_comes_back_as_it_was(value: Any) -> None:
    text = encode(value, limit=2**30)
    back = decode(text)
    assert back == value
    assert repr(back) == repr(_without_fold(value))
    assert encode(back, limit=2**30) == text


def _without_fold(value: Any) -> Any:
    """A datetime's ``fold`` has no place in ISO 8601, and means nothing where the offset is known."""
    if isinstance(value, datetime):
        return value.replace(fold=0)
    if isinstance(value, list):
        return [_without_fold(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_fold(item) for key, item in value.items()}
    return value
