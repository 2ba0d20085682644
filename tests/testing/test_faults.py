"""Jobs that fail, and workers that die, where a test says so."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import Machine, State
from fsmflow.engine import runtime as runtime_of
from fsmflow.testing import SandboxError, sandbox
from fsmflow.testing.faults import Faults, FaultyRegistry
from tests.testing.parcels import Once, Parcel, done, play


class TestFailing:
    def test_so_many_attempts_fail(self) -> None:
        with sandbox([Parcel]) as box:
            box.fail("charge", ConnectionError("refused"), times=4)
            parcel = Parcel.start("1")
            parcel.submit()
            assert box.advance(days=1) == 4
            assert parcel.refresh().state == "failed_from_charging"
            assert done == []
            assert parcel.failure is not None
            assert (parcel.failure.error_type, parcel.failure.message) == ("ConnectionError", "refused")
            parcel.retry()
            assert box.run() == 1
            assert parcel.refresh().state == "cooling"

    def test_by_the_name_of_the_state_and_a_class_of_error(self) -> None:
        with sandbox([Parcel]) as box:
            box.fail("packing", KeyError)
            Parcel.start("1").submit()
            box.advance(hours=2)
            assert Parcel.get("1").state == "failed_from_packing"

    def test_plans_are_met_in_their_order(self) -> None:
        with sandbox([Parcel]) as box:
            box.fail("charge", ValueError("first"))
            box.fail("charging", ValueError("second"))
            parcel = Parcel.start("1")
            parcel.submit()
            box.advance(minutes=5)
            assert [entry.failure.message for entry in parcel.history if entry.failure] == ["first", "second"]

    def test_a_crash_runs_again_at_once(self) -> None:
        with sandbox([Parcel]) as box:
            box.crash("charge")
            parcel = Parcel.start("1")
            parcel.submit()
            assert box.run() == 2
            assert [entry.kind for entry in parcel.history] == ["start", "transition", "crashed", "transition"]
            assert done == [("charge", "1", 2)]
            assert parcel.refresh().data == {"charged": 2}

    def test_a_crash_after_the_job_has_had_its_effect(self) -> None:
        keys = []
        play["pack"] = lambda machine: keys.append(machine.idempotency_key)
        with sandbox([Parcel]) as box:
            box.crash("packing", after_job=True)
            parcel = Parcel.start("1")
            parcel.submit()
            box.advance(hours=1)
            assert [kind for kind, _, _ in done] == ["charge", "pack", "pack"]
            assert len(keys) == 2
            assert len(set(keys)) == 1
            assert parcel.refresh().state == "resting"

    def test_too_many_crashes(self) -> None:
        with sandbox([Parcel]) as box:
            box.crash("charge", times=4)
            parcel = Parcel.start("1")
            parcel.submit()
            assert box.run() == 4
            assert parcel.refresh().state == "failed_from_charging"
            assert parcel.failure is not None
            assert parcel.failure.error_type == "WorkerLost"
            assert done == []

    def test_a_crash_of_what_must_run_at_most_once(self) -> None:
        with sandbox([Once]) as box:
            box.crash("act", after_job=True)
            once = Once.start("1")
            once.go()
            assert box.run() == 1
            assert once.refresh().state == "failed_from_acting"
            assert once.failure is not None
            assert once.failure.error_type == "WorkerLost"

    def test_a_job_that_leaves_a_transaction_open_harms_nobody(self) -> None:
        play["charge"] = lambda machine: runtime_of.current().store.link.db.atomic().__enter__() and None
        with sandbox([Parcel]) as box:
            Parcel.start("1").submit()
            Parcel.start("2").submit()
            box.crash("charge", after_job=True)
            box.run()
            assert Parcel.counts() == {"cooling": 2}

    @pytest.mark.parametrize("plan", ["fail", "crash"])
    def test_names_that_are_wrong(self, plan: str) -> None:
        with sandbox([Parcel]) as box:
            act = box.crash if plan == "crash" else lambda name: box.fail(name, ValueError())
            with pytest.raises(SandboxError, match="'chrge'; did you mean 'charge'"):
                act("chrge")
            with pytest.raises(SandboxError, match="state 'resting' has no job"):
                act("resting")

    def test_plans_that_are_wrong(self) -> None:
        with sandbox([Parcel]) as box:
            with pytest.raises(SandboxError, match="give the exception"):
                box.fail("charge", "boom")  # type: ignore[arg-type]
            with pytest.raises(SandboxError, match="times=0"):
                box.crash("charge", times=0)


class Courier(Machine):
    """Jobs side by side, of which each can be meant by its name."""

    initial = "new"
    states = [State("new"), State("calling", jobs=["call", "write"]), State("over", final=True)]
    transitions = [["go", "new", "calling"], ["done", "calling", "over"]]

    def call(self) -> str:
        return "called"

    def write(self) -> str:
        return "written"


def test_one_of_several_jobs_side_by_side() -> None:
    faults = Faults()
    registry = FaultyRegistry([Courier], faults)
    registry.check_name("write")
    faults.fail("write", ValueError("no paper"), 1)

    def run(name: str) -> Any:
        job = registry.get("courier").branches["calling"].branches[name].states["calling"].job
        assert job is not None
        return job(object.__new__(Courier))

    assert run("call") == "called"
    with pytest.raises(ValueError, match="no paper"):
        run("write")
    assert run("write") == "written"
