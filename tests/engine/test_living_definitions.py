"""Entities outlive the code that started them: states renamed, data upgraded, states and machines that are gone."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, cast

import peewee
import pytest

import fsmflow
from fsmflow import DataError, Fail, Machine, Retry, State, UnknownState
from fsmflow.cli.main import cli, run
from fsmflow.decision.versions import brought_up
from fsmflow.definition.model import Definition
from fsmflow.engine import runtime as runtime_of
from fsmflow.engine.registry import Registry
from fsmflow.engine.survey import Finding, survey
from fsmflow.errors import DefinitionError, UnknownVersion, UpgradeError
from fsmflow.testing import sandbox
from fsmflow.testing.box import Sandbox
from fsmflow.testing.faults import FaultyRegistry
from tests.support.bench import Bench, bench_on, on_sqlite

broken: list[str] = []
undone: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    broken.clear()
    undone.clear()


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url) as bench:
        yield bench


class Parcel(Machine):
    """As it was deployed first."""

    name = "parcel"
    initial = "new"
    states = [
        State("new"),
        State("packing", job="pack", undo="unpack"),
        State("resting"),
        State("sending", job="send_off", on_failure="undo"),
        State("sent", final=True),
    ]
    transitions = [
        ["begin", "new", "packing"],
        ["done", "packing", "resting"],
        ["release", "resting", "sending"],
        ["done", "sending", "sent"],
        {"trigger": "note", "source": "*", "dest": None},
    ]

    def pack(self) -> dict[str, Any]:
        if "pack" in broken:
            raise Fail("no tape")
        return {"packed": True}

    def unpack(self) -> None:
        undone.append(self.entity_id)

    def send_off(self) -> None:
        if "send" in broken:
            raise Fail("no lorry")


class Renamed(Parcel):
    """Other names for three of its states."""

    name = "parcel"
    initial = "fresh"
    states = [
        State("fresh"),
        State("wrapping", job="pack", undo="unpack"),
        State("on_hold"),
        State("sending", job="send_off", on_failure="undo"),
        State("sent", final=True),
    ]
    transitions = [
        ["begin", "fresh", "wrapping"],
        ["done", "wrapping", "on_hold"],
        ["release", "on_hold", "sending"],
        ["done", "sending", "sent"],
        {"trigger": "note", "source": "*", "dest": None},
    ]
    renamed_states = {"new": "fresh", "packing": "boxing", "boxing": "wrapping", "resting": "on_hold"}


class Second(Parcel):
    """Its data has another form."""

    name = "parcel"
    version = 2

    def upgrade(self, data: dict[str, Any], from_version: int) -> dict[str, Any] | None:
        if "upgrade" in broken:
            raise KeyError("weight")
        assert (from_version, self.entity_id, self.data) == (1, "1", data)
        return {"grams": data.pop("weight", 0) * 1000, **data}


def deploy(place: Bench | Sandbox, *machines: type[Machine]) -> None:
    """What a deployment does: the same database, other code."""
    if isinstance(place, Bench):
        place.runtime.machines = Registry(machines)
    else:
        place._machines = FaultyRegistry(machines, place._faults)
        place._runtime.machines = place._machines


def definition_of(machine: type[Machine]) -> Definition:
    return machine._compiled()


def test_an_entity_stands_in_the_new_state_and_goes_on_from_there(bench: Bench) -> None:
    """Nothing is written until it moves, then all is, and its history stays as it was."""
    deploy(bench, Parcel)
    Parcel.start("1").trigger("begin")
    bench.step()
    assert Parcel.get("1").state == "resting"
    deploy(bench, Renamed)
    parcel = Renamed.get("1")
    assert (parcel.state, parcel.phase, parcel.allowed_triggers()) == (
        "on_hold",
        "waiting",
        ["release", "note", "cancel", "undo"],
    )
    assert [found.entity_id for found in Renamed.find(state="on_hold")] == ["1"]
    assert Renamed.counts() == {"on_hold": 1}
    assert bench.runtime.store.listing.counts() == {("parcel", "resting"): 1}
    entry = parcel.trigger("note")
    assert (entry.kind, entry.source, entry.dest) == ("internal", "on_hold", "on_hold")
    assert bench.runtime.store.listing.counts() == {("parcel", "on_hold"): 1}
    entry = parcel.trigger("release")
    assert (entry.source, entry.dest) == ("on_hold", "sending")
    bench.step()
    assert [item.dest for item in parcel.refresh().history] == [
        "new",
        "packing",
        "resting",
        "on_hold",
        "sending",
        "sent",
    ]


def test_a_job_that_was_queued_or_failed_under_the_old_name_runs_under_the_new_one(bench: Bench) -> None:
    """Chains of names are followed, and failed_from_X goes with X."""
    broken.append("pack")
    deploy(bench, Parcel)
    Parcel.start("1").trigger("begin")
    bench.step()
    Parcel.start("2").trigger("begin")
    assert {parcel.state for parcel in Parcel.find()} == {"failed_from_packing", "packing"}
    deploy(bench, Renamed)
    broken.clear()
    bench.step()
    assert Renamed.get("2").state == "on_hold"
    first = Renamed.get("1")
    assert (first.state, first.phase, first.failure and first.failure.message) == (
        "failed_from_wrapping",
        "failed",
        "no tape",
    )
    assert first.retry().state == "wrapping"
    bench.step()
    assert first.refresh().state == "on_hold"
    assert [item.dest for item in first.history][-2:] == ["wrapping", "on_hold"]
    assert first.rewind("fresh").state == "fresh", "it has been there, as 'new'"


@pytest.mark.parametrize("state", ["resting", "packing", "failed_from_packing", "undoing_packing"])
def test_the_old_name_is_refused_with_the_new_one(state: str) -> None:
    now = state.replace("packing", "wrapping").replace("resting", "on_hold")
    with sandbox([Renamed]):
        parcel = Renamed.start("1")
        for ask in (
            lambda: list(Renamed.find(state=state)),
            lambda: parcel.force(state),
            lambda: parcel.rewind(state),
            lambda: parcel.wait(until=state),
            lambda: Renamed.start("2", state=state),
        ):
            with pytest.raises(UnknownState, match=f"no state '{state}'; it was renamed and is '{now}' now"):
                ask()


def test_what_was_entered_under_the_old_name_is_undone_under_the_new_one() -> None:
    with sandbox([Parcel]) as box:
        Parcel.start("1").trigger("begin")
        box.run()
        deploy(box, Renamed)
        broken.append("send")
        Renamed.get("1").trigger("release")
        box.run()
        parcel = Renamed.get("1")
        assert (parcel.state, undone) == ("undone", ["1"])
        assert "undoing_wrapping" in [entry.dest for entry in parcel.history]


def test_renames_that_go_round_or_nowhere_are_faults() -> None:
    with pytest.raises(DefinitionError) as caught:
        type("Bad", (Parcel,), {"renamed_states": {"a": "b", "b": "a", "c": "d", "d": "snet"}})
    assert "a -> b -> a goes round in a circle" in str(caught.value)
    assert "'c' -> 'd': unknown state 'snet'; did you mean 'sent'" in str(caught.value)


class Batch(Machine):
    """Fans out."""

    name = "batch"
    initial = "new"
    states = [State("new"), State("running", job="run", each="items"), State("over", final=True)]
    transitions = [["go", "new", "running"], ["done", "running", "over"]]

    def run(self, item: int) -> int:
        if item in self.data.get("bad", ()) and "run" in broken:
            raise Fail("no")
        return item


class RenamedBatch(Batch):
    """The state that fans out has another name."""

    name = "batch"
    states = [State("new"), State("working_off", job="run", each="items"), State("over", final=True)]
    transitions = [["go", "new", "working_off"], ["done", "working_off", "over"]]
    renamed_states = {"running": "working_off"}
    version = 2

    def upgrade(self, data: dict[str, Any], from_version: int) -> None:
        data["upgraded"] = True


def test_branches_go_on_under_the_new_name_of_their_step(bench: Bench) -> None:
    """In the middle of a fan-out: what has run counts, what has not runs, what failed is retried, and they join."""
    deploy(bench, Batch)
    broken.append("run")
    Batch.start("1", items=[1, 2, 3], bad=[2]).trigger("go")
    for _ in range(3):
        bench.step()  # makes the branches, then runs two of them
    deploy(bench, RenamedBatch)
    bench.step()
    batch = RenamedBatch.get("1")
    assert (batch.state, batch.data["upgraded"]) == ("failed_from_working_off", True)
    assert [branch.is_done for branch in batch.branches] == [True, False, True]
    assert [branch.state for branch in batch.branches] == ["done", "failed_from_working_off", "done"]
    broken.clear()
    batch.retry()
    while bench.queued():
        bench.step()
    assert (batch.refresh().state, str(batch.progress)) == ("over", "3 of 3 done, 0 running")


@pytest.mark.parametrize("machine", [Batch, RenamedBatch])
def test_a_branch_may_save_whatever_its_step_is_called(machine: type[Batch]) -> None:
    """It goes by a definition of its own, its entity by that of the machine."""

    class Saving(machine):  # type: ignore[misc, valid-type]
        name = "batch"

        def run(self, item: int) -> int:
            self.send("hello", to="batch:nobody")
            self.save()
            return item

    with sandbox([Batch]) as box:
        Batch.start("1", items=[1, 2]).trigger("go")
        deploy(box, Saving)
        box.run()
        batch = Saving.get("1")
        assert batch.state == "over"
        branch = Saving.get("1/running/0" if machine is Batch else "1/working_off/0")
        assert [entry.kind for entry in branch.history] == ["start", "saved", "transition", "discarded"]


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
            with pytest.raises(UpgradeError, match="TransitionNotAllowed"):
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
    with caplog.at_level(logging.WARNING):
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
            Second.get("1").trigger("note")
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
            New.get("1").trigger("note")
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


class Bare(Machine):
    """Without the states that others stand in."""

    name = "parcel"
    initial = "new"
    states = [State("new"), State("sending", job="send_off", retry=Retry(1)), State("sent", final=True)]
    transitions = [["begin", "new", "sending"], ["done", "sending", "sent"], ["back", "sending", "new"]]

    def send_off(self) -> None:
        return None


@pytest.mark.parametrize("state", ["packing", "resting", "failed_from_packing"])
def test_an_entity_in_an_unknown_state_is_refused_and_mended_by_force(bench: Bench, state: str) -> None:
    deploy(bench, Parcel)
    parcel: Machine = Parcel.start("1", {"n": 1})
    if state == "failed_from_packing":
        broken.append("pack")
    parcel.trigger("begin")
    if state != "packing":
        bench.step()
    assert parcel.refresh().state == state
    deploy(bench, Bare)
    parcel = Bare.get("1")
    assert parcel.state == state
    for refused in (lambda: parcel.trigger("begin"), parcel.cancel, parcel.retry):
        with pytest.raises(UnknownState, match="name it in renamed_states, or move the entity with force"):
            refused()
    assert "no state" in str(parcel.explain().blocked_by)
    if state == "packing":
        bench.step()
        assert parcel.refresh().attempt == 1, "given back, no attempt counted"
    assert parcel.force("sending", reason="renamed by hand").state == "sending"
    assert [entry.kind for entry in parcel.history][-1] == "forced"
    bench.step()
    assert parcel.refresh().state == "sent"
    assert bench.runtime.store.work.active(bench.clock.now()) == 0


class Dated(Parcel):
    """Its parcels rest for an hour at most."""

    name = "parcel"
    states = [
        State("new"),
        State("packing", job="pack", undo="unpack"),
        State("resting", timeout=3600),
        State("sending", job="send_off"),
        State("sent", final=True),
    ]
    transitions = [*Parcel.transitions, ["timeout", "resting", "sent"]]


def test_a_timer_that_older_code_does_not_know_is_left_to_newer_code(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    deploy(bench, Dated)
    Dated.start("1", state="resting")
    deploy(bench, Bare)
    bench.advance(3600)
    assert "entity.unknown" in caplog.text
    assert Bare.get("1").state == "resting"
    deploy(bench, Dated)
    bench.advance(10)
    assert Dated.get("1").state == "sent"


def test_an_unknown_state_is_left_by_rewind_too() -> None:
    with sandbox([Parcel]) as box:
        Parcel.start("1").trigger("begin")
        box.run()
        deploy(box, Bare)
        assert Bare.get("1").rewind("new").state == "new"


def found_by(bench: Bench, *machines: type[Machine]) -> list[Finding]:
    return survey(bench.runtime.store.census, {definition_of(kind).name: definition_of(kind) for kind in machines})


def test_branches_of_a_step_that_is_gone_do_not_keep_their_parent_from_being_moved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They stay where they are, as no code knows what to do with them, and a survey tells of them."""

    class Without(Machine):
        name = "batch"
        initial = "new"
        states = [State("new"), State("over", final=True)]
        transitions = [["go", "new", "over"]]

    broken.append("run")
    with sandbox([Batch]) as box:
        box.fail("run", ConnectionError())
        Batch.start("1", items=[1, 2], bad=[1, 2]).trigger("go")
        box.run()
        Batch.get("1").retry()
        deploy(box, Without)
        assert Without.get("1").force("new").trigger("go").dest == "over"
        box.advance(minutes=5)
        assert "align of entity row" not in caplog.text
        found = survey(box._runtime.store.census, {"batch": definition_of(Without)})
        assert {(item.kind, item.count) for item in found} == {("unknown_state", 2)}


def test_a_survey_tells_what_a_deployment_would_strand_rename_and_upgrade(bench: Bench) -> None:
    deploy(bench, Parcel, Batch)
    for number in range(3):
        Parcel.start(f"w{number}", state="resting")
    Parcel.start("s", state="sent")
    Batch.start("b", items=[1, 2]).trigger("go")
    bench.step()
    Parcel.start("p").trigger("begin")
    assert found_by(bench, Parcel, Batch) == []
    known = {
        (item.kind, item.state, item.count, item.example, item.strands) for item in found_by(bench, Renamed, Batch)
    }
    assert known == {
        ("renamed", "resting", 3, "parcel:w0", False),
        ("renamed", "packing", 1, "parcel:p", False),
    }
    found = found_by(bench, Second, RenamedBatch)
    assert {(item.kind, item.machine, item.state) for item in found if item.kind == "upgraded"} == {
        ("upgraded", "parcel", "resting"),
        ("upgraded", "parcel", "packing"),
        ("upgraded", "batch", "running"),
    }
    assert not any(item.strands for item in found)
    stranded = found_by(bench, Bare)
    assert {(item.kind, item.state, item.count) for item in stranded if item.strands} == {
        ("unknown_state", "resting", 3),
        ("unknown_state", "packing", 1),
        ("unknown_machine", "running", 1),
        ("unknown_machine", "running", 2),
    }
    (resting,) = [item for item in stranded if item.state == "resting"]
    assert resting.told == (
        "3 entities in 'resting' (for example parcel:w0): machine 'parcel' no longer has the state 'resting'. Deploy "
        "it again, say in renamed_states what it is called now, or move them with 'fsmflow force ADDRESS STATE'"
    )


def test_a_survey_finds_those_who_wait_for_what_never_comes(bench: Bench) -> None:
    """A timer that was added later runs for nobody who was there before; a job that is gone is never run."""

    class Later(Machine):
        name = "parcel"
        initial = "new"
        states = [
            State("new", job="go"),
            State("packing"),
            State("resting", timeout=60),
            State("sent", final=True),
        ]
        transitions = [
            ["done", "new", "resting"],
            ["timeout", "resting", "sent"],
            ["divert", "new", "packing"],
            ["ready", "packing", "sent"],
        ]

        def go(self) -> None:
            return None

    deploy(bench, Parcel)
    for number in range(2):
        Parcel.start(f"w{number}", state="resting")
    Parcel.start("p").trigger("begin")
    Parcel.start("n")
    deploy(bench, Later)
    Later.start("t", state="resting")
    assert {(item.kind, item.state, item.count, item.strands) for item in found_by(bench, Later)} == {
        ("no_way_out", "resting", 2, True),
        ("job_is_gone", "packing", 1, True),
        ("not_started", "new", 1, False),
    }
    assert Later.get("n").resume().phase == "working"
    assert Later.get("w0").force("resting").state == "resting"
    assert {(item.kind, item.count) for item in found_by(bench, Later)} == {("no_way_out", 1), ("job_is_gone", 1)}


def test_a_survey_tells_of_entities_of_newer_code() -> None:
    with sandbox([Second]) as box:
        Second.start("1")
        (found,) = survey(box._runtime.store.census, {"parcel": definition_of(Parcel)})
        assert (found.kind, found.strands) == ("newer_version", True)


def test_what_is_up_to_date_is_not_even_copied() -> None:
    """The rule on the hot path."""
    with sandbox([Second]) as box:
        Second.start("1")
        snapshot = box._runtime.store.entities.load("parcel", "1")
        assert snapshot is not None
        assert brought_up(definition_of(Second), snapshot) is snapshot


def test_a_rename_reaches_the_users_own_row() -> None:
    """With the next commit, whatever that does."""

    class Row(peewee.Model):
        state = peewee.CharField(max_length=100, null=True)

    old = type("Old", (Parcel,), {"name": "parcel", "status_field": Row.state, "__module__": __name__})
    new = type("New", (Renamed,), {"name": "parcel", "status_field": Row.state, "__module__": __name__})
    with sandbox([cast(Any, old)]) as box, box.database.bind_ctx([Row]):
        box.database.create_tables([Row])
        row = Row.create()
        cast(Any, old).start(row.id)
        assert Row.get().state == "new"
        deploy(box, cast(Any, new))
        cast(Any, new).get(row.id).trigger("note")
        assert Row.get().state == "fresh"


def test_a_result_whose_entity_can_no_longer_be_upgraded_is_kept() -> None:
    """Others write while the job runs, and the data that they leave cannot be upgraded: the job has run, and does not
    run again once it can."""
    ran: list[str] = []

    class Slow(Second):
        name = "parcel"

        def pack(self) -> dict[str, Any]:
            ran.append(self.state)
            deploy(box, Parcel)
            Parcel.get("1").trigger("note")
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


@on_sqlite
def test_check_database_prints_what_would_be_stranded_and_ends_with_1(
    bench: Bench, database_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(machine: type[Machine], *options: str) -> tuple[int, str]:
        runtime_of.close()
        fsmflow.configure(database_url=database_url, redis_url=redis_url, machines=[machine])
        return command("check", "--database", *options)

    def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = run(cli, words, "fsmflow")
        return status, capsys.readouterr().out

    deploy(bench, Parcel)
    for number in range(2):
        Parcel.start(number, state="resting")
    status, out = check(Parcel)
    assert (status, out.splitlines()[-1]) == (0, "database: every entity can go on with this code")
    status, out = check(Renamed)
    note = "2 entities in 'resting' (for example parcel:0): the state is called 'on_hold' now; they go on in it"
    assert (status, out.splitlines()[-2]) == (0, f"database: note: machine parcel: {note}")
    assert command("list", "--state", "on_hold")[1].count("on_hold") == 2
    assert command("stats")[1].splitlines()[1].split() == ["parcel", "on_hold", "2"]
    assert command("show", "parcel:0")[1].count("resting") == 0
    assert command("list", "--state", "resting")[0] == 1
    status, out = check(Bare)
    assert status == 1
    assert "database: STRANDED: machine parcel: 2 entities in 'resting'" in out
    status, out = check(Bare, "--json")
    (found,) = json.loads(out)["database"]
    assert (status, found["kind"], found["count"], found["strands"]) == (1, "unknown_state", 2, True)


class Ringing(Dated):
    """A bell that its parcels send to themselves ends their rest."""

    name = "parcel"
    transitions = [
        *Dated.transitions,
        {"trigger": "set", "source": "resting", "dest": None, "before": "ring_later"},
        ["bell", "resting", "sent"],
    ]

    def ring_later(self) -> None:
        self.send("bell", after=5)


def test_a_message_that_older_code_cannot_deliver_is_left_to_newer_code_and_soon(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    deploy(bench, Ringing)
    Ringing.start("1", state="resting").trigger("set")
    deploy(bench, Bare)
    bench.advance(6)
    assert "message 'bell' to parcel:1 is due" in caplog.text
    deploy(bench, Ringing)
    bench.advance(2)
    assert Ringing.get("1").state == "sent"
