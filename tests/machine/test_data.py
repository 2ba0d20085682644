"""The data that a handle shows: read like any dict, and refused where somebody changes them, at any depth."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fsmflow import DataError, Machine, State, TransitionNotAllowed
from fsmflow.testing import Sandbox, sandbox
from tests.support.traces import ran

DATA = {"n": 1, "lines": [{"sku": "a"}, [2, 1]], "customer": {"city": "Graz", "tags": ["x"]}}


class Cart(Machine):
    """Has branches that look at its data, and a hook that does."""

    initial = "new"
    states = [State("new"), State("packing", each="lines", job="pack"), State("over", final=True)]
    transitions = [["go", "new", "packing"], ["done", "packing", "over"]]

    def pack(self, line: Any) -> None:
        changes[self.data["change"]](self)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Cart]) as box:
        yield box


@pytest.fixture
def cart(box: Sandbox) -> Cart:
    return Cart.start("1", DATA)


def _assign(cart: Any) -> None:
    cart.data["customer"]["city"] = "Wien"


def _delete(cart: Any) -> None:
    del cart.data["lines"][0]


def _add(cart: Any) -> None:
    lines = cart.data["lines"]
    lines += [1]


def _merge(cart: Any) -> None:
    customer = cart.data["customer"]
    customer |= {"city": "Wien"}


changes: dict[str, Callable[[Any], Any]] = {
    "set": lambda cart: cart.data.__setitem__("n", 2),
    "set deep down": _assign,
    "delete": _delete,
    "update": lambda cart: cart.data["customer"].update(city="Wien"),
    "setdefault": lambda cart: cart.data.setdefault("new", []),
    "pop": lambda cart: cart.data.pop("n"),
    "pop of a list": lambda cart: cart.data["lines"].pop(),
    "clear": lambda cart: cart.data["lines"].clear(),
    "append": lambda cart: cart.data["customer"]["tags"].append("y"),
    "extend": lambda cart: cart.data["lines"].extend([1]),
    "insert": lambda cart: cart.data["lines"].insert(0, 1),
    "remove": lambda cart: cart.data["customer"]["tags"].remove("x"),
    "sort": lambda cart: cart.data["lines"][1].sort(),
    "reverse": lambda cart: cart.data["lines"].reverse(),
    "+=": _add,
    "|=": _merge,
    "in a list": lambda cart: cart.data["lines"][0].update(sku="b"),
}


@pytest.mark.parametrize("name", changes)
def test_what_is_changed_on_a_handle_is_refused_with_what_changes_data(cart: Cart, name: str) -> None:
    with pytest.raises(DataError, match=r"^cart:1: data changes by a transition, or by retry\(data=\.\.\.\); "):
        changes[name](cart)
    assert cart.refresh().data == DATA


def test_data_are_not_assigned_either(cart: Cart) -> None:
    with pytest.raises(TransitionNotAllowed, match=r"changes by a transition, or by retry\(data=\.\.\.\)"):
        cart.data = {}


@pytest.mark.parametrize("name", changes)
def test_a_branch_is_told_that_its_parents_data_are_not_its_own(box: Sandbox, name: str) -> None:
    cart = Cart.start("1", DATA, change=name)
    cart.trigger("go")
    box.run()
    failure = cart.branches[0].failure
    assert failure is not None
    assert failure.message.startswith("a branch, and each= that makes branches, see the data of the parent")
    assert cart.refresh().data == {**DATA, "change": name}


def test_a_branch_does_not_assign_them_either(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(changes, "assign", lambda cart: setattr(cart, "data", {}))
    cart = Cart.start("1", DATA, change="assign")
    cart.trigger("go")
    box.run()
    assert cart.branches[0].failure is not None


def test_they_are_read_like_any_other(cart: Cart) -> None:
    data = cart.data
    assert isinstance(data, dict)
    assert isinstance(data["lines"], list)
    assert (data, data["lines"], {**data}) == (DATA, DATA["lines"], DATA)
    assert json.loads(json.dumps(data)) == DATA
    assert repr(data) == repr(DATA)
    assert (list(data), data.get("n"), "n" in data, len(data)) == (list(DATA), 1, True, 3)
    assert (sorted(data["lines"][1]), data["lines"][1] + [3], data | {"n": 2}) == ([1, 2], [2, 1, 3], {**DATA, "n": 2})
    match data:
        case {"customer": {"city": city}, "lines": [first, *_]}:
            assert (city, first) == ("Graz", {"sku": "a"})
        case _:
            pytest.fail("it is no mapping")


@pytest.mark.parametrize(
    "copied",
    [lambda data: data.copy(), copy.copy, copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))],
    ids=["copy()", "copy", "deepcopy", "pickle"],
)
def test_a_copy_is_plain_and_ones_own(cart: Cart, copied: Callable[[Any], Any]) -> None:
    mine = copied(cart.data)
    assert (type(mine), type(mine["lines"]), type(mine["lines"][0])) == (dict, list, dict)
    mine["customer"]["tags"].append("y")
    mine["lines"].sort(key=str)
    assert cart.data == DATA
    assert type(copied(cart.data["lines"])) is list


def test_a_hook_sees_them_so_too(caplog: pytest.LogCaptureFixture) -> None:
    class Hooked(Machine):
        initial = "new"
        states = [State("new"), State("over", final=True)]
        transitions = [["go", "new", "over"]]

        def on_transition(self, entry: Any) -> None:
            ran.append(self.data["n"])
            self.data["n"] = 2

    with sandbox(machines=[Hooked]):
        Hooked.start("1", n=1)
    assert ran == [1]
    assert "data changes by a transition" in caplog.text
