"""States that have another name in the code of today: entities stand in them, and go on from there."""

from __future__ import annotations

from typing import Any, cast

import peewee
import pytest

from fsmflow import UnknownState
from fsmflow.errors import DefinitionError
from fsmflow.testing import sandbox
from tests.support.bench import Bench
from tests.support.deployments import Batch, Parcel, Renamed, RenamedBatch, broken, deploy, undone


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
    assert list(bench.runtime.store.listing.places(None, branches=True)) == [("parcel", "resting")]
    entry = parcel.trigger("note")
    assert (entry.kind, entry.source, entry.dest) == ("internal", "on_hold", "on_hold")
    assert list(bench.runtime.store.listing.places(None, branches=True)) == [("parcel", "on_hold")]
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


def test_a_rename_reaches_the_users_own_row() -> None:
    """With the next commit, whatever that does."""

    class Row(peewee.Model):
        id: Any  # peewee makes it
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
