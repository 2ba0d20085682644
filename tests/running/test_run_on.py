"""A worker that has committed a step goes straight on with the next one, where the machine or a setting wants that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import DefinitionError, Fail, Machine, State, configure, holds, points
from fsmflow import settings as settings_of
from fsmflow.errors import ConfigurationError
from fsmflow.running import executor as executor_of
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.wear import Endurance, Wear
from fsmflow.settings import RUN_ON
from fsmflow.values import replace
from fsmflow.verify.checker import verify
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import by_others
from tests.support.traces import ran


class Parcel(Machine):
    """Three steps on one queue, one on another, and one more."""

    run_on = True
    initial = "new"
    states = [
        "new",
        State("weighing", job="weigh"),
        State("packing", job="pack"),
        State("labelling", job="label"),
        State("driving", job="drive", queue="slow"),
        State("ringing", job="ring", queue="slow", transactional=True),
        State("asking", job="ask", queue="slow"),
        State("delivered", final=True),
    ]
    transitions = [
        ["go", "new", "weighing"],
        ["done", "weighing", "packing"],
        ["done", "packing", "labelling"],
        ["done", "labelling", "driving"],
        ["done", "driving", "ringing"],
        ["done", "ringing", "asking"],
        ["done", "asking", "delivered"],
    ]

    def weigh(self) -> None:
        self._do("weigh")

    def pack(self) -> None:
        self._do("pack")

    def label(self) -> None:
        self._do("label")

    def drive(self) -> None:
        self._do("drive")

    def ring(self) -> None:
        self._do("ring")

    def ask(self) -> None:
        self._do("ask")

    def _do(self, what: str) -> None:
        ran.append(what)
        action = actions.get(what)
        if action is not None:
            action(self)


class Wheel(Machine):
    """It would go on for ever."""

    run_on = True
    initial = "turning"
    states = [State("turning", job="turn"), State("resting", final=True)]
    transitions = [["done", "turning", "turning"], ["rest", "turning", "resting"]]

    def turn(self) -> None:
        ran.append("turn")


#: What a job does besides.
actions: dict[str, Any] = {}


class Died(BaseException):
    """The process is killed here."""


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Parcel, Wheel)) as bench:
        yield bench
    actions.clear()


def sent() -> Any:
    parcel = Parcel.start("1")
    parcel.trigger("go")
    return parcel


def execute(bench: Bench, queue: str = "default", **options: Any) -> int:
    """Answer one doorbell, as a worker does that may go on; how many steps it has run."""
    executor = Executor(bench.runtime, **{"goes_on": lambda steps: True, **options})
    bench.runtime.ring_for(executor.execute(bench.take(queue)))
    return executor.ran


def dies_at(name: str, state: str, parcel: Any) -> Any:
    def listener(passed: str, about: str) -> None:
        if passed == name and parcel.refresh().state == state:
            raise Died

    return listener


def violations(bench: Bench) -> list[Any]:
    return list(verify(bench.runtime.store, bench.runtime.machines.all(), strict=True).violations)


def test_it_is_known_from_where_a_job_leads_on() -> None:
    """What undoes a step leads to what undoes the one before; that anything may be undone is not going on."""

    class Trip(Machine):
        initial = "new"
        states = [
            "new",
            State("booking", job="act", undo="act"),
            State("paying", job="act", undo="act", on_failure="undo"),
            State("over", final=True),
        ]
        transitions = [["go", "new", "booking"], ["done", "booking", "paying"], ["done", "paying", "over"]]

        def act(self) -> None:
            return None

    assert Trip._definition.going_on == {"new", "booking", "undoing_booking", "undoing_paying"}
    assert Parcel._definition.going_on == {"new", "weighing", "packing", "labelling", "driving", "ringing"}
    assert Wheel._definition.going_on == {"turning"}


def test_the_steps_of_one_queue_take_one_doorbell(bench: Bench) -> None:
    parcel = sent()
    assert execute(bench) == 3
    assert ran == ["weigh", "pack", "label"]
    assert parcel.refresh().state == "driving"
    assert (len(bench.queued()), len(bench.queued("slow"))) == (0, 1), "the next is for those of another queue"
    assert [entry.seq for entry in parcel.history] == list(range(1, len(parcel.history) + 1))
    assert violations(bench) == []


def test_what_is_committed_with_its_claim_is_as_the_claim_of_a_doorbell_would_have_made_it(bench: Bench) -> None:
    works: list[Any] = []

    def look(machine: Any) -> None:
        snapshot = bench.runtime.store.entities.load("parcel", machine.entity_id)
        assert snapshot is not None
        works.append(snapshot.work)

    actions["pack"] = actions["label"] = look
    sent()
    execute(bench)
    together = works[:]
    Parcel.start("2").trigger("go")
    works.clear()
    for _ in range(3):
        execute(bench, goes_on=None)
    assert together[0].owner == together[1].owner, "the supervisor asks by one token"
    assert [replace(work, owner="") for work in together] == [replace(work, owner="") for work in works]


def test_a_transactional_step_commits_alone(bench: Bench) -> None:
    parcel = sent()
    execute(bench)
    assert execute(bench, "slow") == 2, "up to the end of the transactional one"
    assert parcel.refresh().state == "asking"
    assert execute(bench, "slow") == 1
    assert parcel.refresh().state == "delivered"


def test_without_leave_of_its_worker_each_step_takes_a_doorbell(bench: Bench) -> None:
    sent()
    assert execute(bench, goes_on=None) == 1
    assert len(bench.queued()) == 1


def test_a_pause_in_a_step_holds_the_next_one(bench: Bench) -> None:
    parcel = sent()
    actions["weigh"] = lambda machine: by_others(Parcel.get("1")).pause()
    assert execute(bench) == 1
    assert (parcel.refresh().state, parcel.paused, bench.queued()) == ("packing", True, [])
    parcel.resume()
    assert execute(bench) == 2


def test_a_hold_that_comes_in_a_step_keeps_the_next_one_back(bench: Bench) -> None:
    parcel = sent()
    held: list[Any] = []
    actions["weigh"] = lambda machine: held.append(by_others(holds).hold("parcel", state="packing"))
    assert execute(bench) == 1
    assert (parcel.refresh().state, ran) == ("packing", ["weigh"])
    actions.clear()
    holds.release(held[0].number)
    bench.advance(10)
    execute(bench)
    assert parcel.refresh().state == "driving"


def test_a_worker_that_is_told_to_stop_in_a_step_begins_no_other(bench: Bench) -> None:
    parcel = sent()
    told: list[None] = []
    actions["weigh"] = lambda machine: told.append(None)
    assert execute(bench, goes_on=lambda steps: not told) == 1
    assert (parcel.refresh().state, len(bench.queued())) == ("packing", 1)


def test_one_that_is_told_so_once_the_next_is_claimed_gives_that_back_at_once(bench: Bench) -> None:
    parcel = sent()
    answers = iter([True, False])
    assert execute(bench, goes_on=lambda steps: next(answers)) == 1
    assert (parcel.refresh().state, ran) == ("packing", ["weigh"])
    bench.sweep()
    actions["pack"] = lambda machine: ran.append(machine.attempt)
    execute(bench)
    assert ran[:3] == ["weigh", "pack", 1], "what was given back counts as no attempt"


def test_what_fails_rests_and_is_gone_on_from_there(bench: Bench) -> None:
    parcel = sent()

    def fail(machine: Any) -> None:
        raise Fail("no box is large enough")

    actions["pack"] = fail
    assert execute(bench) == 2
    assert parcel.refresh().state == "failed_from_packing"
    actions.clear()
    parcel.retry()
    assert execute(bench) == 2
    assert ran == ["weigh", "pack", "pack", "label"]


@pytest.mark.parametrize("name", ["commit.after", "settle.after"])
def test_a_worker_that_dies_between_two_steps_is_found_with_the_second(bench: Bench, name: str) -> None:
    parcel = sent()
    points.listen(dies_at(name, "packing", parcel))
    try:
        with patch.object(os, "urandom", lambda size: b"\7" * size), pytest.raises(Died):
            execute(bench)
    finally:
        points.listen(None)
    owner = (b"\7" * 12).hex()
    row = bench.runtime.store.entities.load("parcel", "1").row  # type: ignore[union-attr]
    claim = bench.runtime.store.work.owned_by(row, owner)
    assert claim is not None, "its supervisor asks by the token of the first"
    Maintenance(bench.runtime, ("default", "slow")).lost(row, owner, "it was killed")
    bench.advance(5)
    execute(bench)
    assert ran == ["weigh", "pack", "label"]
    assert parcel.refresh().state == "driving"
    assert violations(bench) == []


@pytest.mark.postgres
def test_where_a_server_takes_all_in_one_statement_the_holds_come_with_it(postgres_url: str, redis_url: str) -> None:
    with bench_on(redis_url, database_url=postgres_url, machines=(Parcel, Wheel)) as bench:
        with patch.object(bench.runtime.store.work, "holds", side_effect=AssertionError("one more round trip")):
            parcel = Parcel.start("1")
            parcel.trigger("go")
            assert execute(bench) == 3
        assert parcel.refresh().state == "driving"
        assert violations(bench) == []


def test_after_so_many_steps_others_have_their_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_of, "_RUN_ON_S", 60.0)
    Wheel.start("1")
    Wheel.start("2")
    assert execute(bench) == executor_of._RUN_ON_STEPS
    assert len({ticket.row for ticket in bench.queued()}) == 2


def test_after_so_much_time_others_have_their_turn(bench: Bench) -> None:
    Wheel.start("1")
    with patch.object(executor_of, "_RUN_ON_S", -1.0):
        assert execute(bench) == 1


def test_what_a_step_sends_for_is_rung_for_before_the_next_begins(bench: Bench) -> None:
    sent()
    seen: list[int] = []

    def start_another(machine: Any) -> None:
        by_others(Parcel).start("2").trigger("go")

    actions["weigh"] = start_another
    actions["pack"] = lambda machine: seen.append(len(bench.queued()))
    execute(bench)
    assert seen == [1]


def test_hooks_and_going_on_do_not_go_together() -> None:
    with pytest.raises(DefinitionError, match="run_on=True, and there is on_transition"):

        class Hooked(Machine):
            run_on = True
            initial = "a"
            states = ["a", State("b", final=True)]
            transitions = [["go", "a", "b"]]

            def on_transition(self, entry: Any) -> None:
                pass


def test_what_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(DefinitionError, match="run_on=3; it is True or False"):

        class Thrice(Machine):
            run_on = 3
            initial = "a"
            states = ["a", State("b", final=True)]
            transitions = [["go", "a", "b"]]


@pytest.mark.parametrize("run_on", [True, False, None])
@pytest.mark.parametrize("setting", [True, False])
def test_the_settings_say_it_of_machines_that_do_not(
    database_url: str, redis_url: str, run_on: bool | None, setting: bool
) -> None:
    states = [State("a", job="step"), State("b", job="step"), State("c", final=True)]
    body = {
        "initial": "a",
        "states": states,
        "transitions": [["done", "a", "b"], ["done", "b", "c"]],
        "step": lambda self: None,
        "run_on": run_on,
    }
    short = type("Short", (Machine,), body)
    with bench_on(redis_url, database_url=database_url, machines=(short,)) as bench:
        short.start("1")  # type: ignore[attr-defined]
        assert execute(bench, run_on=setting) == (2 if (setting if run_on is None else run_on) else 1)


def test_it_is_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for text in ("1", "on", "0", ""):
        monkeypatch.setenv(RUN_ON, text)
        found.append(settings_of.from_environment().run_on)
    assert found == [True, True, False, False]
    monkeypatch.setenv(RUN_ON, "perhaps")
    with pytest.raises(ConfigurationError, match="FSMFLOW_RUN_ON is 'perhaps'; it takes 1 or 0"):
        settings_of.from_environment()
    monkeypatch.delenv(RUN_ON)
    before = settings_of.chosen()
    configure(run_on=True)
    assert settings_of.current().run_on
    settings_of.choose(before)


def test_a_process_that_runs_so_many_jobs_does_not_go_on_past_them() -> None:
    wear = Wear(Endurance(max_jobs=3))
    wear.count(1)
    assert [wear.allows(ran) for ran in (0, 1, 2, 3)] == [True, True, False, False]
    assert Wear(Endurance()).allows(10**6)
