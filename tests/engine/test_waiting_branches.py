"""Branches that wait out an interval: their parent tells of them, and how they are run now."""

from __future__ import annotations

import pytest

from fsmflow import Machine, Retry, RetryAfter, State, TransitionNotAllowed
from fsmflow.testing import sandbox
from tests.support.terminal import Terminal


class Call(Machine):
    """Who is called and does not answer is called again after a while."""

    initial = "calling"
    states = [
        State("calling", job="ring", each="numbers", retry=Retry(5, [3_600], jitter=0), within=24 * 3_600),
        State("over", final=True),
    ]
    transitions = [["done", "calling", "over"]]

    def ring(self, number: int) -> None:
        if number:
            raise RetryAfter(60 * number) if number < 10 else ConnectionError("nobody answers")


def test_a_parent_tells_which_branches_wait_and_until_when() -> None:
    with sandbox(machines=[Call]) as box:
        call = Call.start("1", numbers=[0, 10, 5])
        box.run()
        told = call.explain()
        assert told.next_at == Call.get("1/calling/2").explain().next_at
        assert told.waiting_for == (
            "2 of 3 branches: call:1/calling/1, call:1/calling/2; call:1/calling/2, call:1/calling/1 wait out an "
            f"interval, the first until {told.next_at:%Y-%m-%d %H:%M:%S} UTC: 'retry' of one, by its address, runs it "
            "now; or the end of its time"
        )
        box.advance(minutes=6)
        assert call.explain().next_at == Call.get("1/calling/2").explain().next_at
        Call.get("1/calling/2").cancel()
        assert call.explain().next_at == Call.get("1/calling/1").explain().next_at


def test_a_parent_with_many_that_wait_names_a_few_and_with_none_tells_nothing() -> None:
    with sandbox(machines=[Call]) as box:
        many, none = Call.start("1", numbers=[10] * 5), Call.start("2", numbers=[0, 0])
        assert "interval" not in str(none.explain())
        box.run()
        waits = "; call:1/calling/0, call:1/calling/1, call:1/calling/2 and more wait out an interval, the first until"
        assert waits in (many.explain().waiting_for or "")


def test_a_retry_of_a_parent_is_refused_with_the_branches_that_can_be_retried() -> None:
    with sandbox(machines=[Call]) as box:
        call = Call.start("1", numbers=[0, 5])
        with pytest.raises(TransitionNotAllowed, match="waits for its branches") as refused:
            call.retry()
        assert "interval" not in str(refused.value)
        box.run()
        with pytest.raises(TransitionNotAllowed) as refused:
            call.retry()
        assert refused.value.allowed == ("cancel",)
        assert "; call:1/calling/1 waits out an interval, until 20" in str(refused.value)
        assert "UTC: 'retry' of that one, by its address, runs it now." in str(refused.value)
        Call.get("1/calling/1").retry()
        assert box.run() == 1


def test_a_selection_of_those_that_wait_says_that_branches_do_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Terminal(capsys, monkeypatch)
    with sandbox(machines=[Call]) as box:
        Call.start("1", numbers=[0, 10])
        box.run()
        hint = "call:1/calling/1 and maybe other branches wait too: --branches takes them along"
        assert hint in shell.run("retry", "--waiting").err
        assert hint in shell.run("retry", "--waiting", "--machine", "call", "--error", "Connection*").err
        assert "--branches" not in shell.run("retry", "--waiting", "--error", "KeyError").err
        assert "--branches" not in shell.run("retry", "--waiting", "--branches").err
        assert hint not in shell.run("retry", "--waiting").err
