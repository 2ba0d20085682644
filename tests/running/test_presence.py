"""What worker processes tell of themselves in Redis, and which code wrote a line of history."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
from redis.connection import AbstractConnection

import fsmflow
from fsmflow import Machine, State, settings
from fsmflow.dispatch.listeners import HEARD_MS, Listener, key_of
from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.engine import runtime as runtime_of
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.presence import abilities_of, listener_of
from fsmflow.running.slot import IDLE, RUNNING, Doing, Slot
from tests.support.bench import Bench
from tests.support.machines import Counter
from tests.support.servers import on_sqlite


class Loan(Machine):
    name = "loan"
    initial = "new"
    version = 2
    renamed_states = {"checking": "reviewing"}
    states = [
        State("new"),
        State("reviewing", jobs={"credit": "check", "fraud": "check"}),
        State("paying", job="check"),
        State("paid", final=True),
    ]
    transitions = [
        ["go", "new", "reviewing"],
        ["done", "reviewing", "paying"],
        ["done", "paying", "paid"],
    ]

    def upgrade(self, data: dict[str, object], from_version: int) -> None:
        """Nothing has changed."""

    def check(self) -> None:
        """Nothing to check."""


def worker(bench: Bench, name: str) -> StepWorker:
    runtime = bench.runtime
    listener = listener_of(runtime, name, ("default", "slow"))
    return StepWorker(
        ["default"], runtime.doorbell, Executor(runtime).execute, lambda: False, name=f"{name}.1", listener=listener
    )


@on_sqlite
def test_a_worker_process_tells_what_code_it_runs_while_its_supervisor_lives(bench: Bench) -> None:
    runtime, doorbell = bench.runtime, bench.runtime.doorbell
    maintenance = Maintenance(runtime, ("default",), "boss")
    worker(bench, "boss.1").work_once(block=False)
    worker(bench, "other.1").work_once(block=False)
    assert doorbell.listeners() == [], "no supervisor has said that it lives"
    maintenance.sweep(in_turn=False)
    (told,) = doorbell.listeners()
    assert (told.name, told.pid, told.queues) == ("boss.1", os.getpid(), ("default", "slow"))
    assert (told.release, told.source) == (runtime.release.name, runtime.release.source)
    assert "busy" in told.machines["counter"].runs
    bench.clock.ms += HEARD_MS - 1
    assert doorbell.listeners() == [told], "a sweep may take its time"
    bench.clock.ms += 2
    assert doorbell.listeners() == []


@on_sqlite
def test_what_was_told_of_a_process_goes_with_it(bench: Bench) -> None:
    runtime = bench.runtime
    maintenance = Maintenance(runtime, ("default",), "boss")
    for name in ("boss.1", "boss.2"):
        worker(bench, name).work_once(block=False)
    maintenance.sweep(in_turn=False)
    maintenance.left_behind("boss.1.")
    assert [listener.name for listener in runtime.doorbell.listeners()] == ["boss.2"]
    assert bench.redis.pttl(key_of(runtime.store.installation, "boss")) > 0
    maintenance.withdraw()
    assert runtime.doorbell.listeners() == []
    assert bench.redis.exists(key_of(runtime.store.installation, "boss")) == 0


def test_code_tells_what_it_can_run_under_all_names() -> None:
    found = abilities_of(Loan._definition)
    assert found.version == 2
    assert found.runs >= {"reviewing", "reviewing/credit", "reviewing/fraud", "checking", "checking/credit", "paying"}
    assert found.runs.isdisjoint({"new", "paid", "failed_from_paying"})


@on_sqlite
def test_a_listener_is_read_as_it_was_told_and_what_is_none_is_passed_over(bench: Bench) -> None:
    listener = listener_of(bench.runtime, "boss.1", ("default",))
    assert Listener.from_text(listener.to_text()) == listener
    nameless = replace(listener, release=None, source=None)
    assert Listener.from_text(nameless.to_text()) == nameless
    for text in ("", "[]", "{}", "null", listener.to_text().replace('"machines"', '"m"'), '{"machines": {"a": 1}}'):
        assert Listener.from_text(text) is None


@on_sqlite
def test_a_line_of_history_says_which_code_wrote_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings.current()
    releases = ("2030-01", "2030-02")
    for name, release in zip(("1", "2"), releases, strict=True):
        monkeypatch.setenv("FSMFLOW_RELEASE", release)
        fsmflow.configure(database_url=chosen.database_url, redis_url=chosen.redis_url, machines=chosen.machines)
        assert runtime_of.current().release.name == release
        entry = Counter.start(name).trigger("work")
        assert entry.release == release
        assert Counter.get(name).history[-1] == entry
    Counter.get("1").pause()
    assert [entry.release for entry in Counter.get("1").history] == ["2030-01", "2030-01", "2030-02"]


@on_sqlite
def test_a_worker_that_was_told_to_end_while_it_waited_leaves_the_job_to_others(bench: Bench) -> None:
    counter = Counter.start("1")
    answers: list[bool] = []

    def told() -> bool:
        """No as the wait begins, when the job comes, and yes when it has the job."""
        if not answers:
            counter.trigger("work")
        answers.append(bool(answers))
        return answers[-1]

    leaving = StepWorker(["default"], bench.runtime.doorbell, Executor(bench.runtime).execute, told)
    assert leaving.work_once(block=True) is False
    assert (counter.refresh().state, answers) == ("busy", [False, True])
    assert worker(bench, "other.1").work_once(block=False) is True
    assert counter.refresh().state == "over"


@on_sqlite
def test_a_worker_that_was_told_to_end_just_before_it_took_a_job_gives_it_back_as_it_was(bench: Bench) -> None:
    counter = Counter.start("1")
    counter.trigger("work")
    job: Any = bench.redis.lindex(bench.queue_key(), 0)
    leaving = StepWorker(["default"], bench.runtime.doorbell, Executor(bench.runtime).execute, lambda: True)
    assert leaving.work_once(block=False) is False
    assert (counter.refresh().state, bench.redis.lrange(bench.queue_key(), 0, -1)) == ("busy", [job])
    assert bench.redis.hget(b"rq:job:" + job, "status") == b"queued"
    assert bench.redis.ttl(b"rq:job:" + job) == -1
    assert worker(bench, "other.1").work_once(block=False) is True
    assert counter.refresh().state == "over"


def test_a_supervisor_that_wants_an_end_is_heard_by_whoever_has_the_slot() -> None:
    slot = Slot.create()
    worker_of = Slot(os.dup(slot.descriptor))
    try:
        worker_of.write(Doing(state=IDLE))
        assert not worker_of.is_told_to_end
        slot.tell_to_end()
        worker_of.write(Doing(state=RUNNING, row=7, owner="x" * 32))
        assert worker_of.is_told_to_end, "what it writes itself leaves the word alone"
    finally:
        slot.close()
        worker_of.close()


@on_sqlite
def test_a_busy_worker_asks_redis_once_a_step_and_leaves_nothing_untold(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        Counter.start(str(number)).trigger("work")
    busy = worker(bench, "busy.1")
    assert busy.work_once(block=False)
    sent: list[Any] = []
    send = AbstractConnection.send_packed_command

    def counted(self: Any, command: Any, *args: Any, **options: Any) -> None:
        sent.append(command)
        send(self, command, *args, **options)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
    assert busy.work_once(block=False)
    assert busy.work_once(block=False)
    assert len(sent) == 2
    (last,) = bench.redis.keys("rq:job:*")
    assert bench.redis.hget(last, "worker_name") == b"busy.1.1"
    busy.leave()
    assert bench.redis.keys("rq:job:*") == []
