"""Parents are found by what the data of their children hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow import DataError, Machine, State, UnknownMachine
from fsmflow.testing import Sandbox, sandbox
from tests.support.terminal import Terminal


class Parcel(Machine):
    initial = "labelled"
    states = ["labelled", State("lost", final=True), State("delivered", final=True)]
    transitions = [["deliver", "labelled", "delivered"], ["lose", "labelled", "lost"]]
    search = ["tracking", "weight"]


class Letter(Machine):
    initial = "written"
    states = ["written", State("read", final=True)]
    transitions = [["open", "written", "read"]]


class Pile(Machine):
    initial = "new"
    states = ["new", State("shipping", machine="parcel", each="parcels"), State("over", final=True)]
    transitions = [["ship", "new", "shipping"], ["done", "shipping", "over"]]
    search = ["customer"]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Parcel, Letter, Pile]) as box:
        for number in range(4):
            parcels = [{"tracking": f"T{number}{part}", "weight": number + part} for part in range(3)]
            pile = Pile.start(f"p{number}", customer=f"c{number % 2}", amount=10 - number, parcels=parcels)
            if number != 3:
                pile.trigger("ship")
        Pile.start("none", customer="c0")
        box.run()
        yield box


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"child": {"parcel.tracking": "T12"}}, ["p1"]),
        ({"child": [("parcel.weight", ">=", 2)]}, ["p0", "p1", "p2"]),
        ({"child": [("parcel.weight", ">=", 2)], "newest": True, "limit": 2}, ["p2", "p1"]),
        ({"child": [("parcel.weight", ">=", 2)], "after": "p0"}, ["p1", "p2"]),
        ({"child": [("parcel.weight", ">=", 2)], "order": "amount"}, ["p2", "p1", "p0"]),
        ({"child": [("parcel.weight", ">=", 2)], "data": {"customer": "c0"}}, ["p0", "p2"]),
        ({"child": [("parcel.weight", "=", 4), ("parcel.tracking", "=", "T21")]}, []),
        ({"child": {"parcel.tracking": "T00"}, "state": "over"}, []),
        ({"child": {"parcel.tracking": "T30"}}, []),
    ],
)
def test_parents_are_found_by_their_children(box: Sandbox, asked: dict[str, Any], found: list[str]) -> None:
    assert [pile.entity_id for pile in Pile.find(**asked)] == found


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--child", "parcel.trackin=T12"),
            "note: 'trackin' is in no index, and entities are read one by one, 100,000 at most; add it to search = "
            "['tracking', 'weight'] of machine 'parcel'; did you mean 'tracking'?\n",
        ),
        (("--machine", "pile", "--where", "amount:>=9"), "add it to search = ['customer'] of machine 'pile'\n"),
        (
            ("--machine", "letter", "--where", "to=ann", "--order", "at"),
            "give machine 'letter' search = ['to', 'at']\n",
        ),
        (
            ("--where", "customer=c0"),
            "note: no machine is named, so entities are read one by one for 'customer', 100,000 at most; ",
        ),
        (("--where", "customer=c0"), "; name pile, which looks it up\n"),
        (("--where", "x=1"), "; name one that declares search = ['x']\n"),
        (("--overdue",), "note: nothing can be overdue: no machine has a state with expect=\n"),
        (("--machine", "pile", "--overdue"), "nothing can be overdue: machine 'pile' has no state with expect=\n"),
    ],
)
def test_what_is_read_one_by_one_or_never_found_is_noted_once(
    box: Sandbox, shell: Terminal, words: tuple[str, ...], sentence: str
) -> None:
    for more in ((), ("--json",)):
        told = shell.run("list", *words, *more)
        assert (told.status, told.err.count(sentence), told.err.count("note:")) == (0, 1, 1)


def test_what_an_index_answers_needs_no_note(box: Sandbox, shell: Terminal) -> None:
    for words in (("--child", "parcel.tracking=T12"), ("--machine", "pile", "--where", "customer=c0")):
        assert shell.run("list", *words).err == ""
    assert "is in no index" in shell.run("cancel", "--machine", "pile", "--where", "amount:=9", "--dry-run").err
    refused = shell.refused("list", "--child", "letter.text=x")
    assert "no machine makes a 'letter' as a child" in refused
    assert "; children are of parcel" in refused
    for option, field in (("--where", "tracking:>a"), ("--child", "parcel.tracking:>=a")):
        assert f"'{option}': '{field}'" in shell.misused("list", option, field)


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({"child": {"tracking": "T1"}}, DataError, "names no field; it is a machine and a field, shipment.tracking"),
        ({"child": {"parcle.tracking": "T1"}}, UnknownMachine, "did you mean 'parcel'"),
        ({"child": {"letter.text": "x"}}, DataError, "makes no 'letter'; its children are of parcel"),
        ({"child": "T1"}, DataError, "child is 'T1'; it is a list of comparisons"),
    ],
)
def test_what_is_no_child_is_said(box: Sandbox, asked: dict[str, Any], error: type, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        list(Pile.find(**asked))
