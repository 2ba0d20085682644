"""What waits out its interval, and is run now: by ``retry`` and ``resume``, one or many. With virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Actor, Machine, Retry, RetryAfter, State, TransitionNotAllowed
from fsmflow.decision.history import HistoryKind
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")

tries: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    tries.clear()


class Payout(Machine):
    """The bank is away for an hour at a time; branches wait like their parents."""

    initial = "new"
    states = [
        "new",
        State("paying", job="pay", retry=Retry(5, [3_600], jitter=0)),
        State("telling", jobs=["mail", "text"], retry=Retry(5, [3_600], jitter=0)),
        State("over", final=True),
    ]
    transitions = [["go", "new", "paying"], ["done", "paying", "telling"], ["done", "telling", "over"]]
    go: Trigger

    def pay(self) -> None:
        tries.append((self.entity_id, self.attempt, self.data.get("bank")))
        if self.data.get("later") and len(tries) == 1:
            raise RetryAfter(7_200)
        if self.data.get("bank") != "open":
            raise ConnectionError("the bank is away")

    def mail(self) -> None: ...

    def text(self) -> None:
        tries.append(("text", self.attempt))
        if self.attempt == 1:
            raise ConnectionError("no signal")


def test_retry_runs_now_what_waits_and_changes_its_data_first() -> None:
    with sandbox(machines=[Payout]) as box:
        payout = Payout.start("1")
        payout.go()
        box.run()
        assert (payout.refresh().state, payout.phase) == ("paying", "working")
        assert "'retry' runs it now" in str(payout.explain())
        payout.retry(data={"bank": "open"}, actor=Actor("ada"), reason="it has opened")
        work = payout._view.snapshot.work
        assert work is not None
        assert (work.attempt, work.dispatch) == (2, 1), "a doorbell of its own: none was rung for this attempt before"
        assert box.run() > 0
        assert tries[:2] == [("1", 1, None), ("1", 2, "open")]
        assert payout.refresh().state == "telling"
        hurried = next(entry for entry in payout.history if entry.kind == "hurried")
        assert (hurried.actor, hurried.reason, hurried.trigger) == ("ada", "it has opened", "retry")


def test_resume_does_the_same_and_so_it_is_for_a_job_that_asked_for_more_time() -> None:
    with sandbox(machines=[Payout]) as box:
        payout = Payout.start("1", later=True, bank="open")
        payout.go()
        box.run()
        payout.resume()
        box.run()
        assert [attempt for _, attempt, *_ in tries[:2]] == [1, 2]
        assert payout.refresh().state == "telling"


def test_a_branch_that_waits_is_run_now_by_its_address() -> None:
    with sandbox(machines=[Payout]) as box:
        payout = Payout.start("1", bank="open")
        payout.go()
        box.run()
        (waiting,) = Payout.find(waiting=True, branches=True)
        waiting.retry()
        box.run()
        assert payout.refresh().state == "over"
        assert ("text", 2) in tries


def test_a_pause_gives_the_rest_of_the_interval_back_and_does_not_run_it_at_once() -> None:
    with sandbox(machines=[Payout]) as box:
        payout = Payout.start("1")
        payout.go()
        box.run()
        payout.pause()
        with pytest.raises(TransitionNotAllowed, match="a pause holds its job; 'resume' first"):
            payout.retry()
        payout.resume()
        assert box.run() == 0
        payout.resume()
        assert box.run() == 1


def test_what_runs_or_is_about_to_is_not_hurried_and_a_new_key_is_refused() -> None:
    with sandbox(machines=[Payout]) as box:
        payout = Payout.start("1")
        payout.go()
        with pytest.raises(TransitionNotAllowed):
            payout.retry()
        box.run()
        with pytest.raises(TransitionNotAllowed, match="goes on with the key that it has"):
            payout.retry(new_key=True)
        payout.retry(key="once")
        payout.retry(key="once")
        assert [entry.kind for entry in payout.history].count(HistoryKind.HURRIED) == 1


def test_those_that_wait_are_found() -> None:
    with sandbox(machines=[Payout]) as box:
        for number in range(3):
            Payout.start(str(number), bank="open" if number == 2 else "away").go()
        box.run()
        assert sorted(item.entity_id for item in Payout.find(waiting=True)) == ["0", "1"]
        box.advance(minutes=5)
        assert [item.entity_id for item in Payout.find(waiting=True, older=timedelta(minutes=5))] == ["0", "1"]


def test_a_retry_of_what_is_paused_names_the_pause_whatever_the_pause_holds() -> None:
    with sandbox(machines=[Payout]) as box:
        waiting, due = Payout.start("1"), Payout.start("2")
        waiting.go()
        box.run()
        due.go()
        for payout in (waiting, due):
            payout.pause()
            with pytest.raises(TransitionNotAllowed, match="a pause holds its job; 'resume' first") as caught:
                payout.retry(data={"bank": "open"})
            assert "retry" not in caught.value.allowed
            assert "retry (a pause holds its job; 'resume' first)" in str(payout.explain())
        waiting.resume()
        waiting.retry(data={"bank": "open"})
        box.run()
        waiting.pause()
        with pytest.raises(TransitionNotAllowed, match="a pause holds it; 'resume' first"):
            waiting.retry()
        (text,) = (branch for branch in Payout.find(branches=True) if branch.entity_id == "1/telling/text")
        with pytest.raises(TransitionNotAllowed, match="a pause holds its job; 'resume' first"):
            text.retry()
