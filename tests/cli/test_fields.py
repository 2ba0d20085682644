"""Data that are written on a command line: values of each type, and what is said of those that are none."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import pytest

from fsmflow.cli.catalogue import CATALOGUE
from fsmflow.cli.fields import FIELD, HELP, as_field
from fsmflow.codec import decode, encode
from fsmflow.objects.fields import TYPES
from tests.cli.orders import Order
from tests.support.paths import ROOT
from tests.support.terminal import Terminal

A_UUID = "01990a3b-5c1e-7c40-9a51-2f0e6d8b4c17"
TYPED = ("amount:decimal=12.30", "due:date=2030-01-31", "at:datetime=2030-01-31T09:00Z", f"ref:uuid={A_UUID}")
VALUES = {
    "amount": Decimal("12.30"),
    "due": date(2030, 1, 31),
    "at": datetime(2030, 1, 31, 9, tzinfo=UTC),
    "ref": UUID(A_UUID),
}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=", ""),
        ("x=a:decimal=1", "a:decimal=1"),
        ("x:=1.5", 1.5),
        ("x:decimal=-1E+3", Decimal("-1E+3")),
        ("x:date=2030-01-31", date(2030, 1, 31)),
        ("x:datetime=2030-01-31 09:00", datetime(2030, 1, 31, 9)),
        ("x:datetime=2030-01-31T09:00+01:00", datetime(2030, 1, 31, 9, tzinfo=timezone(timedelta(hours=1)))),
        (f"x:uuid={A_UUID}", UUID(A_UUID)),
    ],
)
def test_a_word_is_a_name_and_a_value_of_its_type(word: str, value: Any) -> None:
    assert as_field(word) == ("x", value)
    assert type(as_field(word)[1]) is type(value)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("x", "'x' is neither name=text nor name:=json nor name:type=text"),
        (":decimal=1", "':decimal=1': ':decimal' has no name before its ':'"),
        ("x:={", "'x:={': '{' is not JSON"),
        ("x:decimel=1", "there is no type 'decimel', but decimal, date, datetime, uuid"),
        ("x:decimel=1", "did you mean 'decimal'?"),
        ("x:int=1", "a number is written name:=5, and text name=text"),
        ("x:decimal=12,30", "'12,30' is no decimal; write digits with a point, as in x:decimal=12.30"),
        ("x:decimal=NaN", "'NaN' is no decimal"),
        ("x:decimal=1e9999999999999999999", "is no decimal"),
        ("x:date=31.01.2030", "'31.01.2030' is no date; write year, month and day, as in x:date=2030-01-31"),
        ("x:date=2030-02-30", "'2030-02-30' is no date"),
        ("x:date=2030-01-31T09:00", "'2030-01-31T09:00' is no date"),
        ("x:datetime=2030-01-31", "'2030-01-31' is no datetime; write a day and a time, as in x:datetime=2030-"),
        ("x:uuid=1", "'1' is no uuid; write 32 hexadecimal digits"),
    ],
)
def test_a_word_that_is_none_is_named_with_what_would_be_right(word: str, told: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        as_field(word)
    assert told in str(caught.value)
    assert word[:40] in str(caught.value)


@pytest.mark.parametrize("word", [kind.example for kind in TYPES.values()])
def test_what_an_example_says_can_be_stored_and_is_shown_by_the_help(word: str) -> None:
    name, value = as_field(word)
    assert decode(encode({name: value})) == {name: value}
    assert word in HELP


def test_every_command_that_takes_fields_says_how_they_are_written() -> None:
    commands = [entry.load() for entry in CATALOGUE]
    taking = [
        one
        for one in commands
        if any(
            getattr(param, "metavar", None) in (FIELD, f"[{FIELD}]...", f"{FIELD} | @FILE | JSON")
            for param in one.params
        )
    ]
    assert {one.name for one in taking} >= {"start", "trigger", "retry", "list", "cancel"}
    assert [one.name for one in taking if one.epilog != HELP] == []


def test_the_reference_has_every_type() -> None:
    page = (ROOT / "docs" / "reference" / "values.md").read_text(encoding="utf-8")
    assert [kind for kind in TYPES if f":{kind}=" not in page] == []


def test_every_command_that_takes_data_reads_them(shell: Terminal) -> None:
    shell.ok("start", "order", "1", *TYPED)
    assert Order.get("1").data == VALUES
    shell.ok("start", "order", "2", "lines:=[]", "card=bad")
    shell.ok("trigger", "order:2", "go", *TYPED)
    assert Order.get("2").history[-1].payload == VALUES


def test_set_and_data_of_a_retry_read_them(shell: Terminal, declined: None) -> None:
    shell.ok("retry", "order:1", "--set", TYPED[0], "--data", TYPED[1])
    assert Order.get("1").data["amount"] == Decimal("12.30")
    assert Order.get("1").data["due"] == date(2030, 1, 31)


@pytest.mark.parametrize("word", ["amount:decimal=12.3", *TYPED[1:], "amount=12.30", "due=2030-01-31"])
def test_entities_are_selected_by_them(shell: Terminal, word: str) -> None:
    shell.ok("start", "order", "1", *TYPED)
    shell.ok("start", "order", "2", "amount=12.3", "due=2030-02-01")
    assert [one["entity_id"] for one in shell.json("list", "--where", word)] == ["1"]


def test_a_csv_says_the_types_of_its_columns(shell: Terminal, folder: Path) -> None:
    (folder / "x.csv").write_text("id,amount:decimal,due:date,note\n1,12.30,2030-01-31,a:b\n2,,,\n")
    shell.ok("start", "order", "--from", "x.csv")
    assert Order.get("1").data == {"amount": Decimal("12.30"), "due": date(2030, 1, 31), "note": "a:b"}
    assert Order.get("2").data == {"note": ""}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,due:dat\n1,x", "line 1: column 'due:dat': there is no type 'dat'"),
        ("id,due:date\n1,x", "line 2: column 'due:date': 'x' is no date; write year, month and day"),
        ("id,due:date,due\n1,,", "line 1: column 'due' is there twice"),
    ],
)
def test_what_is_wrong_in_a_csv_is_told_with_its_line(shell: Terminal, folder: Path, text: str, told: str) -> None:
    (folder / "x.csv").write_text(text)
    assert told in shell.refused("start", "order", "--from", "x.csv")


def test_a_comparison_with_what_looks_like_a_number_says_how_numbers_are_written(shell: Terminal) -> None:
    Order.start("1", amount=95)
    done = shell.run("list", "--machine", "order", "--where", "amount>=90")
    assert "amount>=90 compares texts, letter by letter; a number is written amount:>=90" in done.err
    done = shell.run("list", "--machine", "order", "--where", "amount:>=90", "--where", "at>2030-01-31")
    assert "compares texts" not in done.err
