"""What cannot go on, and what is kept, on the command line: seen, selected and dropped."""

from __future__ import annotations

import pytest

from fsmflow import Machine, State
from fsmflow.testing import sandbox
from tests.support.terminal import Terminal


class Claim(Machine):
    """Its timer is refused, and an early answer is kept."""

    initial = "open"
    states = [State("open", timeout=60, defer={"answer": 3_600}), "late", State("over", final=True)]
    transitions = [
        {"trigger": "timeout", "source": "open", "dest": "late", "conditions": "may_end"},
        ["answer", "late", "over"],
    ]

    def may_end(self) -> bool:
        return not self.data.get("disputed")


def test_what_cannot_go_on_is_told_by_every_command_and_selected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Terminal(capsys, monkeypatch)
    with sandbox(machines=[Claim]) as box:
        Claim.start("1", disputed=True)
        Claim.start("2")
        box.advance(90)
        why = "timer 'timeout': guard 'may_end' is false"
        assert why in shell.ok("list", "--stuck")
        done = shell.run("resume", "--machine", "claim")
        assert (done.status, done.out) == (1, "")
        assert "claim:1 is in 'open': 'retry' was refused: its timer 'timeout' was tried now" in done.err
        assert [found["address"] for found in shell.json("list", "--stuck")] == ["claim:1"]
        (stuck,) = shell.json("list", "--stuck")[0]["stuck"]
        assert (stuck["what"], stuck["tries"]) == ("timer 'timeout'", 1)
        assert stuck["next_at"] is not None
        assert f"1 x claim:open stuck: {why}" in shell.ok("failures")
        assert "fsmflow explain claim:1" in shell.ok("failures")
        assert shell.json("failures")[0]["stuck"]["tries"] == 1
        assert "stuck: something of 1 entities is due and cannot go on" in shell.ok("stats")
        assert shell.json("stats")["stuck"] == 1
        assert why in shell.ok("explain", "1")
        assert why in shell.ok("show", "1")
        assert shell.json("explain", "1")["stuck"][0]["tries"] == 1


def test_what_is_kept_is_dropped_by_its_number_or_by_its_trigger(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Terminal(capsys, monkeypatch)
    with sandbox(machines=[Claim]):
        claim = Claim.start("1")
        for _ in range(2):
            claim.trigger("answer")
        assert "until " in shell.ok("show", "1")
        first, second = shell.json("show", "1")["deferred"]
        assert "open, as it was" in shell.ok(
            "drop", "claim:1", str(first["id"]), "--actor", "ann", "--reason", "a test"
        )
        assert [kept["id"] for kept in shell.json("show", "1")["deferred"]] == [second["id"]]
        shell.ok("drop", "--machine", "claim", "answer")
        assert shell.json("show", "1")["deferred"] == []
        assert [entry.kind for entry in claim.refresh().history][-2:] == ["dropped", "dropped"]


class Lease(Machine):
    """What its timer is to do raises."""

    initial = "open"
    states = [State("open", timeout=60), State("over", final=True)]
    transitions = [{"trigger": "timeout", "source": "open", "dest": "over", "before": "count"}]

    def count(self) -> None:
        self.data["ended"] += 1


def test_a_callback_that_keeps_a_timer_from_firing_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shell = Terminal(capsys, monkeypatch)
    with sandbox(machines=[Lease]) as box:
        Lease.start("1")
        box.advance(90)
        named = "before callback 'count' of 'timeout' in state 'open' of machine 'lease'"
        assert f"timer 'timeout': KeyError: 'ended' [{named}] (tried " in shell.ok("explain", "lease:1")
    assert f"maintenance.failed: lease:1: KeyError: 'ended' [{named}]" in caplog.text
