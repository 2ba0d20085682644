"""Webhooks of others: what they fire, what becomes of those that lead to nothing, and what a machine may declare."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from fsmflow import Actor, ConfigurationError, DataError, DefinitionError, Hook, Machine, NotPermitted, State
from fsmflow.engine import hooks
from fsmflow.engine.hooks import MAX_KEPT_BYTES, Taken
from fsmflow.engine.runtime import current
from fsmflow.signatures import GitHub, Hmac, Stripe
from fsmflow.store import arrivals
from fsmflow.testing import Sandbox, sandbox

SIGNED = Hmac("s3cr3t", "X-Sign", id="id", event="type")


class Order(Machine):
    initial = "new"
    redact = ["card"]
    hooks = [
        Hook(
            "pay",
            trigger="paid",
            entity="data.order",
            verify=SIGNED,
            event=["payment.*", "mode == test"],
            payload={"amount": "data.amount", "card": "data.card"},
        ),
        Hook("pay", trigger="refund", entity=lambda body: body["order"], verify=SIGNED, event="refund", roles=["bank"]),
        Hook("plain", trigger="cancel", entity="order", verify=Hmac("s3cr3t", "X-Sign"), payload="data"),
    ]
    states = [State("new", defer=["refund"], ignore=["paid"]), "open", State("paid", final=True)]
    transitions = [
        ["submit", "new", "open"],
        {"trigger": "paid", "source": "open", "dest": "paid", "conditions": "is_enough"},
        {"trigger": "refund", "source": "open", "dest": None, "roles": ["bank"]},
    ]

    def is_enough(self) -> bool:
        return bool(self.event.payload["amount"] >= self.data["amount"])


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(Order) as box:
        yield box


@pytest.fixture
def order(box: Sandbox) -> Order:
    order = Order.start("7", amount=10)
    order.trigger("submit")
    return order


def send(body: Any, name: str = "pay", **headers: str) -> Taken:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sign = hmac.new(b"s3cr3t", raw, hashlib.sha256).hexdigest()
    return hooks.receive(current(), name, {"x-sign": sign, **headers}, raw)


def payment(**data: Any) -> dict[str, Any]:
    return {"id": "evt-1", "type": "payment.done", "data": {"order": "7", "amount": 10, **data}}


def kept() -> list[Mapping[str, Any]]:
    return [vars(one) for one in hooks.kept(current(), None)]


def test_an_event_fires_its_trigger_once(order: Order) -> None:
    assert send(payment(card="4111-1111")) is Taken.FIRED
    entry = order.history[-1]
    assert (entry.actor, entry.key, entry.payload) == (
        "hook:pay",
        "hook:pay:evt-1",
        {"amount": 10, "card": "[redacted]"},
    )
    assert send(payment()) is Taken.REPEATED
    assert order.refresh().state == "paid"
    assert kept() == []


def test_the_first_hook_that_means_an_event_fires(order: Order) -> None:
    assert send({"id": "e", "type": "other"}) is Taken.UNMEANT
    assert send({"id": "e", "type": "refund", "order": "order:7"}) is Taken.FIRED
    assert send({**payment(amount=2), "id": "f", "type": "x", "mode": "test"}) is Taken.KEPT
    assert send({"order": 7, "data": {"by": "the bank"}}, "plain") is Taken.FIRED
    assert order.refresh().state == "cancelled"
    assert [entry.trigger for entry in order.history][-2:] == ["refund", "cancel"]


def test_an_event_that_comes_too_early_or_means_nothing_is_taken(box: Sandbox) -> None:
    order = Order.start("7", amount=10)
    assert send(payment()) is Taken.IGNORED
    assert send({"id": "e", "type": "refund", "order": "7"}) is Taken.WAITS
    order.trigger("submit")
    assert "refund" in [entry.trigger for entry in order.history]


def test_what_is_not_signed_is_refused_and_not_kept(order: Order, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert send(payment(), **{"x-sign": "0" * 64}) is Taken.UNSIGNED
    assert "hook.refused: a request to hook 'pay'" in caplog.text
    assert send(payment(), "nope") is Taken.UNKNOWN
    assert (kept(), order.refresh().state) == ([], "open")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({**payment(), "data": {"order": "8", "amount": 1}}, "order:8 does not exist"),
        (payment(amount=2), "'is_enough'"),
        ({"id": "e", "type": "payment.done"}, "gave None"),
        (payment(order=["7"]), "it is the id of an entity"),
        (payment(order={"id": 7}), "it is the id of an entity"),
        (payment(order=True), "it is the id of an entity"),
        (payment(order="7/packing/3"), "has a '/'"),
        (payment(order="7\n"), "control characters"),
        (payment(order="\ud800"), "no JSON object"),
        (payment(order="9" * 300), "200 are allowed"),
        (payment(order="other:7"), "order:other:7 does not exist"),
        ([1, 2], "no JSON object"),
        (b"\xff\xfe", "no JSON object"),
        (b"{" * 50_000, "no JSON object"),
        (b'{"a": ' * 500 + b"1" + b"}" * 500, "no JSON object"),
        (b'{"id": 1e999, "type": "payment.done"}', "no JSON object"),
    ],
)
def test_what_leads_to_nothing_is_kept_to_look_at(order: Order, body: Any, why: str) -> None:
    assert send(body) is Taken.KEPT
    (found,) = kept()
    assert why in found["why"]
    assert (found["hook"], found["tries"], found["machine"]) == ("pay", 1, "order")
    assert send(body) is Taken.KEPT
    assert [one["tries"] for one in kept()] == [2]
    assert order.refresh().state == "open"


def test_what_may_pass_is_kept_and_is_to_be_sent_again(order: Order) -> None:
    broken = payment()
    del broken["data"]["amount"]
    assert send(broken) is Taken.LATER
    assert "'is_enough' of 'paid' raised" in kept()[0]["why"]
    assert send(payment()) is Taken.FIRED
    assert kept() == [], "it has come to something"


def test_what_led_to_nothing_is_tried_again_by_hand(box: Sandbox) -> None:
    assert send(payment()) is Taken.KEPT
    (found,) = kept()
    with pytest.raises(Exception, match="does not exist"):
        hooks.replay(current(), found["id"][:6], Actor("ann"))
    order = Order.start("7", amount=10)
    order.trigger("submit")
    entry = hooks.replay(current(), found["id"][:6], Actor("ann"))
    assert (entry.trigger, entry.key, entry.reason) == ("paid", "hook:pay:evt-1", "tried again by ann")
    assert kept() == []
    assert send(payment()) is Taken.REPEATED
    with pytest.raises(DataError, match="no event that is kept begins"):
        hooks.replay(current(), found["id"], None)


def test_what_is_redacted_is_not_kept(order: Order, caplog: pytest.LogCaptureFixture) -> None:
    body = payment(card="4111-1111", order="8")
    assert send(body) is Taken.KEPT
    (found,) = kept()
    assert "4111" not in str(found) + caplog.text
    Order.start("8", amount=1).trigger("submit")
    with pytest.raises(DataError, match="what it needs is redacted"):
        hooks.replay(current(), found["id"], None)
    assert send(body) is Taken.FIRED


def test_no_more_is_kept_than_there_is_room_for(order: Order, monkeypatch: pytest.MonkeyPatch, box: Sandbox) -> None:
    assert send(payment(order="8", note="x" * MAX_KEPT_BYTES)) is Taken.LARGE
    (found,) = kept()
    assert found["body"] is None
    assert "bytes, and was not kept" in found["why"]
    monkeypatch.setattr(arrivals, "MOST", 3)
    for number in range(6):
        box.advance(seconds=1)
        send({**payment(order="8"), "id": f"e{number}"})
    assert [one["key"][-2:] for one in kept()] == ["e5", "e4", "e3"]
    box.advance(days=29)
    send({**payment(order="8"), "id": "last"})
    box.advance(days=2)
    assert [one["key"][-4:] for one in kept()] == ["last"]


def test_what_led_to_nothing_goes_with_what_is_erased(order: Order) -> None:
    assert send(payment(amount=2)) is Taken.KEPT
    assert send({**payment(order="8"), "id": "other"}) is Taken.KEPT
    order.cancel()
    order.erase(reason="request 77")
    assert [one["address"] for one in kept()] == ["order:8"]


def test_an_event_without_a_usable_id_is_known_by_its_bytes(order: Order) -> None:
    assert send({**payment(), "id": "\u00e4" * 300}) is Taken.FIRED
    assert len(str(order.history[-1].key)) == len("hook:pay:") + 64
    assert send({"order": "7", "data": {}}, "plain") is Taken.KEPT
    assert str(kept()[0]["key"]).startswith("hook:plain:")


class Closed(Order):
    name = "closed"
    operators = {"hooks": ["lead"]}
    hooks = [Hook("closed", trigger="paid", entity="data.order", verify=SIGNED)]


def test_who_may_not_cannot_try_again_or_drop(box: Sandbox) -> None:
    with sandbox(Closed):
        send(payment(), "closed")
        id_ = kept()[0]["id"]
        for act in (hooks.replay, hooks.drop):
            with pytest.raises(NotPermitted):
                act(current(), id_, Actor("ann"))
        assert hooks.drop(current(), id_, Actor("ann", ["lead"])).id == id_
        assert kept() == []


def hooked(*given: Any) -> type[Machine]:
    states = ["a", State("b", final=True)]
    return type(
        "M", (Machine,), {"states": states, "initial": "a", "transitions": [["go", "a", "b"]], "hooks": [*given]}
    )


GO: dict[str, Any] = {"trigger": "go", "entity": "id", "verify": GitHub("s")}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["x"], "it is a list, as in hooks"),
        ([Hook("x", **{**GO, "trigger": "goo"})], "no such trigger; did you mean 'go'"),
        ([Hook("x", **{**GO, "trigger": "done"})], "belongs to the engine"),
        ([Hook("x", **GO), Hook("x", event="push", **GO)], "never fires; say event="),
        ([Hook("x", event="a", **GO), Hook("x", **{**GO, "verify": Stripe("s")})], "verified in two ways"),
    ],
)
def test_hooks_that_cannot_be_are_faults_of_the_class(given: Any, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        hooked(*given)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "a/b"}, "its name has 1 to 64"),
        ({"trigger": ""}, "it takes the name of a trigger"),
        ({"entity": "a..b"}, "it takes a place in the body"),
        ({"entity": 7}, "it takes a place in the body"),
        ({"verify": "secret"}, "it takes one of fsmflow.signatures"),
        ({"event": "a == "}, ""),
        ({"event": "a b == c"}, "a comparison is 'place == value'"),
        ({"event": []}, "it takes names of events"),
        ({"payload": {"a": 1}}, "it takes names, each with a place"),
        ({"roles": [7]}, "it takes names of roles"),
    ],
)
def test_a_hook_that_cannot_be_is_refused_as_it_is_made(options: dict[str, Any], told: str) -> None:
    given = {**GO, "name": "x", **options}
    if not told:
        Hook(given.pop("name"), **given)
        return
    with pytest.raises(DataError, match=told):
        Hook(given.pop("name"), **given)


def test_two_machines_cannot_have_hooks_of_one_name() -> None:
    one, other = (
        hooked(Hook("x", **GO)),
        type("N", (hooked(Hook("x", **GO)),), {"name": "n", "states": ["a", State("b", final=True)]}),
    )
    with sandbox(one):
        assert list(current().machines.hooks()) == ["x"]
    with pytest.raises(ConfigurationError, match="two machines have a hook 'x': 'm' and 'n'"), sandbox([one, other]):
        current().machines.all()
