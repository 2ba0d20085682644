"""Failure groups as people see them, and what becomes of what they say of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fsmflow import DataError, FsmflowError, Machine, State, clock, failures, release
from fsmflow.decision import fingerprint
from fsmflow.engine.selection import Selection, select
from fsmflow.release import Release
from fsmflow.testing import Sandbox
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing

__all__ = ["every_database"]


class Parcel(Machine):
    initial = "labelling"
    states = [State("labelling", job="label"), State("sent", final=True)]
    transitions = [["done", "labelling", "sent"]]

    def label(self) -> None:
        if self.data.get("item") in failing:
            raise ValueError(f"no label for {self.data['item']}")


class Order(Machine):
    """Fails as the test says: while it is charged, or with its parcels."""

    initial = "new"
    states = [
        "new",
        State("charging", job="charge"),
        State("sending", machine="parcel", each="lines"),
        State("paid", final=True),
    ]
    transitions = [
        ["pay", "new", "charging"],
        ["send_it", "new", "sending"],
        ["done", ["charging", "sending"], "paid"],
    ]

    def charge(self) -> None:
        if "bank" in failing:
            raise ConnectionError(f"no answer for {self.entity_id} at 12:{len(self.entity_id):02}")
        if "card" in failing:
            raise ValueError("the card has expired")


@pytest.fixture
def box(every_database: None) -> Iterator[Sandbox]:
    failing.clear()
    with sandbox(machines=[Order, Parcel]) as box:
        yield box
    failing.clear()


def fail(box: Sandbox, *ids: str, why: str = "bank") -> None:
    failing.add(why)
    for entity_id in ids:
        Order.start(entity_id).trigger("pay")
    box.run()
    failing.discard(why)


def only() -> failures.FailureGroup:
    (group,) = failures.groups(every=True)
    return group


def lives(box: Sandbox) -> tuple[str, bool]:
    """What the only group is said to be, and whether it is shown."""
    return only().life.value, len(failures.groups()) == 1


def test_a_group_has_what_rests_in_it_and_what_was_seen_of_it(box: Sandbox) -> None:
    fail(box, "1", "2")
    box.advance(hours=1)
    fail(box, "333")
    fail(box, "4", why="card")
    bank, card = failures.groups()
    assert (bank.count, bank.seen, bank.error_type, bank.sample) == (3, 3, "ConnectionError", "order:1")
    assert (card.count, card.seen, card.message) == (1, 1, "the card has expired")
    assert (bank.machine, bank.state, bank.origin) == (
        "order",
        "failed_from_charging",
        f"{__name__}.Order.charge",
    )
    assert bank.last_at - bank.first_at == timedelta(hours=1)
    (part,) = bank.parts
    assert (part.example, part.message, part.first_at, part.last_at) == (
        "order:333",
        "no answer for 333 at 12:03",
        bank.first_at,
        bank.last_at,
    )
    assert [order.entity_id for order in Order.find(group=card.short)] == ["4"]
    whole = failures.group(bank.short)
    assert whole.id == bank.id
    assert "ConnectionError: no answer for 1" in whole.traceback
    assert bank.traceback == ""
    Order.get("1").retry()
    box.run()
    assert (failures.group(bank.id).count, failures.group(bank.id).seen) == (2, 3)


def test_what_does_not_rest_in_it_any_more_leaves_a_group_that_is_not_shown(box: Sandbox) -> None:
    fail(box, "1")
    Order.get("1").retry()
    box.run()
    assert failures.groups() == []
    assert (only().count, only().seen, only().parts) == (0, 1, [])


def test_a_parent_counts_once_with_its_children_as_the_cause(box: Sandbox) -> None:
    failing.update({2, 5})
    for entity_id, lines in (("1", [1, 2]), ("2", [2, 5])):
        Order.start(entity_id, lines=lines).trigger("send_it")
    box.run()
    (group,) = failures.groups(every=True)
    assert (group.count, group.error_type, group.seen) == (2, "BranchesFailed", 2)
    (cause,) = group.causes
    assert (cause.count, cause.error_type) == (3, "ValueError")
    whole = failures.group(group.id)
    assert [(one.count, one.group) for one in whole.causes] == [(3, cause.group)]
    assert failures.group(cause.group).count == 3, "whoever asks for the cause is told what rests in it"
    (parcels,) = failures.groups("parcel")
    assert (parcels.id, parcels.count) == (cause.group, 3)
    assert [found.address for found in select(box._runtime, Selection(group=group.id))] == ["order:1", "order:2"]
    for order in ("1", "2"):
        Order.get(order).cancel()
    box.run()
    assert failures.groups() == []


def test_a_group_that_comes_again_after_it_was_resolved_is_reopened(box: Sandbox) -> None:
    fail(box, "1")
    box.advance(seconds=1)
    group = failures.resolve(only().short, actor="ann")
    assert (group.life, group.life_by, lives(box)) == ("resolved", "ann", ("resolved", False))
    box.advance(seconds=1)
    assert lives(box) == ("resolved", False)
    fail(box, "2")
    assert lives(box) == ("reopened", True)
    assert only().life_at == group.life_at
    box.advance(seconds=1)
    failures.resolve(group.id)
    assert lives(box) == ("resolved", False)
    failures.reopen(group.id, actor="bob")
    assert (lives(box), only().life_by) == (("open", True), "bob")


def test_a_group_that_comes_again_in_the_moment_in_which_it_was_resolved_is_reopened(box: Sandbox) -> None:
    fail(box, "1")
    failures.resolve(only().id)
    assert (lives(box), only().most) == (("resolved", False), None)
    fail(box, "2")
    assert lives(box) == ("reopened", True)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says which release this process runs from now on."""
    return lambda name: monkeypatch.setattr(release._Noted, "release", Release(name=name))


def test_older_workers_do_not_reopen_what_a_release_resolves(box: Sandbox, running: Any) -> None:
    running("1.0")
    fail(box, "1")
    running("1.1")
    fail(box, "2")
    box.advance(seconds=1)
    failures.resolve(only().id, release="1.2")
    box.advance(seconds=1)
    for number, old in enumerate(("1.0", "1.1")):
        running(old)
        fail(box, f"old-{number}")
        assert lives(box) == ("resolved", False)
    assert only().seen == 4
    assert (only().first_release, dict(only().releases)) == ("1.0", {"1.0": 2, "1.1": 2})
    running("1.2")
    fail(box, "new")
    assert lives(box) == ("reopened", True)


@pytest.mark.parametrize("name", ["1.3", None])
def test_a_release_that_came_later_or_is_not_known_reopens(box: Sandbox, running: Any, name: str | None) -> None:
    running("1.0")
    fail(box, "1")
    box.advance(seconds=1)
    failures.resolve(only().id, release="1.2")
    box.advance(seconds=1)
    running(name)
    fail(box, "2")
    assert lives(box) == ("reopened", True)


def test_a_group_is_ignored_until_a_moment(box: Sandbox) -> None:
    fail(box, "1")
    until = clock.to_datetime(box._runtime.now()) + timedelta(hours=1)
    assert failures.ignore(only().id, until=until).until == until
    fail(box, "2")
    assert lives(box) == ("ignored", False)
    box.advance(hours=1)
    assert lives(box) == ("open", True)


def test_a_group_is_ignored_until_it_was_seen_so_often_again(box: Sandbox) -> None:
    fail(box, "1")
    failures.ignore(only().id, count=2)
    fail(box, "2")
    assert lives(box) == ("ignored", False)
    fail(box, "3")
    assert lives(box) == ("open", True)
    failures.ignore(only().id)
    fail(box, "4")
    assert lives(box) == ("ignored", False)


def test_a_note_and_a_link_stay_until_others_are_written(box: Sandbox) -> None:
    fail(box, "1")
    id_ = only().id
    failures.note(id_, "the bank is asked", link="https://tickets.example.com/17", actor="ann")
    found = failures.note(id_, "it answers")
    assert (found.note, found.link, found.noted_by) == ("it answers", "https://tickets.example.com/17", None)
    assert failures.note(id_, link="").link is None


@pytest.mark.parametrize(
    ("say", "sentence"),
    [
        (lambda id_: failures.note(id_, link="javascript:alert(1)"), "it begins with https://"),
        (lambda id_: failures.note(id_), "nothing to note"),
        (lambda id_: failures.note(id_, "x" * 10_000), "8192 are allowed"),
        (lambda id_: failures.ignore(id_, count=0), "a whole number from 1"),
        (lambda id_: failures.ignore(id_, until=date(2001, 1, 1)), "is past already"),
        (lambda id_: failures.ignore(id_, until=datetime(2999, 1, 1)), "has no zone"),
        (lambda id_: failures.resolve(id_, release=""), "release is empty"),
        (lambda id_: failures.merge(id_, id_), "one failure group already"),
        (lambda id_: failures.group("nosuch"), "an id is made of the digits"),
        (lambda id_: failures.group("0" * 12), "there is no failure group '000000000000'"),
        (lambda id_: failures.group(""), "there is no failure group ''"),
    ],
)
def test_what_cannot_be_said_is_refused_with_what_would_be_right(box: Sandbox, say: Any, sentence: str) -> None:
    fail(box, "1")
    with pytest.raises((DataError, FsmflowError), match=sentence):
        say(only().id)


def test_the_day_until_which_it_is_ignored_begins_in_utc(box: Sandbox) -> None:
    fail(box, "1")
    assert failures.ignore(only().id, until=date(2999, 1, 2)).until == datetime(2999, 1, 2, tzinfo=UTC)


def test_an_id_may_be_cut_short_as_long_as_it_means_one(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_digest", lambda number, kind: f"abc{len(kind.message) % 10}00000000")
    fail(box, "1")
    fail(box, "2", why="card")
    with pytest.raises(FsmflowError, match="2 failure groups begin with 'abc': abc000000000, abc400000000"):
        failures.group("abc")
    assert failures.group("abc0").message == "the card has expired"


def test_a_better_recipe_goes_on_with_the_group_that_is_known(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(box, "1")
    old = failures.note(only().id, "the bank is asked")
    monkeypatch.setattr(fingerprint, "RECIPES", {**fingerprint.RECIPES, 2: lambda kind: kind.error_type})
    fail(box, "2", "3")
    (group,) = failures.groups()
    assert (group.id, group.count, group.seen, group.note) == (old.id, 3, 3, "the bank is asked")
    assert len(group.fingerprints) == 2
    assert len(list(select(box._runtime, Selection(group=old.short)))) == 3
    assert failures.group(group.fingerprints[1]).id == old.id
    fail(box, "4", why="card")
    assert [found.recipe for found in failures.groups()] == [1, 2], "what is new is made by the new one"


def test_groups_that_are_the_same_are_made_one(box: Sandbox) -> None:
    fail(box, "1", "2")
    fail(box, "3", why="card")
    bank, card = failures.groups()
    group = failures.merge(card.id, bank.short)
    assert (group.id, group.count, group.seen) == (bank.id, 3, 3)
    fail(box, "4", why="card")
    assert (only().id, only().count, only().seen) == (bank.id, 4, 4)


@pytest.mark.parametrize("said", ["resolve", "ignore"])
def test_a_group_that_is_open_opens_the_one_that_it_is_merged_into(box: Sandbox, said: str) -> None:
    fail(box, "1")
    bank = only()
    getattr(failures, said)(bank.id)
    fail(box, "2", why="card")
    (card,) = failures.groups()
    merged = failures.merge(card.id, bank.id)
    assert (merged.life, merged.count, only().id) == ("open", 2, bank.id)
