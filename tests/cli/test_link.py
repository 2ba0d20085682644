"""``link``: a link for somebody without an account, as a command prints it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow import Machine, State
from fsmflow.cli import person
from fsmflow.engine import approvals
from fsmflow.engine.runtime import current
from fsmflow.testing import Sandbox, sandbox
from tests.support.terminal import Terminal

TYPED = ("link", "order:1", "approve", "--for", "manager@example.org", "--base-url", "https://shop.example/")


class Order(Machine):
    initial = "asked"
    states = ["asked", State("approved", final=True)]
    transitions = [{"trigger": "approve", "source": "asked", "dest": "approved", "roles": ["manager"]}]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(Order) as box:
        Order.start("1")
        yield box


def test_who_may_do_it_gives_a_link_for_it_away(box: Sandbox, shell: Terminal) -> None:
    assert "needs an actor with one of the roles manager" in shell.refused(*TYPED)
    done = shell.run(*TYPED, "amount:=5", "--actor", "ann", "--role", "manager", "--within", "2h")
    assert (done.status, done.out[:27]) == (0, "https://shop.example/links/")
    assert "whoever has it is taken for manager@example.org; it can be used once, within 2 h" in done.err
    approval = approvals.read(current(), done.out.strip().rpartition("/")[2])
    assert (approval.payload, approval.by, set(approval.roles)) == ({"amount": 5}, "ann", {"manager"})
    found = shell.json(*TYPED, "--role", "manager")
    assert (found["address"], found["trigger"], found["for"]) == ("order:1", "approve", "manager@example.org")


def test_what_is_missing_is_told(box: Sandbox, shell: Terminal) -> None:
    for words in (("link",), ("link", "order:1", "approve"), ("link", "order:1", "--revoke-all")):
        assert shell.run(*words).status == 2
    assert "FSMFLOW_WEB_URL" in shell.refused(*TYPED[:5], "--role", "manager")


def test_all_links_are_made_void_by_whoever_may(shell: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    roles = {"boss": ["revoke_links", "order.approve"], "clerk": ["order.approve"]}
    with sandbox(Order, permissions={"people": {"ann": "boss", "bea": "clerk"}, "roles": roles}):
        Order.start("1")
        monkeypatch.setattr(person, "login", lambda: "bea")
        url = shell.ok(*TYPED).strip()
        assert "'revoke_links'" in shell.refused("link", "--revoke-all")
        monkeypatch.setattr(person, "login", lambda: "ann")
        assert shell.ok("link", "--revoke-all") == "all links that there were are void\n"
        with pytest.raises(approvals.LinkRefused):
            approvals.read(current(), url.rpartition("/")[2])
