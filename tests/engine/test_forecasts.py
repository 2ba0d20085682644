"""``what_if``: what a trigger would lead to, told before it is fired, and nothing written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fsmflow import Actor, DataError, Forecast, Machine, NestedAction, Refuse, State
from fsmflow.engine.runtime import current
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, WORK
from fsmflow.testing import Sandbox, sandbox

LEAD = Actor("ann", {"lead"})


class Claim(Machine):
    """An expense claim."""

    name = "claim"
    initial = "new"
    redact = ["iban"]
    states = [
        State("new", defer=["pay"], ignore=["ping"]),
        State("checking", job="check", queue="slow", undo="take_back"),
        State("open", timeout=3600),
        State("paying", job="pay_out", each="lines"),
        State("paid", final=True),
        State("rejected", final=True),
    ]
    transitions = [
        {"trigger": "submit", "source": "new", "dest": "checking", "before": "note"},
        {"trigger": "submit_late", "source": "new", "dest": "open", "after": "break_down"},
        ["done", "checking", "open"],
        {"trigger": "pay", "source": "open", "dest": "paying", "roles": ["lead"], "conditions": "is_covered"},
        {"trigger": "comment", "source": "open", "dest": None, "before": "write_down"},
        ["timeout", "open", "rejected"],
        ["done", "paying", "paid"],
        {"trigger": "wire", "source": "new", "dest": "rejected", "conditions": "has_iban"},
        ["ping", "open", None],
        {"trigger": "peek", "source": "new", "dest": "rejected", "conditions": "looks_ahead"},
    ]

    def note(self) -> None:
        self.data["by"] = self.event.actor
        self.send("remind", to="desk:1", after=60, iban="AT61")
        self.send("ping")

    def break_down(self) -> None:
        raise RuntimeError("no toner")

    def is_covered(self) -> bool | Refuse:
        limit = self.event.payload.get("limit", 500)
        return self.data["amount"] <= limit or Refuse(f"over the limit of {limit}")

    def has_iban(self) -> bool | Refuse:
        return Refuse(f"{self.event.payload['iban']} is on the list")

    def looks_ahead(self) -> bool:
        return self.what_if("submit").allowed

    def write_down(self) -> None:
        self.data.setdefault("comments", []).append(self.event.payload["text"])

    def check(self) -> None: ...

    def take_back(self) -> None: ...

    def pay_out(self, line: int) -> None: ...


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(Claim) as found:
        yield found


def rows() -> list[Any]:
    link = current().store.link
    return [sorted(link.query(f"SELECT * FROM {table}"), key=repr) for table in (ENTITY, WORK, HISTORY, EVENT)]


def test_a_transition_is_told_with_all_that_it_leads_to(box: Sandbox) -> None:
    claim = Claim.start("1", amount=3)
    before = rows()
    found = claim.what_if("submit", actor="bea")
    assert (found.allowed, found.kind, found.source, found.state, found.phase) == (
        (True, "transition", "new", "checking", "working")
    )
    assert (found.job, found.queue, found.deadline) == ("check", "slow", None)
    assert found.edit is not None
    assert found.edit.changed == {"by": "bea"}
    assert found.sends[0].startswith("remind to desk:1, due ")
    assert found.sends[1] == "ping to claim:1, at once"
    assert found.ahead == ("open", "paying")
    assert found.ends == ("paid", "rejected", "cancelled", "undone")
    assert rows() == before
    assert claim.refresh().data == {"amount": 3}


def test_what_is_told_is_what_then_happens(box: Sandbox) -> None:
    steps: list[tuple[str, dict[str, Any], Any]] = [
        ("comment", {"text": "hm"}, None),
        ("pay", {"limit": 9}, LEAD),
        ("cancel", {}, None),
    ]
    claim = Claim.start("1", amount=3, lines=[1, 2])
    claim.trigger("submit")
    box.run()
    for name, payload, actor in steps:
        told = claim.what_if(name, payload, actor=actor)
        entry = claim.trigger(name, payload, actor=actor)
        assert (told.kind, told.source, told.state, told.edit) == (entry.kind, entry.source, entry.dest, entry.edit)
        assert (told.state, told.phase) == (claim.state, claim.phase)
    assert claim.state == "cancelled"


def test_a_fan_out_and_a_deadline_are_told(box: Sandbox) -> None:
    claim = Claim.start("1", amount=3, lines=[1, 2], state="open")
    assert claim.what_if("pay", actor=LEAD).job == "branches of 'pay_out', one for each of 'lines'"
    fresh = Claim.start("2")
    fresh.trigger("submit")
    ended = fresh.what_if("cancel")
    assert (ended.state, ended.job, ended.deadline) == ("cancelled", None, None)
    assert (ended.ahead, ended.ends) == ((), ("undone",))


def test_a_kept_event_that_would_fire_then_is_told(box: Sandbox) -> None:
    class Till(Machine):
        initial = "closed"
        states = [State("closed", defer=["buy"]), "open", State("sold", final=True)]
        transitions = [["unlock", "closed", "open"], ["buy", "open", "sold"]]

    with sandbox(Till):
        till = Till.start("1")
        assert till.what_if("buy").kind == "deferred"
        till.trigger("buy")
        found = till.what_if("unlock")
        assert (found.state, found.then) == ("sold", ("buy, open -> sold (transition)",))


CLAIMS: list[tuple[str, Callable[[Machine], Forecast], str]] = [
    ("roles", lambda claim: claim.what_if("pay"), "lead"),
    ("words", lambda claim: claim.what_if("pay", {"limit": 1}, actor=LEAD), "over the limit of 1"),
    ("unknown", lambda claim: claim.what_if("pey"), "did you mean 'pay'?"),
    ("engine", lambda claim: claim.what_if("done"), "belongs to the engine"),
    ("epoch", lambda claim: claim.what_if("comment", {"text": ""}, epoch=7), "epoch 7"),
    ("raises", lambda claim: claim.what_if("comment"), "KeyError"),
    ("size", lambda claim: claim.what_if("comment", {"text": "x" * 70_000}), "65,536"),
]


@pytest.mark.parametrize(("ask", "words"), [case[1:] for case in CLAIMS], ids=[case[0] for case in CLAIMS])
def test_what_would_be_refused_is_told_with_the_reason(
    box: Sandbox, ask: Callable[[Machine], Forecast], words: str
) -> None:
    claim = Claim.start("1", amount=3, state="open")
    before = rows()
    found = ask(claim)
    assert not found.allowed
    assert words in str(found.why)
    assert (found.state, found.phase, found.ahead) == ("open", "waiting", ("paying",))
    assert str(found).startswith("it would be refused. ")
    assert rows() == before


def test_a_guard_s_words_are_told_for_each_way(box: Sandbox) -> None:
    claim = Claim.start("1", amount=3, state="open")
    ways = claim.what_if("pay", limit=1, actor=LEAD).ways
    assert [(way.dest, way.allowed, way.why) for way in ways] == [("paying", False, "over the limit of 1")]
    assert [way.allowed for way in claim.what_if("pay", limit=9, actor=LEAD).ways] == [True]


def test_what_a_callback_raises_is_told(box: Sandbox) -> None:
    found = Claim.start("1").what_if("submit_late")
    assert (found.allowed, found.why) == (False, "RuntimeError: no toner")


def test_an_ignored_trigger_and_a_key_that_was_used_change_nothing(box: Sandbox) -> None:
    claim = Claim.start("1", state="open")
    fresh = Claim.start("2")
    assert (fresh.what_if("ping").kind, fresh.what_if("ping").state) == ("ignored", "new")
    claim.trigger("comment", {"text": "a"}, key="k")
    again = claim.what_if("comment", {"text": "a"}, key="k")
    assert again.allowed
    assert again.kind is None
    assert "'k' was used for this in line 2" in str(again)
    assert "its key 'k' was used for 'comment'" in str(claim.what_if("cancel", key="k").why)


def test_what_is_redacted_is_not_told(box: Sandbox) -> None:
    found = Claim.start("1").what_if("wire", {"iban": "AT611904300234573201"})
    assert not found.allowed
    assert "is on the list" in str(found)
    assert "AT6119" not in repr(found)
    assert "AT6119" not in str(found)


def test_a_guard_cannot_ask_what_if(box: Sandbox) -> None:
    found = Claim.start("1").what_if("peek")
    assert not found.allowed
    assert "that asks guards, which would ask guards again" in str(found.why)
    with pytest.raises(NestedAction):
        Claim.get("1").trigger("peek")


def test_options_of_another_kind_are_refused_as_by_trigger(box: Sandbox) -> None:
    claim = Claim.start("1")
    for wrong in ({"epoch": "3"}, {"key": ""}, {"actor": 7}):
        with pytest.raises(DataError):
            claim.what_if("submit", **wrong)


def test_a_retry_of_a_branch_tells_that_its_parent_goes_back(box: Sandbox) -> None:
    claim = Claim.start("1", amount=1, lines=[1, 2], state="open")
    box.fail("pay_out", RuntimeError("closed"))
    claim.trigger("pay", actor=LEAD)
    box.run()
    assert claim.refresh().state == "failed_from_paying"
    branch = next(iter(claim.branches)).entity()
    found = branch.what_if("retry")
    assert found.also == ("claim:1 goes back from failed_from_paying to paying",)
    assert claim.refresh().state == "failed_from_paying"
