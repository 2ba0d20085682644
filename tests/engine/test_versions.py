"""Data of an earlier version is upgraded; older code leaves alone what newer code has written."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fsmflow import DataError, Machine, State, UnknownState
from fsmflow.decision.versions import brought_up
from fsmflow.errors import UnknownVersion, UpgradeError
from fsmflow.testing import sandbox
from tests.support.bench import Bench
from tests.support.concurrency import by_others
from tests.support.deployments import Parcel, Second, broken, definition_of, deploy, undone
from tests.support.servers import on_sqlite


def test_data_of_an_earlier_version_is_upgraded_when_it_is_used_and_written_when_it_moves(bench: Bench) -> None:
    deploy(bench, Parcel)
    Parcel.start("1", weight=3)
    deploy(bench, Second)
    parcel = Second.get("1")
    assert parcel.data == {"grams": 3000}
    stored = bench.runtime.store.entities.load("parcel", "1")
    assert stored is not None
    assert (stored.version, stored.data) == (1, {"weight": 3})
    parcel.trigger("begin")
    stored = bench.runtime.store.entities.load("parcel", "1")
    assert stored is not None
    assert (stored.version, stored.data) == (2, {"grams": 3000})
    bench.step()
    assert parcel.refresh().data == {"grams": 3000, "packed": True}


def test_upgrade_may_change_the_data_it_is_given() -> None:
    class InPlace(Parcel):
        name = "parcel"
        version = 3

        def upgrade(self, data: dict[str, Any], from_version: int) -> None:
            data["from"] = from_version

    with sandbox([Parcel]) as box:
        Parcel.start("1")
        deploy(box, InPlace)
        assert InPlace.get("1").data == {"from": 1}


def test_an_upgrade_that_raises_refuses_triggers_and_rests_a_running_step_until_it_is_mended() -> None:
    """Nothing is lost: the step waits in failed_from_X with its data as it was, nothing is undone for it, and a retry
    after the mend goes on."""
    with sandbox([Parcel]) as box:
        Parcel.start("1", {"weight": 2}, state="resting").trigger("release")
        deploy(box, Second)
        broken.append("upgrade")
        parcel = Second.get("1")
        assert parcel.data == {"weight": 2}, "what cannot be upgraded is shown as it is"
        with pytest.raises(UpgradeError, match=r"from_version=1\) to version 2 failed with KeyError: 'weight'"):
            parcel.trigger("note")
        assert "KeyError" in str(parcel.explain().blocked_by)
        assert parcel.allowed_triggers() == []
        box.run()
        parcel.refresh()
        assert (parcel.state, parcel.data, undone) == ("failed_from_sending", {"weight": 2}, [])
        assert parcel.failure is not None
        assert (parcel.failure.error_type, parcel.failure.permanent) == ("UpgradeError", True)
        with pytest.raises(DataError, match="mend upgrade"):
            parcel.retry()
        broken.clear()
        parcel.retry()
        box.run()
        assert (parcel.refresh().state, parcel.data) == ("sent", {"grams": 2000})


@pytest.mark.parametrize("data", ["text", 5])
def test_an_upgrade_that_returns_no_mapping_is_told(data: Any) -> None:
    class Odd(Parcel):
        name = "parcel"
        version = 2

        def upgrade(self, data: dict[str, Any], from_version: int) -> Any:
            return data["give"]

    with sandbox([Parcel]) as box:
        Parcel.start("1", give=data)
        deploy(box, Odd)
        with pytest.raises(UpgradeError, match="it returns the new data, or None"):
            Odd.get("1").trigger("note")


def test_upgrade_can_neither_fire_nor_send() -> None:
    class Acting(Parcel):
        name = "parcel"
        version = 2

        def upgrade(self, data: dict[str, Any], from_version: int) -> None:
            self.trigger("note") if data["how"] == "fire" else self.send("note")

    with sandbox([Parcel]) as box:
        for how in ("fire", "send"):
            Parcel.start(how, how=how)
        deploy(box, Acting)
        for how in ("fire", "send"):
            with pytest.raises(UpgradeError, match="NestedAction"):
                Acting.get(how).trigger("begin")


def test_older_code_leaves_an_entity_of_newer_code_alone(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """As in a rolling deployment: the old worker gives the claim back, counts no attempt, and writes nothing."""
    deploy(bench, Second)
    Second.start("1", grams=5).trigger("begin")
    deploy(bench, Parcel)
    parcel = Parcel.get("1")
    with pytest.raises(UnknownVersion, match="version 2 of machine 'parcel', and the code here has version 1"):
        parcel.trigger("note")
    for refused in (parcel.cancel, parcel.pause, lambda: parcel.force("resting")):
        with pytest.raises(UnknownState):
            refused()
    assert "version 2" in str(parcel.explain().blocked_by)
    with caplog.at_level(logging.DEBUG):
        bench.step()
    assert "claim.released" in caplog.text
    assert (parcel.refresh().state, parcel.attempt, len(parcel.history)) == ("packing", 1, 2)
    deploy(bench, Second)
    bench.advance(60)
    bench.step()
    assert Second.get("1").state == "resting"


def test_a_result_of_older_code_is_left_to_newer_code_that_has_been_there_meanwhile(bench: Bench) -> None:
    """The old worker cannot know what its result would do to the new data: the step runs again."""
    ran: list[str] = []

    class Slow(Parcel):
        name = "parcel"

        def pack(self) -> dict[str, Any]:
            ran.append("old")
            deploy(bench, Second)
            by_others(Second.get("1")).trigger("note")
            deploy(bench, Slow)
            return {"packed": True}

    deploy(bench, Slow)
    Slow.start("1", weight=1).trigger("begin")
    bench.step()
    deploy(bench, Second)
    assert (Second.get("1").state, Second.get("1").data) == ("packing", {"grams": 1000})
    bench.advance(60)
    bench.step()
    assert (Second.get("1").state, Second.get("1").data, ran) == ("resting", {"grams": 1000, "packed": True}, ["old"])


@on_sqlite
def test_what_may_run_once_only_is_not_handed_over_but_fails_as_lost(bench: Bench) -> None:
    """The old worker has run it, and nobody else may."""
    ran: list[int] = []

    class Old(Machine):
        name = "once"
        initial = "new"
        states = [State("new"), State("paying", job="pay", at_most_once=True), State("paid", final=True)]
        transitions = [
            ["begin", "new", "paying"],
            ["done", "paying", "paid"],
            {"trigger": "note", "source": "*", "dest": None},
        ]

        def pay(self) -> None:
            ran.append(1)
            deploy(bench, New)
            by_others(New.get("1")).trigger("note")
            deploy(bench, Old)

    class New(Old):
        name = "once"
        version = 2

        def upgrade(self, data: dict[str, Any], from_version: int) -> None:
            return None

    deploy(bench, Old)
    Old.start("1").trigger("begin")
    bench.step()
    bench.advance(60)
    assert New.get("1").state == "paying", "old code leaves it alone"
    deploy(bench, New)
    bench.advance(60)
    payment = New.get("1")
    assert (payment.state, payment.failure and payment.failure.error_type) == ("failed_from_paying", "WorkerLost")
    assert ran == [1]


def test_what_is_up_to_date_is_not_even_copied() -> None:
    """The rule on the hot path."""
    with sandbox([Second]) as box:
        Second.start("1")
        snapshot = box._runtime.store.entities.load("parcel", "1")
        assert snapshot is not None
        assert brought_up(definition_of(Second), snapshot) is snapshot


def test_a_result_whose_entity_can_no_longer_be_upgraded_is_kept() -> None:
    """Others write while the job runs, and the data that they leave cannot be upgraded: the job has run, and does not
    run again once it can."""
    ran: list[str] = []

    class Slow(Second):
        name = "parcel"

        def pack(self) -> dict[str, Any]:
            ran.append(self.state)
            deploy(box, Parcel)
            by_others(Parcel.get("1")).trigger("note")
            deploy(box, Slow)
            broken.append("upgrade")
            return {"packed": True}

    with sandbox([Parcel]) as box:
        Parcel.start("1", weight=1).trigger("begin")
        deploy(box, Slow)
        box.run()
        parcel = Slow.get("1")
        assert (parcel.state, parcel.data) == ("failed_from_packing", {"weight": 1})
        broken.clear()
        parcel.retry()
        assert (parcel.state, parcel.data, ran) == ("resting", {"grams": 1000, "packed": True}, ["packing"])
