"""What the fuzz targets are fed: classes, command lines, values, planted jobs and texts, most of them wrong.

A value that has no short repr (a cycle, ten thousand levels, a megabyte) is drawn as a ``Made``, which ``build`` turns
into the thing itself: so that the smallest input that fails can be printed, and made smaller before.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from functools import partial
from operator import mul
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

#: Any character at all: NUL, lone surrogates, what commands a terminal.
CHARACTERS = st.characters(exclude_categories=())
TEXTS = st.text(CHARACTERS, max_size=12)
#: Too large for a float, and even for a text.
HUGE_NUMBERS = st.sampled_from([400, 5000]).map(lambda digits: 10**digits)


@dataclass(frozen=True)
class Made:
    """A value that is told by how it is made."""

    name: str
    make: Callable[[], Any]

    def __repr__(self) -> str:
        return f"<{self.name}>"


def build(drawn: Any) -> Any:
    """The value that was drawn, with each ``Made`` in it made."""
    kind = type(drawn)
    if kind is Made:
        return drawn.make()
    if kind in (list, tuple):
        return kind(build(item) for item in drawn)
    if kind is dict:
        return {key: build(item) for key, item in drawn.items()}
    return drawn


class Word(str):
    """A subclass that lies about itself."""

    def __str__(self) -> str:
        return "not me"

    __repr__ = __str__


class Count(int):
    def __repr__(self) -> str:
        return "not a number"


class Size(IntEnum):
    BIG = 3


class Shade(str, Enum):  # noqa: UP042 - what users still write
    RED = "red"


class Mute:
    """Something that cannot even be shown; to Hypothesis alone it can."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("Mute()")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __str__(self) -> str:
        raise RuntimeError("no str")


class Adrift(tzinfo):
    """A time zone without an offset."""

    def utcoffset(self, dt: datetime | None) -> None:
        return None

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


def nested(depth: int, *, mappings: bool = False) -> Any:
    """So many lists, or dicts, one in the other."""
    value: Any = 1
    for _ in range(depth):
        value = {"in": value} if mappings else [value]
    return value


def _cycle() -> Any:
    value: dict[str, Any] = {}
    value["list"] = [value]
    return value


_PLAIN_MADE = [
    Made("10**5000", lambda: 10**5000),
    Made("-(10**4299)", lambda: -(10**4299)),
    Made("1e999999 as Decimal", lambda: Decimal("1E+999999")),
    Made("300,000 letters", lambda: "x" * 300_000),
    Made("100,000 letters of 4 bytes", lambda: "\U0001f600" * 100_000),
    Made("a dict with 300,000 letters as key", lambda: {"k" * 300_000: 1}),
    Made("100,000 numbers", lambda: list(range(100_000))),
    Made("63 lists", lambda: nested(62)),
    Made("65 lists", lambda: nested(65)),
    Made("10,000 lists", lambda: nested(10_000)),
    Made("10,000 dicts", lambda: nested(10_000, mappings=True)),
    Made("a cycle", _cycle),
]
_TYPED_MADE = [
    Made("Word", lambda: Word("word")),
    Made("Count", lambda: Count(7)),
    Made("Size.BIG", lambda: Size.BIG),
    Made("Shade.RED", lambda: Shade.RED),
    Made("{Word: 1}", lambda: {Word("key"): 1}),
    Made("OrderedDict", lambda: OrderedDict(b=1, a=2)),
    Made("mappingproxy", lambda: MappingProxyType({"a": [1]})),
    Made("Mute", Mute),
    Made("{Mute: 1}", lambda: {Mute(): 1}),
    Made("object", object),
    Made("a class", lambda: Mute),
    Made("a function", lambda: _cycle),
    Made("a generator", lambda: (number for number in range(3))),
    Made("a file", lambda: Path(__file__).open),
    Made("range", lambda: range(3)),
    Made("memoryview", lambda: memoryview(b"x")),
    Made("Fraction", lambda: Fraction(1, 3)),
    Made("complex", lambda: 1 + 2j),
    Made("Adrift", lambda: datetime(2026, 1, 1, tzinfo=Adrift())),
    Made("the hour that comes twice", lambda: datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))),
]
MADE = st.sampled_from([*_PLAIN_MADE, *_TYPED_MADE])
_OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**53 + 1, 2**63, -(2**63) - 1, 2**64]),
    st.floats(),
    TEXTS,
    st.sampled_from(["\x00", "\ud800", "a\x00b", "\udcff", "\u2028", "", "$date", "NaN", "\N{ZERO WIDTH JOINER}"]),
    st.binary(max_size=4),
    st.decimals(),
    st.sampled_from([Decimal("sNaN"), Decimal("-Infinity"), Decimal("-0"), Decimal("1E+50000")]),
    st.datetimes(timezones=st.one_of(st.none(), st.just(UTC), _OFFSETS)),
    st.one_of(st.dates(), st.times(), st.timedeltas(), st.uuids(), st.complex_numbers()),
    MADE,
)
#: Texts that a database may take for one another: by case, accents, spaces at the end, or its way to compare.
ALIKE = st.sampled_from(
    [
        "a",
        "a ",
        "a  ",
        " a",
        "A",
        "á",
        "a\u0301",
        "ä",
        "ß",
        "ss",
        "\uff41",
        "a\u200b",
        "\u200ba",
        "a\xad",
        "\u0131",
        "i",
    ]
)
KEYS = st.one_of(TEXTS, st.sampled_from(["$date", "$decimal", "$dict", "$uuid", "a.b", "", "\x00", "\ud800"]))
ODD_KEYS = st.one_of(KEYS, st.none(), st.integers(), st.booleans(), st.binary(max_size=2), st.uuids())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(ODD_KEYS, inner, max_size=2),
        st.sets(st.integers(), max_size=2),
    ),
    max_leaves=8,
)


def faithful(value: Any) -> Any:
    """What has to be equal of a value that is stored and of the value that is read back: types and all digits."""
    if value is None or isinstance(value, bool):
        return value
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value)
    raise AssertionError(f"stored, although it is a {type(value).__name__}")


_FORMS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (str, lambda value: ("text", str.__str__(value))),
    (int, lambda value: ("int", int.__add__(value, 0))),
    (float, lambda value: ("float", float.__repr__(value))),
    (Decimal, lambda value: ("decimal", Decimal.__str__(value))),
    (UUID, lambda value: ("uuid", value.int)),
    (datetime, lambda value: ("datetime", value.isoformat())),
    (date, lambda value: ("date", value.isoformat())),
    ((list, tuple), lambda value: [faithful(item) for item in value]),
    (
        (dict, OrderedDict, MappingProxyType),
        lambda value: {str.__str__(key): faithful(item) for key, item in value.items()},
    ),
)


# What is planted in Redis


#: Stands for this installation's id in what is planted, and for a file that nothing may make.
OURS = "<ours>"
CANARY = "<canary>"


@dataclass(frozen=True)
class Call:
    """The data of a job as RQ writes it with its JSON serializer."""

    function: Any
    instance: Any
    arguments: Any
    keywords: Any


class _Bomb:
    """Makes the canary where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


@dataclass(frozen=True)
class Pickled:
    """A pickle: of something that acts when it is read, or of a call as stock RQ writes it."""

    protocol: int
    as_call: bool

    def bytes(self, canary: str) -> bytes:
        if self.as_call:
            return pickle.dumps(("os.system", None, (f"touch {canary}",), {}), self.protocol)
        return pickle.dumps(_Bomb(canary), self.protocol)


@dataclass(frozen=True)
class Planted:
    """One entry of a queue, and what stands under the key of its job."""

    id: str | bytes
    queue: str
    kind: str
    data: Any
    is_packed: bool
    cut: int
    fields: dict[bytes, bytes]


_ENTRY = "fsmflow.running.executor.run"
_FUNCTIONS = st.sampled_from(
    [_ENTRY, "os.system", "builtins.eval", "fsmflow.running.executor.Executor", "subprocess.call", "", _ENTRY + "\n", 5]
)
_NUMBERS: st.SearchStrategy[Any] = st.one_of(
    st.integers(0, 6),
    st.integers(),
    st.sampled_from([-1, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, True, 1.0, float("nan"), "1", None, [1], {}]),
)
_ARGUMENTS = st.one_of(
    st.tuples(st.sampled_from([OURS, OURS, "other", "", "x" * 90, None]), _NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS),
    st.tuples(st.just(OURS), *[st.integers(0, 3)] * 4),
    st.lists(st.one_of(_NUMBERS, TEXTS), max_size=7),
    TEXTS,
    st.dictionaries(TEXTS, _NUMBERS, max_size=2),
)
_PLAIN_CALLS = st.builds(Call, st.just(_ENTRY), st.none(), _ARGUMENTS, st.just({}))
_CALLS = st.builds(
    Call,
    st.one_of(_FUNCTIONS, TEXTS, st.lists(TEXTS, max_size=2)),
    st.one_of(st.none(), TEXTS, st.integers()),
    st.one_of(_ARGUMENTS, st.just([f"touch {CANARY}"])),
    st.one_of(st.just({}), st.none(), st.dictionaries(TEXTS, TEXTS, max_size=1)),
)
_RAW = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"", b"null", b"[]", b"[1,2,3]", b"[" * 4000, b"[" * 900 + b"]" * 900, b"1" * 4095, b"\xff\xfe"]),
    st.sampled_from(['["\ud800",null,[],{}]'.encode("utf-8", "surrogatepass"), b'["\\ud800",null,"\\ud800\\n",{}]']),
    st.sampled_from(
        [b'["%s",null,%s,{}]' % (_ENTRY.encode(), b"[" * 990 + b"]" * 990), b'"' + b"x" * 2_000_000 + b'"']
    ),
    st.just(b"0" * 10**7),
)
_DATA = st.one_of(_PLAIN_CALLS, _CALLS, _RAW, st.builds(Pickled, st.integers(0, 5), st.booleans()))
_MOMENTS = [b"2026-01-02T03:04:05.000000Z", b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59Z", b"now", b"\xff", b""]
_IDS = st.one_of(
    st.sampled_from(["", f"{OURS}-1-1-1-1", f"{OURS}-2-1-1-0", "job\nINFO all is well", "x" * 5_000, "../..", "ö"]),
    st.binary(max_size=8),
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
)
PLANTED = st.builds(
    Planted,
    id=_IDS,
    queue=st.sampled_from(["default", "default", "slow"]),
    kind=st.sampled_from(["hash"] * 8 + ["nothing", "string", "list"]),
    data=_DATA,
    is_packed=st.sampled_from([True, True, True, False]),
    cut=st.sampled_from([0, 0, 0, 0, 1, 5]),
    fields=st.one_of(
        st.fixed_dictionaries(
            {}, optional={b"enqueued_at": st.sampled_from(_MOMENTS), b"status": st.binary(max_size=4)}
        ),
        st.dictionaries(st.binary(min_size=1, max_size=6), st.binary(max_size=6), max_size=3),
    ),
)


# Texts that people write


_ADDRESS_PARTS = st.sampled_from(["order", "counter", "nope", ":", ":", "/", "1", "-1", "charging", "0", " ", "%", "*"])
_CRON_PARTS = st.sampled_from(
    ["*", "*/5", "0", "59", "60", "1-5", "5-1", "*/0", "L", "W", "#", "mon", "jan", "@daily", "?", "1,2", "H", "-", "R"]
)
_DURATION_PARTS = st.sampled_from(
    ["90", "1", "0", "s", "m", "h", "d", "w", " ", "-", ".5", "\uff19", "999999999", "1e9"]
)
_LONG = [("x", 300), ("x", 100_000), ("ö", 100_000), ("[", 100_000), (" ", 100_000), ("9", 100_000), ("*", 1_000)]
_JSON_PARTS = st.sampled_from(
    ["{", "}", "[", "]", '"a"', ":", ",", "1", "null", "NaN", "-Infinity", "1e999", '"\\ud800"', "9" * 5000, "[" * 3000]
)


def _joined(parts: st.SearchStrategy[str], by: str = "") -> st.SearchStrategy[str]:
    mixed = st.lists(st.one_of(parts, parts, parts, TEXTS), max_size=7)
    return st.one_of(mixed.map(by.join), mixed.map(by.join), TEXTS)


#: Longer than anything that people write.
LONG_TEXTS = st.sampled_from([Made(f"{count:,} times {char!r}", partial(mul, char, count)) for char, count in _LONG])
ADDRESSES = _joined(_ADDRESS_PARTS)
CRONS = st.one_of(_joined(_CRON_PARTS, " "), st.lists(_CRON_PARTS, min_size=5, max_size=5).map(" ".join))
DURATIONS = _joined(_DURATION_PARTS)
FIELDS = st.one_of(
    _joined(_JSON_PARTS), st.tuples(TEXTS, st.sampled_from(["=", ":=", ""]), _joined(_JSON_PARTS)).map("".join)
)
WRITTEN = st.one_of(
    st.tuples(st.sampled_from(["address", "cron", "duration", "field", "object"]), LONG_TEXTS),
    st.tuples(st.just("address"), ADDRESSES),
    st.tuples(st.just("cron"), CRONS),
    st.tuples(st.just("duration"), DURATIONS),
    st.tuples(st.just("field"), FIELDS),
    st.tuples(st.just("object"), _joined(_JSON_PARTS)),
    st.tuples(st.just("job"), _DATA),
)
