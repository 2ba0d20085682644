"""Events that came too early, and how messages end: kept for a time, tried after every change, dropped, and told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Actor, DataError, DefinitionError, Machine, NotPermitted, State
from fsmflow.definition.advice import refused
from fsmflow.engine.delivery import deliver
from fsmflow.verify import verify
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Voucher(Machine):
    """Redeemed only once it is open and has enough on it."""

    initial = "new"
    states = [
        State("new", defer={"redeem": timedelta(hours=1), "close": None}),
        State("open", defer=["redeem"], ignore=["shrug"]),
        State("redeemed"),
        State("over", final=True),
    ]
    transitions = [
        ["activate", "new", "open"],
        {"trigger": "redeem", "source": "open", "dest": "redeemed", "conditions": "is_enough", "before": "book"},
        {"trigger": "top_up", "source": ["new", "open"], "dest": None, "before": "add"},
        {"trigger": "audit", "source": "open", "dest": None, "roles": ["auditor"]},
        {"trigger": "shrug", "source": "redeemed", "dest": None},
        ["close", ["open", "redeemed"], "over"],
    ]
    activate: Trigger
    redeem: Trigger
    top_up: Trigger
    close: Trigger

    def add(self) -> None:
        self.data["amount"] = self.data.get("amount", 0) + self.event.payload["amount"]

    def is_enough(self) -> bool:
        return bool(self.data.get("amount", 0) >= self.event.payload.get("amount", 0))

    def book(self) -> None:
        if self.data.get("breaks"):
            raise ConnectionError("the ledger is down")
        self.data["order"] = [*self.data.get("order", []), self.event.payload.get("n")]


class Shop(Machine):
    """Sends messages, with roles or without."""

    initial = "open"
    states = ["open", State("closed", final=True)]
    transitions = [
        {"trigger": "say", "source": "open", "dest": None, "before": "send_it"},
        ["shut", "open", "closed"],
    ]
    say: Trigger
    shut: Trigger

    def send_it(self) -> None:
        given = dict(self.event.payload)
        self.send(given.pop("what"), given.pop("body", None), to="voucher:1", **given)


class Auditor(Shop):
    name = "auditor"
    sends_as = ["auditor", "clerk"]


def is_sound(box: Any) -> None:
    report = verify(box._runtime.store, box._runtime.machines.all(), strict=True)
    assert report.violations == []


def told(machine: Any) -> list[tuple[str, str | None]]:
    """What its history says of events, but for how it began and what it was asked."""
    return [
        (entry.kind, entry.reason) for entry in machine.refresh().history if entry.kind not in ("start", "internal")
    ]


def test_what_a_guard_refused_is_tried_after_every_change() -> None:
    with sandbox(machines=[Voucher]) as box:
        voucher = Voucher.start("1")
        voucher.activate()
        voucher.redeem(amount=5, n=1)
        assert voucher.refresh().state == "open"
        assert "is_enough" in voucher.explain().kept[0]
        voucher.top_up(amount=3)
        assert voucher.refresh().state == "open"
        voucher.top_up(amount=3)  # internal, and it fires there and then
        assert (voucher.refresh().state, voucher.data["order"]) == ("redeemed", [1])
        assert [entry.kind for entry in voucher.history][-2:] == ["internal", "transition"]
        is_sound(box)


def test_what_is_kept_fires_in_order_of_arrival_also_after_a_pause() -> None:
    class Counter(Machine):
        name = "counter"
        initial = "shut"
        states = [State("shut", defer=["put"]), "open", State("over", final=True)]
        transitions = [
            {"trigger": "put", "source": "open", "dest": None, "before": "add", "conditions": "may"},
            ["open_up", "shut", "open"],
            ["end", "open", "over"],
        ]

        def may(self) -> bool:
            return not self.data.get("closed")

        def add(self) -> None:
            self.data["seen"] = [*self.data.get("seen", []), self.event.payload["n"]]

    with sandbox(machines=[Counter]) as box:
        counter = Counter.start("1", closed=False)
        for n in range(3):
            counter.trigger("put", n=n)
        counter.pause()
        counter.resume()
        assert "seen" not in counter.refresh().data
        counter.trigger("open_up")
        assert counter.refresh().data["seen"] == [0, 1, 2]
        is_sound(box)


def test_what_is_kept_for_a_time_is_discarded_after_it_and_never_fires() -> None:
    with sandbox(machines=[Voucher]) as box:
        voucher = Voucher.start("1")
        voucher.redeem(n=1)
        assert "until" in voucher.explain().kept[0]
        box.advance(minutes=61)
        assert told(voucher)[-1] == ("discarded", "it was kept for 1:00:00, and no state accepted it")
        voucher.activate()
        assert voucher.refresh().state == "open"
        is_sound(box)


def test_what_is_over_does_not_fire_though_nobody_looked_after_it() -> None:
    with sandbox(machines=[Voucher]) as box:
        voucher = Voucher.start("1")
        voucher.redeem(n=1)
        clock = box._clock
        clock.move_to(clock.now() + 2 * 3_600_000)
        voucher.activate()
        assert voucher.refresh().state == "open"
        assert told(voucher)[-1][0] == "discarded"


def test_what_is_kept_without_a_limit_stays() -> None:
    with sandbox(machines=[Voucher]) as box:
        voucher = Voucher.start("1")
        voucher.close()
        box.advance(days=100)
        voucher.activate()
        assert voucher.refresh().state == "over"
        is_sound(box)


def test_what_raises_is_tried_again_by_itself_and_told_until_then() -> None:
    with sandbox(machines=[Voucher]) as box:
        voucher = Voucher.start("1", breaks=True)
        voucher.redeem(n=1)
        voucher.activate()
        (stuck,) = voucher.explain().stuck
        assert (stuck.tries, stuck.why) == (1, "ConnectionError: the ledger is down")
        box.advance(minutes=2)
        (stuck,) = voucher.explain().stuck
        assert stuck.tries == 3
        assert [found.address for found in Voucher.find(stuck=True)] == ["voucher:1"]
        box._runtime.store.link.execute("UPDATE fsmflow_entity SET data = '{}'")
        box.advance(minutes=10)
        assert voucher.refresh().state == "redeemed"
        assert voucher.explain().stuck == ()
        is_sound(box)


def test_operators_see_and_drop_what_is_kept() -> None:
    with sandbox(machines=[Voucher, Shop]) as box:
        voucher, shop = Voucher.start("1"), Shop.start("1")
        voucher.redeem(n=1)
        voucher.redeem(n=2)
        shop.say(what="redeem", body={"n": 3})
        box.run()
        number = int(voucher.explain().kept[0].partition("(event ")[2].partition(")")[0])
        voucher.drop(number, actor="ann", reason="it was stolen")
        entry = voucher.refresh().history[-1]
        assert (entry.kind, entry.trigger, entry.actor, entry.reason) == ("dropped", "redeem", "ann", "it was stolen")
        assert dict(entry.payload) == {"n": 1}
        voucher.drop("redeem", actor="ann")
        assert voucher.explain().kept == ()
        assert told(shop) == [("discarded", "voucher:1: it was dropped by an operator: no reason")]
        with pytest.raises(DataError, match="voucher:1 has no event redeem; 'fsmflow show' lists"):
            voucher.drop("redeem")
        voucher.activate()
        assert voucher.refresh().state == "open"
        is_sound(box)


def test_a_message_on_its_way_and_one_that_was_lost_are_dropped_by_their_numbers() -> None:
    with sandbox(machines=[Shop, Voucher]) as box:
        shop = Shop.start("1")
        shop.say(what="redeem", after=3_600)
        shop.say(what="redeem")
        box.run()
        (lost,) = shop.explain().stuck
        assert (lost.what, lost.next_at) == ("message 'redeem' to voucher:1", None)
        events = box._runtime.store.events
        row = shop._view.snapshot.row
        for post in (*events.sent(row), *events.lost(row)):
            shop.drop(post.id)
        assert (shop.explain().stuck, shop.explain().scheduled) == ((), ())
        is_sound(box)


@pytest.mark.parametrize(
    ("state", "message", "ends"),
    [
        ("open", {"what": "top_up", "body": {"amount": 1}}, ("delivered", "voucher:1: it is in 'open' now")),
        ("open", {"what": "shrug"}, ("delivered", "voucher:1: it ignores that in 'open'")),
        ("new", {"what": "audit"}, ("refused", "no transition")),
        (
            "open",
            {"what": "audit"},
            (
                "refused",
                "'audit' takes one of the roles auditor, and this message acts with none; say with sends_as = [...] in "
                "machine 'shop'",
            ),
        ),
        ("new", {"what": "redeem"}, ("discarded", "it was kept for 1:00:00, and no state accepted it")),
        (None, {"what": "redeem"}, ("discarded", "voucher:1: it does not exist")),
    ],
)
def test_a_message_tells_its_sender_how_it_ended(state: str | None, message: Any, ends: tuple[str, str]) -> None:
    with sandbox(machines=[Voucher, Shop]) as box:
        if state is not None:
            voucher = Voucher.start("1")
            if state == "open":
                voucher.activate()
        shop = Shop.start("1")
        shop.say(**message)
        box.advance(hours=2)
        ((kind, reason),) = told(shop)
        assert kind == ends[0]
        assert ends[1] in (reason or "")
        is_sound(box)


def test_a_kept_message_is_told_as_delivered_once_it_fired() -> None:
    with sandbox(machines=[Voucher, Shop]) as box:
        voucher, shop = Voucher.start("1"), Shop.start("1")
        shop.say(what="redeem", key="once")
        box.run()
        assert told(shop) == []
        shop.shut()
        voucher.activate()
        box.run()
        assert told(shop)[-1] == ("delivered", "voucher:1: it kept it until now, and is in 'redeemed'")
        is_sound(box)


def test_a_message_whose_key_was_used_is_told_so() -> None:
    with sandbox(machines=[Voucher, Shop]) as box:
        Voucher.start("1")
        shop = Shop.start("1")
        for _ in range(2):
            shop.say({"what": "top_up", "body": {"amount": 1}, "key": "k"})
        box.run()
        assert [kind for kind, _ in told(shop)] == ["delivered", "delivered"]
        assert "same key" in (told(shop)[-1][1] or "")
        assert Voucher.get("1").data == {"amount": 1}


def test_a_message_acts_with_the_roles_that_its_machine_declares() -> None:
    with sandbox(machines=[Voucher, Shop, Auditor]) as box:
        voucher, auditor = Voucher.start("1"), Auditor.start("1")
        voucher.activate()
        auditor.say(what="audit")
        box.run()
        assert told(auditor) == [("delivered", "voucher:1: it is in 'open' now")]
        assert voucher.refresh().history[-1].actor == "auditor:1"


class Carrier(Machine):
    """Sends to a machine whose transition needs a role, without acting with it."""

    initial = "new"
    states = ["new", State("over", final=True)]
    transitions = [{"trigger": "go", "source": "new", "dest": None, "before": "ask"}, ["end", "new", "over"]]

    def ask(self) -> None:
        self.send("audit", to=f"voucher:{self.entity_id}")


def test_a_message_that_no_role_of_the_sender_could_deliver_is_found_by_the_check() -> None:
    definitions = {kind._definition.name: kind._definition for kind in (Voucher, Carrier)}
    (fault,) = refused(definitions["carrier"], definitions)
    assert fault.startswith("method 'ask' sends 'audit' to machine 'voucher', where it takes one of the roles auditor")
    with_roles = type("Acting", (Carrier,), {"name": "acting", "sends_as": "auditor"})
    assert refused(with_roles._definition, definitions) == []  # type: ignore[attr-defined]


def test_a_message_to_oneself_that_could_never_be_taken_is_refused_with_the_class() -> None:
    transitions = [{"trigger": "audit", "source": "new", "dest": None, "roles": ["auditor"]}, ["end", "new", "over"]]

    def ask(self: Any) -> None:
        self.send("audit", after=5)

    body = {"name": "selfish", "initial": "new", "states": Carrier.states, "transitions": transitions, "ask": ask}
    with pytest.raises(DefinitionError, match="method 'ask' sends 'audit', where it takes one of the roles auditor"):
        type("Selfish", (Machine,), body)
    type("Selfless", (Machine,), {**body, "name": "selfless", "sends_as": ["auditor"]})


@pytest.mark.parametrize("given", [5, ["a", 1], {"a": 1}, [""]])
def test_roles_that_are_none_are_refused_with_the_class(given: Any) -> None:
    with pytest.raises(DefinitionError, match="sends_as="):
        type("Wrong", (Shop,), {"name": "wrong", "sends_as": given})


@pytest.mark.parametrize("limit", [0, -1, "1h", True, float("nan")])
def test_a_limit_that_is_no_duration_is_refused_with_the_class(limit: Any) -> None:
    states = [State("new", defer={"go": limit}), "open", State("over", final=True)]
    transitions = [["on", "new", "open"], ["go", "open", "over"]]
    with pytest.raises(DefinitionError, match="defer= keeps 'go' for"):
        type("Wrong", (Machine,), {"name": "wrong", "initial": "new", "states": states, "transitions": transitions})


def test_a_message_that_two_found_to_be_due_is_delivered_once_though_its_row_is_gone() -> None:
    """The first delivery writes rows of its own, which must not be taken for the one that it used up."""
    with sandbox(machines=[Voucher, Shop]) as box:
        voucher, shop = Voucher.start("1"), Shop.start("1")
        shop.say(what="top_up", body={"amount": 1}, after=60)
        runtime = box._runtime
        (post,) = runtime.store.events.sent(shop._view.snapshot.row)
        for _ in range(2):
            deliver(runtime, post)
        assert voucher.refresh().data == {"amount": 1}
        box.run()
        assert [kind for kind, _ in told(shop)] == ["delivered"]
        is_sound(box)


def test_an_event_is_kept_for_somebody_with_the_role_alone() -> None:
    class Strict(Machine):
        name = "strict_keeper"
        initial = "new"
        states = [State("new", defer=["audit"]), "open", State("over", final=True)]
        transitions = [
            ["activate", "new", "open"],
            {"trigger": "audit", "source": "open", "dest": "over", "roles": ["auditor"]},
        ]

    with sandbox(machines=[Strict]) as box:
        strict = Strict.start("1")
        for actor in (None, "eve", Actor("eve", roles={"clerk"})):
            with pytest.raises(NotPermitted):
                strict.trigger("audit", actor=actor)
        assert strict.trigger("audit", actor=Actor("ada", roles={"auditor"})).kind == "deferred"
        strict.trigger("activate", actor="eve")
        assert (strict.state, len(strict.history)) == ("over", 4)
        is_sound(box)


def test_kept_events_fire_in_the_order_in_which_they_came_however_their_rows_are_numbered() -> None:
    """Where each connection has numbers of its own, as in YugabyteDB, what comes later may have a lower one."""
    with sandbox(machines=[Voucher]) as box:
        voucher = Voucher.start("1")
        for number in (1, 2):
            voucher.redeem(n=number)
        box._runtime.store.link.execute("UPDATE fsmflow_event SET id = 1000 - id WHERE kind = 'kept'")
        voucher.activate()
        assert voucher.refresh().data["order"] == [1]
        assert verify(box._runtime.store, box._runtime.machines.all()).violations == []
