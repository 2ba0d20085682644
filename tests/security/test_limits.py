"""What is too large, too deep or no text is refused in words, or shortened, on each kind of database."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fsmflow import Actor, DataError, Machine, State
from fsmflow.decision.inputs import MAX_PAYLOAD_BYTES
from fsmflow.redaction import MASK
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]

FULL: dict[str, Any] = {"text": "x" * (MAX_PAYLOAD_BYTES - len('{"text":""}'))}
LARGE: dict[str, Any] = {"text": FULL["text"] + "x"}


class Desk(Machine):
    initial = "new"
    redact = ["card"]
    states = [
        State("new", defer=["later"], ignore=["look"]),
        State("busy", job="work"),
        State("packing", job="pack", each="lines"),
        State("over", final=True),
    ]
    transitions = [
        ["go", "new", "busy"],
        ["done", "busy", "over"],
        {"trigger": "note", "source": "*", "dest": None},
        ["later", "busy", None],
        ["look", "busy", None],
        ["begin", "new", "packing"],
        ["branch_done", "packing", None],
        ["done", "packing", "over"],
    ]

    def work(self) -> None:
        kind = self.data["kind"]
        if kind == "send":
            self.send("note", **LARGE)
        raise ValueError(self.data["text"] * self.data.get("times", 1))

    def pack(self, item: Any) -> Any:
        return "x" * item


def nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.usefixtures("every_database")
@pytest.mark.parametrize("trigger", ["go", "later", "look"])
def test_a_payload_has_64_kilobytes_at_most(trigger: str) -> None:
    with sandbox(machines=[Desk]):
        desk = Desk.start("1", kind="")
        with pytest.raises(DataError, match=r"^payload has 65,537 bytes; 65,536 are allowed\. Keep large things else"):
            desk.trigger(trigger, **LARGE)
        assert len(desk.history) == 1
        desk.trigger(trigger, **FULL)
        assert len(desk.history[1].payload["text"]) == len(FULL["text"])


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"x": math.nan}, r"payload\['x'\] is nan; only finite numbers"),
        ({"x": [-math.inf]}, r"payload\['x'\]\[0\] is -inf"),
        ({"x": nested(70)}, "is nested deeper than 64 levels"),
        ({"x": {1: 2}}, r"payload\['x'\] has the key 1 \(int\); keys are text"),
        ({"x": b"y"}, "which cannot be stored"),
        ({"x": "\ud800"}, r"payload\['x'\] cannot be stored: .*surrogates"),
    ],
)
@pytest.mark.parametrize("trigger", ["note", "later", "look"])
def test_a_payload_that_cannot_be_stored_changes_nothing(trigger: str, payload: dict[str, Any], why: str) -> None:
    with sandbox(machines=[Desk]):
        desk = Desk.start("1")
        with pytest.raises(DataError, match=why):
            desk.trigger(trigger, **payload)
        assert len(desk.history) == 1


@pytest.mark.usefixtures("every_database")
def test_texts_of_a_request_are_limited() -> None:
    with sandbox(machines=[Desk]):
        desk = Desk.start("1")
        refused: list[tuple[dict[str, Any], str]] = [
            ({"key": "x" * 201}, "key has 201 characters; 200 are allowed"),
            ({"key": "a\x00"}, "key 'a.x00' has control characters"),
            ({"actor": Actor("x" * 200).name + "x"}, "actor has 201 characters"),
            ({"reason": "x" * 8_193}, "reason has 8193 characters; 8192 are allowed"),
            ({"reason": "a\x1b[2J"}, "has control characters"),
        ]
        for options, why in refused:
            with pytest.raises(DataError, match=why):
                desk.trigger("note", **options)
        desk.trigger("note", key="x" * 200, actor="y" * 200, reason="z\n" * 4_096)
        assert (len(desk.history), desk.history[1].reason) == (2, "z\n" * 4_096)


def test_a_job_that_sends_too_much_fails_with_the_reason() -> None:
    with sandbox(machines=[Desk]) as box:
        desk = Desk.start("1", kind="send")
        desk.trigger("go")
        box.run()
        failure = desk.refresh().failure
        assert failure is not None
        assert failure.message.startswith("send: the payload has 65,537 bytes; 65,536 are allowed")


@pytest.mark.usefixtures("every_database")
@pytest.mark.parametrize("text", ["\x00\x1b[31m", "🙂\u2028'", "line\nline\\"])
def test_any_text_of_an_error_is_recorded_shortened_and_masked(text: str) -> None:
    secret = "\x00sesame\x1b"
    with sandbox(machines=[Desk]) as box:
        desk = Desk.start("1", kind="", text=f"{text}{secret} ", times=5_000, card=secret)
        desk.trigger("go")
        box.run()
        failure = desk.refresh().failure
        assert failure is not None
        assert failure.traceback is not None
        assert (desk.state, len(failure.message), len(failure.traceback)) == ("failed_from_busy", 2_003, 8_003)
        assert MASK in failure.message
        assert not any(part in failure.message + failure.traceback for part in ("sesame", "\x00", "\x1b"))
        assert desk.history[-1].failure == failure


def test_a_parent_is_told_of_branches_whatever_they_return() -> None:
    with sandbox(machines=[Desk]) as box:
        desk = Desk.start("1", lines=[10, 300_000])
        desk.trigger("begin")
        box.run()
        assert desk.refresh().state == "over"
