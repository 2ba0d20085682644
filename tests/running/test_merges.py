"""What triggers write while a job runs is merged with what the job makes of its data, at its end and where it saves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from fsmflow import Edit, Machine, MergeError, Outcome, State
from fsmflow.engine.runtime import current
from tests.support.bench import Bench
from tests.support.concurrency import in_threads
from tests.support.deployments import deploy
from tests.support.machines import Trigger, play
from tests.support.servers import on_servers

#: What ``merge`` of the class that has one says.
judge: list[Callable[..., Any]] = []


class Case(Machine):
    """Takes notes, in every state."""

    initial = "new"
    states = [
        State("new"),
        State("asking", job="act"),
        State("waiting_for", job="act", wait=True),
        State("booking", job="act", transactional=True),
        State("told"),
        State("over", final=True),
    ]
    transitions = [
        ["ask", "new", "asking"],
        ["wait_for", "new", "waiting_for"],
        ["book", "new", "booking"],
        {"trigger": "done", "source": ["asking", "booking"], "dest": "told", "conditions": "may_pass"},
        {"trigger": "note", "source": "*", "dest": None, "before": "take"},
        ["answer", "waiting_for", "told"],
        ["end", "told", "over"],
    ]
    redact = ["card"]
    ask: Trigger
    note: Trigger

    def take(self) -> None:
        play.get("take", lambda machine: machine.data.update(machine.event.payload))(self)

    def may_pass(self) -> bool:
        return bool(play.get("may_pass", lambda machine: True)(self))

    def act(self) -> Any:
        return play["act"](self)


class Judged(Case):
    """Says itself what becomes of what both changed."""

    name = "case"
    initial = "new"
    states = Case.states
    transitions = Case.transitions
    redact = ["card"]

    def merge(self, key: str, base: Any, theirs: Any, mine: Any) -> Any:
        return judge[-1](self, key, base, theirs, mine)


@pytest.fixture(autouse=True)
def _deployed(bench: Bench) -> None:
    deploy(bench, Case)
    judge.clear()


def asking(machine: type[Case] = Case, **data: Any) -> Any:
    case = machine.start("1", data)
    case.trigger("ask")
    return case


def note(**payload: Any) -> None:
    """What somebody else writes, on a connection of their own."""
    in_threads(1, current().store.link, lambda _: Case.get("1").trigger("note", payload))


def append(machine: Any) -> None:
    machine.data.setdefault("log", []).append(machine.event.payload["text"])


@pytest.mark.parametrize("trigger", ["ask", "wait_for", "book"])
def test_what_both_append_is_all_there(bench: Bench, trigger: str) -> None:
    play["take"] = append

    def act(machine: Any) -> None:
        machine.data["log"].append("job")
        if trigger != "book":
            note(text="trigger")

    play["act"] = act
    case = Case.start("1", log=["first"])
    case.trigger(trigger)
    if trigger == "book":
        # A transaction of the job's own is open meanwhile; what was written before it began is what it meets.
        note(text="trigger")
    bench.step()
    assert case.refresh().data == {"log": ["first", "trigger", "job"]}
    assert [entry.edit for entry in case.history if entry.kind != "internal"] == [None] * (len(case.history) - 1)


def test_what_they_append_before_the_worker_looks_is_no_merge(bench: Bench) -> None:
    play["take"] = append
    case = asking()
    note(text="a")
    play["act"] = lambda machine: machine.data["log"].append("b")
    bench.step()
    assert case.refresh().data == {"log": ["a", "b"]}


def test_a_job_that_saves_goes_on_with_what_was_written(bench: Bench) -> None:
    """What it holds in its hand is the same list still."""
    play["take"] = append
    case = asking(log=[], meta={"tags": ["x"]})

    def act(machine: Any) -> None:
        log, tags = machine.data["log"], machine.data["meta"]["tags"]
        log.append("job 1")
        note(text="trigger 1")
        machine.save()
        assert Case.get("1").data["log"] == machine.data["log"] == log == ["trigger 1", "job 1"]
        log.append("job 2")
        tags.append("y")
        note(text="trigger 2")
        machine.save()
        assert machine.data["log"] is log
        note(text="trigger 3")
        log.append("job 3")

    play["act"] = act
    bench.step()
    expected = ["trigger 1", "job 1", "trigger 2", "job 2", "trigger 3", "job 3"]
    assert case.refresh().data == {"log": expected, "meta": {"tags": ["x", "y"]}}


def test_what_both_changed_is_the_jobs_and_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    case = asking(amount=1, customer={"city": "Graz", "card": "4111-1"}, gone=1)

    def act(machine: Any) -> dict[str, Any]:
        note(amount=2, customer={"city": "Vienna", "card": "4111-2", "zip": 4020}, gone=2)
        machine.data["customer"]["city"] = "Wien"
        machine.data["customer"]["card"] = "4111-3"
        del machine.data["gone"]
        return {"amount": 3}

    play["act"] = act
    with caplog.at_level(logging.WARNING, "fsmflow"):
        bench.step()
    assert case.refresh().data == {"amount": 3, "customer": {"city": "Wien", "card": "4111-3", "zip": 4020}}
    edit = case.history[-1].edit
    assert edit == Edit(overwritten={"amount": 2, "customer.city": "Vienna", "customer.card": "[redacted]", "gone": 2})
    (told,) = [record.getMessage() for record in caplog.records if "data.overwritten" in record.getMessage()]
    assert told.startswith(
        "data.overwritten: case:1: the job of 'asking' and others both changed amount, customer.city"
    )
    assert "4111" not in told


def test_the_merge_of_the_class_decides_what_both_changed(bench: Bench) -> None:
    deploy(bench, Judged)
    seen: list[Any] = []

    def merge(machine: Any, key: str, base: Any, theirs: Any, mine: Any) -> Any:
        seen.append((machine.address, key, base, theirs, mine))
        return theirs + mine - base

    def act(machine: Any) -> dict[str, Any]:
        note(amount=15, other=1)
        return {"amount": 12, "mine": 1}

    judge.append(merge)
    play["act"] = act
    case = asking(Judged, amount=10)
    bench.step()
    assert case.refresh().data == {"amount": 17, "other": 1, "mine": 1}
    assert seen == [("case:1", "amount", 10, 15, 12)]
    assert case.history[-1].edit is None


def test_a_merge_that_raises_withholds_the_result_until_it_is_mended(bench: Bench) -> None:
    deploy(bench, Judged)
    runs: list[int] = []

    def act(machine: Any) -> dict[str, Any]:
        runs.append(1)
        note(amount=15, card="4111-7")
        return {"amount": 12}

    judge.append(lambda machine, *values: 1 / 0)
    play["act"] = act
    case = asking(Judged, amount=10)
    bench.step()
    assert (case.refresh().state, case.failure.error_type) == ("failed_from_asking", "MergeError")
    assert "merge(self, 'amount', base, theirs, mine) raised ZeroDivisionError" in case.failure.message
    assert "The result is kept" in case.failure.message
    assert case.data["amount"] == 15
    note(amount=16)
    judge.append(lambda machine, key, base, theirs, mine: [base, theirs, mine])
    case.retry()
    assert (case.state, case.data["amount"], len(runs)) == ("told", [10, 16, 12], 1)


def test_a_merge_that_raises_in_save_is_raised_in_the_job(bench: Bench) -> None:
    deploy(bench, Judged)
    raised: list[MergeError] = []

    def act(machine: Any) -> None:
        machine.data["amount"] = 12
        note(amount=15)
        try:
            machine.save()
        except MergeError as error:
            raised.append(error)
        del machine.data["amount"]
        machine.data["amount"] = 10

    judge.append(lambda machine, *values: 1 / 0)
    play["act"] = act
    case = asking(Judged, amount=10)
    bench.step()
    assert [(error.address, error.key) for error in raised] == [("case:1", "amount")]
    assert (case.refresh().state, case.data["amount"]) == ("told", 15)


def test_a_merge_says_what_becomes_of_data_and_sends_nothing(bench: Bench) -> None:
    deploy(bench, Judged)

    def merge(machine: Any, *values: Any) -> None:
        machine.send("note")

    def act(machine: Any) -> dict[str, Any]:
        note(amount=15)
        return {"amount": 12}

    judge.append(merge)
    play["act"] = act
    case = asking(Judged, amount=10)
    bench.step()
    assert (case.refresh().state, case.failure.error_type) == ("failed_from_asking", "MergeError")


def test_a_result_that_was_withheld_is_merged_with_what_was_written_since(bench: Bench) -> None:
    play.update(take=append, may_pass=lambda machine: False, act=lambda machine: machine.data["log"].append("job"))
    case = asking(log=[], card="a")
    bench.step()
    assert (case.refresh().state, case.data["log"]) == ("failed_from_asking", [])
    note(text="trigger")
    play["may_pass"] = lambda machine: True
    case.retry(data={"card": "b"})
    assert (case.state, case.data) == ("told", {"log": ["trigger", "job"], "card": "b"})


def test_an_outcome_is_merged_too(bench: Bench) -> None:
    play["take"] = append
    case = asking(log=["a"])

    def act(machine: Any) -> Outcome:
        note(text="b")
        return Outcome("done", log=["a", "c"])

    play["act"] = act
    bench.step()
    assert case.refresh().data == {"log": ["a", "b", "c"]}


def test_a_job_called_merge_is_a_job() -> None:
    class Split(Machine):
        initial = "merging"
        states = [State("merging", job="merge"), State("over", final=True)]
        transitions = [["done", "merging", "over"]]

        def merge(self) -> None:
            """Puts the parts together."""

    assert Split._compiled().wide.merge is None


@on_servers
def test_what_others_write_while_a_transaction_of_the_jobs_is_open_is_merged(bench: Bench) -> None:
    play["take"] = append
    runs: list[int] = []

    def act(machine: Any) -> None:
        machine.data["log"].append("job")
        if not runs:
            note(text="trigger")
        runs.append(1)

    play["act"] = act
    case = Case.start("1", log=[])
    case.trigger("book")
    bench.run()
    bench.advance(1)
    bench.run()
    assert case.refresh().data == {"log": ["trigger", "job"]}
    assert case.state == "told"
