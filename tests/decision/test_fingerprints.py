"""Which failures are of one kind."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import replace

import pytest

from fsmflow import Machine, State, codec
from fsmflow.causes import origin_of
from fsmflow.decision import fingerprint
from fsmflow.decision.entity import Failure
from fsmflow.decision.fingerprint import Kind, common, print_of
from tests.support.walk import Walk


class Shop(Machine):
    initial = "charging"
    states = [State("charging", job="charge"), State("paid", final=True)]
    transitions = [["done", "charging", "paid"]]

    def charge(self) -> None:
        """Nothing to charge."""


def test_a_fingerprint_is_the_same_for_failures_of_one_kind() -> None:
    prints = []
    for message in ("order 17 at 0xff: 'a'", "order 99 at 0x1234: 'b'", "other"):
        walk = Walk(Shop)
        walk.fails(ValueError(message))
        prints.append(walk.failure.fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_a_fingerprint_does_not_tell_what_an_entity_is_called_and_made_for() -> None:
    prints = []
    for entity_id, item in (("ann", "tea"), ("bob-2", "cup"), ("cid/packing/3", "a box of tea")):
        walk = Walk(Shop)
        walk.snapshot = replace(walk.snapshot, entity_id=entity_id, item_text=codec.encode(item, what="item"))
        walk.fails(ValueError(f"no box for {item} of {entity_id.partition('/')[0]}, anno 2030"))
        prints.append(walk.failure.fingerprint)
    assert len(set(prints)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GET https://api.example.com/v1/orders/abc?x=1 failed", "GET http://other.example/ failed"),
        ("no mail to ann@example.com", "no mail to bob.b@mail.example.org"),
        ("job 550e8400-e29b-41d4-a716-446655440000 is gone", "job 6ba7b810-9dad-11d1-80b4-00c04fd430c8 is gone"),
        ("digest deadbeefcafe is wrong", "digest 00ff12ab is wrong"),
        ("since 2026-01-02T03:04:05Z", "since 2030-12-24 18:00:01.123"),
        ("since Mon, 2 Jan 2026", "since 24 December 2030"),
        ("can't find 'Ann's card' of Ann", "can't find 'Bob' of Ann"),
        ("card tok_1Nf9aK was declined", "card tok_7zzQ2 was declined"),
        ("amounts [1, 2, 3] at 10.0.0.1:80", "amounts [-4.5] at 192.168.1.77:5432"),
        ("no \u201cAnn\u201d and `x`", "no \u201cBob\u201d and `y z`"),
    ],
)
def test_what_varies_in_a_message_makes_no_other_kind(one: str, other: str) -> None:
    assert common(one, ()) == common(other, ())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the printer does not answer", "the printer is out of paper"),
        ("can't read the card", "can't write the card"),
        ("May is no name", "June is no name"),
    ],
)
def test_what_says_another_thing_makes_another_kind(one: str, other: str) -> None:
    assert common(one, ()) != common(other, ())


@pytest.mark.parametrize("message", ["'" * 100_000, "x@" * 50_000, "a:" * 50_000, "*" * 100_000, "1," * 50_000])
def test_no_message_takes_long_to_be_read(message: str) -> None:
    assert len(common(message, ())) <= 200


def raised_in(source: str, *, name: str, file: str) -> BaseException:
    """What a module of this name and file raises in its function ``work``."""
    module = types.ModuleType(name)
    exec(compile(source, file, "exec"), module.__dict__)
    work: Callable[[], None] = module.__dict__["work"]
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever it raises
        return error
    raise AssertionError("it raised nothing")


WORK = "def work():\n    int('x')\n"


def test_the_place_in_the_code_is_the_same_on_each_host_and_after_its_lines_have_moved() -> None:
    here = raised_in(WORK, name="shop.cards", file="/srv/one/shop/cards.py")
    there = raised_in("\n\n# moved\n" + WORK, name="shop.cards", file="/home/ann/shop/cards.py")
    assert origin_of(here) == origin_of(there) == "shop.cards.work"


def test_the_place_is_in_the_code_of_the_user_though_a_library_raised_it() -> None:
    library = raised_in(WORK, name="stripe", file="/venv/lib/python3.12/site-packages/stripe/__init__.py")
    assert origin_of(library) == f"{__name__}.raised_in"
    own = raised_in(WORK, name="shop.cards", file="/venv/lib/python3.12/site-packages/shop/cards.py")
    assert origin_of(own, "shop.machines") == "shop.cards.work"
    run = raised_in(WORK, name="__main__", file="/srv/shop.py")
    assert origin_of(run) == "shop.work"
    json_error = raised_in("import json\ndef work():\n    json.loads('{')\n", name="shop", file="/srv/shop.py")
    assert origin_of(json_error) == "shop.work"


def failure(origin: str | None) -> Failure:
    walk = Walk(Shop)
    walk.fails(ValueError("no"), origin=origin)
    return walk.failure


def test_the_same_words_from_another_place_are_another_kind() -> None:
    charge, refund = failure("shop.charge"), failure("shop.refund")
    assert charge.fingerprint != refund.fingerprint
    assert (charge.origin, charge.recipe, charge.former) == ("shop.charge", 1, ())
    assert Failure.from_text(charge.to_text()) == charge


def test_the_first_recipe_makes_what_it_has_always_made() -> None:
    kind = Kind("order", "charging", "ValueError", "card 17 of 'Ann' was declined", ("1042",), "shop.charge")
    assert print_of(kind) == ("32dc0f854f7b", 1, ())


def test_a_newer_recipe_tells_what_the_older_ones_would_have_made(monkeypatch: pytest.MonkeyPatch) -> None:
    old = failure("shop.charge")
    monkeypatch.setattr(fingerprint, "RECIPES", {**fingerprint.RECIPES, 2: lambda kind: kind.error_type})
    new = failure("shop.charge")
    assert (new.recipe, new.former) == (2, (old.fingerprint,))
    assert new.fingerprint != old.fingerprint
    assert Failure.from_text(new.to_text()) == new
