"""``redact``: the job sees what it needs, and nobody else does, whatever is recorded, logged or printed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fsmflow import (
    DataError,
    Fail,
    Failure,
    GuardError,
    HistoryEntry,
    Machine,
    Outcome,
    Retry,
    State,
    TransitionNotAllowed,
)
from fsmflow.cli.main import cli, run
from fsmflow.decision.versions import brought_up
from fsmflow.errors import UpgradeError
from fsmflow.redaction import MASK
from fsmflow.testing import Sandbox
from fsmflow.testing import sandbox as memory
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]

CARD = "4242-4242-4242-4242"
NEXT_CARD = "5555-4444-3333-2222"
PIN = 987654
SECRETS = (CARD, NEXT_CARD, str(PIN), "4242-4242", "5555-4444")
#: The columns that keep the true values, as the job needs them: all others hold none.
KEEP = {("fsmflow_entity", "data"), ("fsmflow_entity", "event")}

seen: list[Any] = []


class Payment(Machine):
    """Charges a card, which fails as the data says."""

    initial = "new"
    redact = ["card", "pin"]
    on_failure: str | None = "undo"
    states = [
        State("new", defer=["change_card"]),
        State("charging", job="charge", retry=Retry(max=1, interval=1, jitter=0), undo="refund"),
        "open",
        State("paid", final=True),
    ]
    transitions = [
        ["pay", "new", "charging"],
        ["hold", "new", "open"],
        ["close", "open", "paid"],
        {"trigger": "change_card", "source": "open", "dest": None, "before": "take_card"},
        ["guarded", "new", "open", "raises"],
        ["done", "charging", "paid", "is_fine"],
        ["undone", "undoing_charging", "new"],
    ]

    def charge(self) -> Any:
        seen.append((self.data["card"], self.event.payload))
        self.log.warning("charging %s, 100%%", self.data["card"])
        how = self.data.get("how")
        if how == "fails":
            raise ConnectionError(f"the bank refused {self.data['card']!r} with {self.event.payload['deep'][0]['pin']}")
        if how == "finds":
            self.data["card"] = NEXT_CARD
            raise Fail(f"{NEXT_CARD} is no better than {self.data}")
        if how == "returns wrongly":
            return Outcome("fail", card=NEXT_CARD)
        return {"card": NEXT_CARD} if how == "changes" else None

    def refund(self) -> None:
        raise Fail(f"no refund to {self.data['card']}")

    def is_fine(self) -> bool:
        if self.data.get("how") == "changes":
            raise ValueError(f"{self.data['card']} is a strange card")
        return True

    def raises(self) -> bool:
        raise ValueError(f"guard: {self.data['card']}")

    def take_card(self) -> None:
        self.data["card"] = self.event.payload["card"]


class Hooked(Payment):
    def on_transition(self, entry: HistoryEntry) -> None:
        raise ValueError(f"hook: {self.data['card']} and {entry.payload}")

    def on_failed(self, failure: Failure) -> None: ...


class Parcels(Machine):
    """Sends something to each customer; each of them has a pin."""

    initial = "new"
    redact = ("pin",)
    states = ["new", State("sending", job="send_one", each="customers"), State("over", final=True)]
    transitions = [["go", "new", "sending"], ["done", "sending", "over"]]

    def send_one(self, item: Any) -> Any:
        if item["name"] == "eve":
            raise Fail(f"{item['name']} has a wrong pin {item['pin']}, {self.data['pin']}")
        return {"pin": item["pin"], "sent": True}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    seen.clear()


def payment(how: str | None = None, kind: type[Machine] = Payment) -> Any:
    started = kind.start("1", card=CARD, amount=5, how=how)
    started.trigger("pay", deep=[{"pin": PIN, "city": "Rome"}])
    return started


def stored(box: Sandbox) -> dict[tuple[str, str], str]:
    """The text of every column of every table."""
    found: dict[tuple[str, str], str] = {}
    for table in ("entity", "work", "history", "event", "failure", "sighting", "meta"):
        name = f"fsmflow_{table}"
        columns = [column.name for column in box.database.get_columns(name)]
        for row in box.database.execute_sql(f"SELECT * FROM {name}").fetchall():
            for column, value in zip(columns, row, strict=True):
                found[name, column] = found.get((name, column), "") + f" {value}"
    return found


def leaks(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def check_nothing_is_stored(box: Sandbox, *more: tuple[str, str]) -> None:
    assert {place for place, text in stored(box).items() if leaks(text)} <= KEEP | set(more)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    run(cli, arguments, "fsmflow")
    told = capsys.readouterr()
    return told.out + told.err


@pytest.mark.usefixtures("every_database")
def test_a_job_sees_over_its_retries_what_history_failures_and_logs_do_not(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "fsmflow"), sandbox(machines=[Payment]) as box:
        order = payment("fails")
        box.advance(seconds=5)
        order.refresh()
        assert (order.state, len(seen)) == ("failed_from_undoing_charging", 2)
        assert seen[1] == (CARD, {"deep": [{"pin": PIN, "city": "Rome"}]})
        entries = {entry.trigger or entry.kind: entry for entry in order.history}
        assert entries["pay"].payload == {"deep": [{"pin": MASK, "city": "Rome"}]}
        first = entries["attempt_failed"].failure
        assert first is not None
        assert first.message == f"the bank refused '{MASK}' with {MASK}"
        assert f"ConnectionError: the bank refused '{MASK}' with {MASK}" in first.traceback
        assert order.failure.message == f"no refund to {MASK}"
        check_nothing_is_stored(box)
        assert leaks(repr(order.history) + repr(order.failure) + repr(order) + str(order.explain())) == []
        assert (order.data["card"], order.event.trigger) == (CARD, "fail")
    assert leaks(caplog.text) == []
    assert f"payment:1 charging attempt 1: charging {MASK}, 100%" in caplog.text


@pytest.mark.parametrize("how", ["finds", "returns wrongly", "changes"])
def test_what_only_the_job_knows_is_masked_too(how: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "fsmflow"), memory(machines=[Payment]) as box:
        order = payment(how)
        box.advance(seconds=5)
        failures = [entry.failure for entry in order.refresh().history if entry.failure]
        assert MASK in failures[0].message
        check_nothing_is_stored(box, ("fsmflow_entity", "result"))
    assert leaks(caplog.text) == []


def test_failures_of_one_kind_count_as_one_whatever_the_card() -> None:
    with memory(machines=[Payment]) as box:
        for number in range(2):
            order = Payment.start(str(number), card=f"card of somebody with a long name, {'ab'[number]}", how="fails")
            order.trigger("pay", deep=[{"pin": 1234 + number}])
        box.advance(seconds=5)
        first, second = (Payment.get(str(number)).history[2].failure for number in range(2))
    assert first is not None
    assert second is not None
    assert first.fingerprint == second.fingerprint


def test_a_deferred_event_keeps_its_payload_until_it_fires() -> None:
    with memory(machines=[Payment]) as box:
        order = Payment.start("1", card=CARD)
        order.trigger("change_card", card=NEXT_CARD, reason=f"{NEXT_CARD} in place of {CARD}")
        assert order.history[-1].payload == {"card": MASK}
        assert order.history[-1].reason == f"{MASK} in place of {MASK}"
        check_nothing_is_stored(box, ("fsmflow_event", "payload"))
        order.trigger("hold")
        assert (order.data["card"], order.history[-1].payload) == (NEXT_CARD, {"card": MASK})
        check_nothing_is_stored(box)


def test_branches_hide_what_their_machine_hides(capsys: pytest.CaptureFixture[str]) -> None:
    customers = [{"name": "bob", "pin": PIN}, {"name": "eve", "pin": CARD}]
    with memory(machines=[Parcels]) as box:
        parcels = Parcels.start("1", customers=customers, pin=NEXT_CARD)
        parcels.trigger("go")
        box.advance(seconds=5)
        parcels.refresh()
        good, bad = parcels.branches
        assert (good.item["pin"], good.result["pin"]) == (PIN, PIN)
        assert bad.failure is not None
        assert parcels.failure is not None
        assert bad.failure.message == f"eve has a wrong pin {MASK}, {MASK}"
        assert parcels.failure.message.startswith(f"Fail: eve has a wrong pin {MASK}, {MASK} (1 branch failed")
        check_nothing_is_stored(box, ("fsmflow_entity", "item"), ("fsmflow_entity", "result"))
        for address in (parcels.address, good.address, bad.address):
            for options in ([], ["--json"], ["--traceback"]):
                assert leaks(printed(capsys, "show", address, *options)) == []


@pytest.mark.parametrize(
    "command",
    [
        ["show", "payment:1"],
        ["show", "payment:1", "--traceback"],
        ["show", "payment:1", "--json"],
        ["list"],
        ["list", "--json"],
        ["list", "--data", f"card={CARD}"],
        ["history", "payment:1"],
        ["history", "payment:1", "--json"],
        ["explain", "payment:1"],
        ["explain", "payment:1", "--json"],
        ["failures"],
        ["failures", "--json"],
        ["retry", "payment:1", "--json"],
        ["trigger", "payment:2", "guarded"],
        ["trigger", "payment:2", "pay", "deep:=[]", f"pin={PIN}", "--json"],
        ["trigger", "payment:2", "approve", f"pin={PIN}"],
        ["draw", "payment:1"],
        ["start", "payment", "3", f"card={CARD}", "--json"],
    ],
    ids=" ".join,
)
def test_nothing_that_is_printed_shows_it(command: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with memory(machines=[Payment]) as box:
        payment("fails")
        Payment.start("2", card=CARD)
        box.advance(seconds=5)
        capsys.readouterr()
        text = printed(capsys, *command)
    assert text
    assert leaks(text) == []


def test_show_says_where_something_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    with memory(machines=[Payment]):
        payment()
        assert f'"card": "{MASK}"' in printed(capsys, "show", "payment:1")


def test_the_place_of_a_failure_is_not_told_where_something_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    with memory(machines=[Payment]) as box:
        payment("fails")
        box.advance(seconds=5)
        for command in ("explain", "show"):
            told = printed(capsys, command, "payment:1")
            assert "undoing_charging" in told
            assert "test_redaction.py" not in told


def test_what_was_written_before_it_was_redacted_is_hidden_where_it_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = Payment._definition
    with memory(machines=[Payment]):
        with monkeypatch.context() as before:
            before.setattr(
                Payment, "_definition", replace(definition, wide=replace(definition.wide, redact=frozenset()))
            )
            order = payment()
        assert order.refresh().history[-1].payload == {"deep": [{"pin": MASK, "city": "Rome"}]}
        assert leaks(printed(capsys, "history", "payment:1", "--json")) == []


def test_what_a_guard_raises_is_told_without_the_card_and_its_caller_has_the_cause_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Waiter(Payment):
        states = ["new", State("open", timeout=1), State("over", final=True)]
        transitions = [["hold", "new", "open"], ["timeout", "open", "over", "raises"]]
        on_failure = None

    with caplog.at_level(logging.DEBUG, "fsmflow"), memory(machines=[Payment, Waiter]) as box:
        with pytest.raises(GuardError, match=r"guard 'raises' of 'guarded' raised ValueError: guard: ") as raised:
            Payment.start("1", card=CARD).trigger("guarded")
        assert leaks(str(raised.value)) == []
        assert str(raised.value.__cause__) == f"guard: {CARD}"
        Waiter.start("1", card=CARD).trigger("hold")
        box.advance(seconds=2)
    assert f"ValueError: guard: {MASK}" in caplog.text
    assert leaks(caplog.text) == []


def test_a_hook_gets_masks_and_its_errors_are_logged_with_masks(caplog: pytest.LogCaptureFixture) -> None:
    with memory(machines=[Hooked]):
        payment(kind=Hooked)
    assert f"on_transition raised ValueError: hook: {MASK} and {{'deep': [{{'pin': '{MASK}'" in caplog.text
    assert leaks(caplog.text) == []


class Card:
    def __repr__(self) -> str:
        return f"<Card {CARD}>"


def test_a_refusal_does_not_quote_what_is_redacted() -> None:
    with memory(machines=[Payment]):
        with pytest.raises(DataError) as start:
            Payment.start("1", card=Card())
        order = Payment.start("1")
        with pytest.raises(DataError) as trigger:
            order.trigger("pay", card=Card())
        with pytest.raises(TransitionNotAllowed) as refused:
            order.trigger("close", card=CARD)
    assert str(start.value) == (
        f"data['card'] is {MASK} (Card), which cannot be stored; data holds JSON, datetime, date, Decimal and UUID"
    )
    assert str(trigger.value).startswith(f"payload['card'] is {MASK} (Card)")
    assert leaks(str(refused.value) + repr(refused.value)) == []


def test_an_error_of_upgrade_is_told_without_the_card() -> None:
    class Newer(Payment):
        name = "payment"
        version = 2

        def upgrade(self, data: dict[str, Any], from_version: int) -> None:
            raise ValueError(f"cannot read {data['card']}")

    with memory(machines=[Payment]):
        snapshot = payment()._view.snapshot
    with pytest.raises(UpgradeError, match=f"failed with ValueError: cannot read {re.escape(MASK)}") as caught:
        brought_up(Newer._definition, snapshot)
    assert leaks(str(caught.value)) == []
