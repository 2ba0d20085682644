"""Approval links: who gets one, what it can be used for, and what becomes of it as others decide."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from fsmflow import (
    Actor,
    ConfigurationError,
    DataError,
    Machine,
    NotPermitted,
    State,
    TransitionConflict,
    TransitionNotAllowed,
)
from fsmflow.decision.approval import MAX_TOKEN, Approval
from fsmflow.engine import approvals, lookup
from fsmflow.engine.approvals import LinkRefused, Sight, Stage
from fsmflow.engine.runtime import current
from fsmflow.store.tables import APPROVALS, META
from fsmflow.testing import Sandbox, sandbox

BASE = "https://shop.example/flow"
MANAGER = "manager@example.org"


class Order(Machine):
    initial = "new"
    redact = ["card"]
    search = ["tenant"]
    team = "tenant"
    states = ["new", "asked", State("asking", job="ask"), State("approved", final=True), State("rejected", final=True)]
    transitions = [
        ["submit", "new", "asked"],
        ["ask_again", "asked", "asking"],
        ["done", "asking", "asked"],
        {"trigger": "approve", "source": "asked", "dest": "approved", "roles": ["manager"], "unless": "is_closed"},
        {"trigger": "reject", "source": "asked", "dest": "rejected", "roles": ["manager"]},
        {"trigger": "vote", "source": "asked", "dest": None, "after": "count", "roles": ["voter"]},
        {"trigger": "close", "source": "asked", "dest": None, "after": "shut"},
    ]

    def is_closed(self) -> bool:
        return bool(self.data.get("closed"))

    def shut(self) -> None:
        self.data["closed"] = True

    def count(self) -> None:
        self.data["votes"] = [*self.data.get("votes", []), self.event.actor]

    def ask(self) -> None:
        self.data["link"] = self.approval_link("approve", for_=MANAGER, base_url=BASE)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(Order) as box:
        yield box


@pytest.fixture
def order(box: Sandbox) -> Order:
    order = Order.start("1042", amount=90, card="4111-1111", tenant="acme")
    order.trigger("submit")
    return order


def link(order: Order, trigger: str = "approve", **options: Any) -> str:
    return order.approval_link(trigger, **{"for_": MANAGER, "base_url": BASE, **options})


def read(url: str) -> Approval:
    return approvals.read(current(), token_of(url))


def token_of(url: str) -> str:
    base, _, token = url.rpartition("/")
    assert base == f"{BASE}/links"
    return token


def look(url: str) -> Sight:
    return approvals.look(current(), read(url))


def use(url: str, words: str | None = None) -> Any:
    return approvals.use(current(), read(url), words)


def test_a_link_fires_its_trigger_once_in_the_name_of_its_person(order: Order) -> None:
    url = link(order)
    sight = look(url)
    assert (sight.stage, sight.forecast and sight.forecast.state) == (Stage.OPEN, "approved")
    assert order.refresh().state == "asked", "a look changes nothing"
    entry = use(url, "fine with me")
    assert (entry.actor, entry.reason, entry.repeated) == (MANAGER, "by an approval link: fine with me", False)
    assert order.refresh().state == "approved"
    assert use(url).repeated
    assert len(order.history) == 3
    again = look(url)
    assert (again.stage, again.entries[0].seq) == (Stage.USED, entry.seq)


def test_what_links_are_signed_with_is_in_no_table_that_whoever_looks_reads(order: Order) -> None:
    link(order)
    runtime = current()
    signed_with = runtime.store.secrets.get([APPROVALS])[APPROVALS]
    facts = [value for (value,) in runtime.store.link.rows(f"SELECT value FROM {META}")]
    assert signed_with
    assert signed_with not in facts


def test_a_link_has_the_roles_that_its_trigger_takes_and_no_others(order: Order) -> None:
    approval = read(link(order))
    assert (set(approval.roles), approval.teams) == ({"manager"}, ("acme",))
    assert read(link(order, "close")).roles == set()
    with pytest.raises(NotPermitted, match="'approve' needs an actor with one of the roles manager"):
        link(order, roles=["clerk"])


def test_a_link_is_refused_for_what_could_not_be_fired_now(order: Order) -> None:
    with pytest.raises(TransitionNotAllowed, match="'submit' was refused"):
        link(order, "submit")
    url = link(order)
    order.trigger("close")
    with pytest.raises(TransitionNotAllowed, match="is_closed"):
        link(order)
    sight = look(url)
    assert sight.stage is Stage.REFUSED
    with pytest.raises(TransitionNotAllowed):
        use(url)


def test_whoever_makes_a_link_in_a_name_must_be_permitted_the_same(order: Order) -> None:
    clerk, boss = Actor("bea", ["clerk"], teams=["acme"]), Actor("ann", ["manager"], teams=["acme"])
    with pytest.raises(NotPermitted, match="'bea' has none"):
        link(order, actor=clerk)
    assert use(link(order, actor=boss)).reason == "by an approval link of ann"


def test_a_link_is_told_what_happened_since_others_decided(order: Order) -> None:
    url = link(order)
    order.trigger("reject", actor=Actor("ann", ["manager"], teams=["acme"]), reason="too dear")
    sight = look(url)
    assert sight.stage is Stage.MOVED
    assert [(entry.trigger, entry.actor, entry.reason) for entry in sight.entries] == [("reject", "ann", "too dear")]
    with pytest.raises(TransitionConflict):
        use(url)


def test_several_people_vote_by_links_each_once(order: Order) -> None:
    urls = [link(order, "vote", for_=name) for name in ("ann", "bea")]
    for url in (*urls, *urls):
        use(url)
    assert order.refresh().data["votes"] == ["ann", "bea"]


@pytest.mark.parametrize("change", ["cut", "longer", "other", "body", "signature", "empty", "long", "padded", "none"])
def test_a_link_that_was_tampered_with_is_refused(order: Order, change: str, caplog: pytest.LogCaptureFixture) -> None:
    token = token_of(link(order))
    body, _, signature = token.partition(".")
    swapped = "A" if body[10] != "A" else "B"
    forged = {
        "cut": token[:-1],
        "longer": f"{token}A",
        "other": f"{token_of(link(order, 'reject')).partition('.')[0]}.{signature}",
        "body": f"{body[:10]}{swapped}{body[11:]}.{signature}",
        "signature": f"{body}.{'A' * 43}",
        "empty": "",
        "long": "A" * MAX_TOKEN + "." + signature,
        "padded": f"{body}=.{signature}",
        "none": f"{body}.",
    }[change]
    with caplog.at_level(logging.DEBUG), pytest.raises(LinkRefused, match="was not made here") as refused:
        approvals.read(current(), forged)
    assert not refused.value.expired
    assert body not in caplog.text


def test_a_link_ends(box: Sandbox, order: Order) -> None:
    url = link(order, within=timedelta(hours=1))
    box.advance(minutes=59)
    assert look(url).stage is Stage.OPEN
    box.advance(minutes=1)
    with pytest.raises(LinkRefused, match="its time is over"):
        read(url)


def test_all_links_are_made_void_at_once(order: Order) -> None:
    url = link(order)
    approvals.revoke(current())
    with pytest.raises(LinkRefused, match="was made void"):
        read(url)
    assert look(link(order)).stage is Stage.OPEN


def test_the_link_of_a_job_is_for_the_state_that_follows(box: Sandbox, order: Order) -> None:
    order.trigger("ask_again")
    box.run()
    approval = read(order.refresh().data["link"])
    assert (approval.epoch, set(approval.roles), order.state) == (order.epoch, {"manager"}, "asked")
    use(order.data["link"])
    assert order.refresh().state == "approved"


def test_a_link_that_is_opened_before_its_state_is_entered_says_so(order: Order) -> None:
    order.trigger("ask_again")
    wish = approvals.Wish(trigger="approve", person=MANAGER, within=60, payload={}, ahead=True)
    instance = lookup.load(current(), Order._compiled(), "1042")
    approval = approvals.read(current(), approvals.issue(current(), instance, wish))
    assert approvals.look(current(), approval).stage is Stage.EARLY
    with pytest.raises(TransitionConflict):
        approvals.use(current(), approval)


def test_what_is_redacted_does_not_leave_in_a_link(order: Order) -> None:
    with pytest.raises(DataError, match="'card' is redacted"):
        order.approval_link("approve", {"paid": [{"card": "4111"}]}, for_=MANAGER, base_url=BASE)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"within": 0}, "within is 0"),
        ({"within": "3d"}, "within is '3d'"),
        ({"for_": ""}, "for_ is empty"),
        ({"for_": "a\nb"}, "control characters"),
    ],
)
def test_what_no_link_can_be_is_refused(order: Order, options: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        link(order, **options)


def test_a_payload_that_no_address_holds_is_refused(order: Order) -> None:
    with pytest.raises(DataError, match="give it less of a payload"):
        order.approval_link("approve", {"note": "x" * 2_000}, for_=MANAGER, base_url=BASE)


def test_where_nobody_has_said_how_links_begin_the_error_says_how(order: Order) -> None:
    with pytest.raises(ConfigurationError, match=r"FSMFLOW_WEB_URL or configure\(web_url"):
        order.approval_link("approve", for_=MANAGER)
    for wrong in ("shop.example", "ftp://shop.example", "https://ann:pw@shop.example", "https://shop.example/?a=1"):
        with pytest.raises(ConfigurationError, match="base_url is") as refused:
            link(order, base_url=wrong)
        assert "pw" not in str(refused.value)


def test_the_roles_of_whom_the_installation_lists_are_those_of_the_moment() -> None:
    people: dict[str, Any] = {"ann": {"roles": ["manager"]}, "bea": ["clerk"]}
    with sandbox(Order, permissions={"people": people}):
        order = Order.start("1", tenant="acme")
        order.trigger("submit")
        with pytest.raises(NotPermitted):
            link(order, for_="bea")
        approval = read(link(order, for_="ann"))
        assert (set(approval.roles), approval.listed) == (set[str](), True)
        current().settings.permissions.people.pop("ann")  # type: ignore[union-attr]
        with pytest.raises(NotPermitted):
            approvals.use(current(), approval)


class Kept(Machine):
    initial = "asked"
    key_retention = timedelta(days=1)
    states = ["asked", State("gone", final=True)]
    transitions = [["go", "asked", "gone"]]


def test_a_link_holds_no_longer_than_it_is_known_to_be_used() -> None:
    with sandbox(Kept):
        kept = Kept.start("1")
        with pytest.raises(DataError, match=r"key_retention keeps keys for 86,400 s"):
            kept.approval_link("go", for_="ann", base_url=BASE)
        assert kept.approval_link("go", for_="ann", base_url=BASE, within=timedelta(days=1))
