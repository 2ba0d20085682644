"""Terms: texts that sort as the values do, whatever their type."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from fsmflow import DataError
from fsmflow.decision.terms import MAX_TERM, condition, term_of, terms_in

NUMBERS = [-(10**30), Decimal("-1.55"), -1.5, -1, Decimal("-0.001"), 0, 1e-9, Decimal("0.1"), 0.25, 1, 2, 10, 10.5, 99]
NUMBERS += [100, 2**53, 2**53 + 1, Decimal("9007199254740993.5"), 1e300, 10**400]
AT = datetime(2030, 1, 31, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "values",
    [
        NUMBERS,
        ["", "\x00", "\x00a", "\x01", "A", "a", "aa", "ab", "b", "ä", "\U0001f600"],
        [AT - timedelta(days=1), AT, AT.astimezone(timezone(timedelta(hours=-5))) + timedelta(microseconds=1)],
        [datetime(2030, 1, 1), datetime(2030, 1, 1, 0, 0, 1)],
        [date(999, 1, 1), date(2029, 12, 31), date(2030, 1, 1)],
        [False, True],
    ],
)
def test_terms_sort_as_the_values_do(values: list[Any]) -> None:
    shuffled = values[:]
    random.Random(4).shuffle(shuffled)
    assert sorted(shuffled, key=lambda value: term_of(value) or "") == values
    assert len({term_of(value) for value in values}) == len(values)


def test_numbers_have_one_term_whatever_their_type() -> None:
    assert term_of(1500) == term_of(1500.0) == term_of(Decimal("1500.00")) == term_of(Decimal("1.5E+3"))
    assert term_of(0) == term_of(-0.0) == term_of(Decimal("0.00"))
    assert term_of(0.1) == term_of(Decimal("0.1"))
    assert term_of(1) != term_of(True) != term_of("1")
    assert term_of(AT) == term_of(AT.astimezone(timezone(timedelta(hours=9))))


def test_what_has_no_order_has_no_term_and_long_texts_fit() -> None:
    assert [term_of([1]), term_of({"a": 1})] == [None, None]
    long = ["x" * 1000, "x" * 999 + "y", "\x00" * 300, "\U0001f600" * 300]
    assert all(len(term_of(text) or "") <= MAX_TERM for text in long)
    assert len({term_of(text) for text in long}) == len(long)
    assert len(term_of(Decimal(10**300 + 1)) or "") <= MAX_TERM
    assert len(term_of(-(10**300) - 1) or "") <= MAX_TERM


def test_terms_are_read_by_name_and_by_path() -> None:
    data = {"amount": 5, "customer": {"city": "Berlin"}, "a.b": 1, "lines": [1], "gone": None}
    found = terms_in(data, ["amount", "customer.city", "a.b", "lines", "gone", "nosuch", "customer.nosuch"])
    assert sorted(found) == ["a.b", "amount", "customer.city", "gone"]


@pytest.mark.parametrize(
    ("operator", "value", "meant"),
    [
        ("=", 1500, [1500, Decimal("1500.0")]),
        ("=", "12.30", ["12.30", Decimal("12.30")]),
        ("=", "2030-01-31", ["2030-01-31", date(2030, 1, 31)]),
        ("=", "01990a3b-5c1e-7c40-9a51-2f0e6d8b4c17", [UUID("01990a3b-5c1e-7c40-9a51-2f0e6d8b4c17")]),
        (">", 10, [11, 10.5]),
        (">=", 10, [10, 11]),
        ("<", 10, [-5, 9.9]),
        ("<=", Decimal(10), [10, -5]),
        (">=", AT, [AT, AT + timedelta(days=1)]),
        ("<", "b", ["", "a", "az"]),
    ],
)
def test_conditions_mean_what_is_alike(operator: str, value: Any, meant: list[Any]) -> None:
    bounds = condition("amount", operator, value).bounds
    others = [None, True, "zz", [1], AT - timedelta(days=400), date(1, 1, 1)]
    found = [each for each in [*meant, *others] if (term := term_of(each)) is not None and bounds.hold(term)]
    assert found == meant


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("", "=", 1), "'' is no name of a field"),
        (("amount", "==", 1), r"'==' is no comparison; did you mean '='\?; it is one of = < <= > >="),
        (("amount", 5, 1), "5 is no comparison"),
        (("amount", ">", None), "amount > None compares nothing"),
        (("amount", "<", [1]), "compares nothing; numbers, texts, days and moments have an order"),
        (("amount", "<", True), "compares nothing"),
    ],
)
def test_what_compares_nothing_is_refused_in_words(given: tuple[Any, Any, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        condition(*given)
