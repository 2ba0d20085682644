"""``verify`` on databases as fsmflow leaves them: whatever goes on, nothing is said to be wrong that is not."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import ConfigurationError, Machine, Retry, State
from fsmflow.testing import Sandbox
from fsmflow.verify import Report, Violation, verify
from fsmflow.verify.rows import PAGE
from tests.support.sandbox import every_database, sandbox
from tests.verify.scene import ENTITY, FAR, Scene, scene

__all__ = ["every_database"]  # a fixture


def checked(box: Sandbox, **options: Any) -> Report:
    """What is wrong in the database of a sandbox, by the machines that it was given."""
    return verify(box._runtime.store, box._runtime.machines.all(), **options)


@pytest.mark.usefixtures("every_database")
def test_a_database_with_an_entity_in_every_situation_holds_while_it_goes_on() -> None:
    with scene() as found:
        at_first = found.verify()
        assert at_first.violations == []
        tables = {"entities": "entity", "history_rows": "history", "work_rows": "work", "event_rows": "event"}
        for what, table in tables.items():
            assert [(at_first.checked[what],)] == found.link.query(f"SELECT COUNT(*) FROM fsmflow_{table}")
        assert at_first.checked["steps_with_branches"] == 5
        assert "entities_not_compared" not in at_first.checked
        for hours in (0, 1, 1, 24):
            found.box.advance(hours=hours)
            assert found.verify().violations == []


def test_what_operators_do_leaves_nothing_wrong() -> None:
    with scene() as found:
        parcel = type(found).machine
        get = parcel.get
        get("failed").skip(reason="by hand")
        get("parent").cancel(reason="no longer wanted")
        get("done").rewind("charging")
        get("resting").force("packing", reason="a test")
        get("paused").resume()
        get("retried").undo()
        parcel.start("adopted", state="charging")
        assert found.verify().violations == []
        found.box.run()
        get("adopted").resume()
        get("done/packing/1").force("packing", reason="for the branch alone")
        get("done/packing/1").pause()
        assert found.verify().violations == []
        found.box.advance(hours=12)
        assert get("done/packing/1").phase == "working"
        assert found.verify().violations == []


def test_branches_that_were_stopped_and_go_on_with_their_parent() -> None:
    class Batch(Machine):
        initial = "new"
        states = [
            State("new"),
            State("sending", job="give", each="lines", branch_failure="stop"),
            State("sent", final=True),
        ]
        transitions = [["go", "new", "sending"], ["done", "sending", "sent"]]

        def give(self, line: str) -> str:
            return line

    with sandbox(machines=[Batch]) as box:
        box.fail("give", ValueError("no"))
        Batch.start("1", lines=["a", "b", "c"]).trigger("go")
        box.run()
        assert Batch.counts(branches=True) == {"failed_from_sending": 2, "cancelled": 2}
        Batch.get("1").retry()
        box.run()
        assert Batch.get("1").state == "sent"
        assert checked(box).violations == []


def test_a_child_that_refuses_to_be_cancelled_lives_on() -> None:
    class Inspection(Machine):
        initial = "resting"
        states = [State("resting"), State("over", final=True)]
        transitions = [["end", "resting", "over"], ["cancel", "resting", None]]

    class Building(Machine):
        initial = "inspecting"
        states = [State("inspecting", machine="inspection"), State("sold", final=True)]
        transitions = [["done", "inspecting", "sold"], ["sell", "inspecting", "sold"]]

    with sandbox(machines=[Building, Inspection]) as box:
        building = Building.start("1")
        box.run()
        building.trigger("sell")
        box.advance(hours=1)
        assert Inspection.counts(branches=True) == {"resting": 1}
        assert checked(box).violations == []


class TestChangedMachines:
    """Rows of an earlier machine are counted as not compared, and are no violation."""

    @staticmethod
    def _old() -> type[Machine]:
        class Claim(Machine):
            initial = "new"
            states = [State("new"), State("judging", job="judge", retry=Retry(5, 1)), State("paid", final=True)]
            transitions = [["open", "new", "judging"], ["done", "judging", "paid"]]

            def judge(self) -> None:
                return None

        return Claim

    @staticmethod
    def _new(of_version: int = 1) -> type[Machine]:
        class Claim(Machine):
            initial = "new"
            version = of_version
            renamed_states = {"judging": "reviewing"}
            states = [State("new"), State("reviewing", job="judge", retry=Retry(1, 1)), State("paid", final=True)]
            transitions = [["file", "new", "reviewing"], ["done", "reviewing", "paid"]]

            def judge(self) -> None:
                return None

            def upgrade(self, data: dict[str, Any], from_version: int) -> None:
                return None

        return Claim

    def _left_by_old(self, box: Sandbox, old: type[Machine]) -> None:
        box.fail("judge", OSError("away"), times=4)
        for id_ in ("1", "2"):
            old.start(id_).trigger("open")
        box.advance(hours=1)
        old.start("3").trigger("open")

    def test_of_another_version(self) -> None:
        old, new = self._old(), self._new(2)
        with sandbox(machines=[old]) as box:
            self._left_by_old(box, old)
            report = verify(box._runtime.store, {"claim": new._definition})
            assert report.violations == []
            assert report.checked["history_rows_not_compared"] == report.checked["history_rows"]

    def test_of_the_same_version(self) -> None:
        old, new = self._old(), self._new()
        with sandbox(machines=[old]) as box:
            self._left_by_old(box, old)
            told = verify(box._runtime.store, {"claim": new._definition})
            strict = verify(box._runtime.store, {"claim": new._definition}, strict=True)
        assert told.holds
        assert {note.invariant for note in told.notes} == {"transition-legal", "attempts-bounded"}
        assert (strict.violations, strict.notes) == (told.notes, [])

    def test_of_a_newer_version_than_this_code(self) -> None:
        old, new = self._new(2), self._old()
        with sandbox(machines=[old]) as box:
            old.start("1").trigger("file")
            report = verify(box._runtime.store, {"claim": new._definition})
        assert report.violations == []
        assert report.checked["entities_not_compared"] == 1

    def test_that_are_not_known(self) -> None:
        with scene() as found:
            report = verify(found.box._runtime.store)
            assert report.violations == []
            assert report.checked["entities_not_compared"] == report.checked["entities"]
            assert report.checked["history_rows_not_compared"] == report.checked["history_rows"]


class TestTime:
    """What is due by the clock that is given, and for how long."""

    def test_patience_is_how_long_something_may_be_overdue(self) -> None:
        with scene() as found:
            due = found.one("fsmflow_work", "resting", "wake_at")
            found.set(ENTITY, "resting", paused=0)
            assert "parcel:resting" not in found.violated(now=due + 30_000, patience_s=30).get("overdue", ())
            assert "parcel:resting" in found.violated(now=due + 30_001, patience_s=30)["overdue"]

    def test_by_the_clock_of_the_database_where_there_is_no_other(self) -> None:
        with scene() as found:
            assert verify(found.link).violations == []
            found.set("fsmflow_work", "charging", wake_at=1)
            assert [violation.invariant for violation in verify(found.link).violations] == ["overdue"]


def test_one_machine_is_checked_alone() -> None:
    with scene() as found:
        found.set(ENTITY, "done", revision=0)
        assert found.violated(machines=["note"]) == {}
        assert found.verify(machines=["note"]).checked["entities"] == 1
        assert found.violated(machines=["parcel"]) == {"history-fold": {"parcel:done"}}
        both = found.verify(machines=["note", "parcel", "label"])
        assert both.checked["entities"] == found.verify().checked["entities"]


def test_more_entities_and_rows_than_fit_into_a_page() -> None:
    class Tally(Machine):
        initial = "open"
        states = [State("open"), State("closed", final=True)]
        transitions = [["close", "open", "closed"], {"trigger": "add", "source": "open", "dest": None}]

    with sandbox(machines=[Tally]) as box, pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsmflow.verify.rows.CHUNK", 7)
        Tally.start_many([(str(number), {}) for number in range(PAGE + 3)])
        for number in (0, 0, *range(20), *[PAGE] * 15, PAGE + 2):
            Tally.get(str(number)).trigger("add")
        for machines in (None, ["tally"]):
            report = checked(box, machines=machines)
            assert report.violations == []
            assert report.checked["entities"] == PAGE + 3
            assert report.checked["history_rows"] == PAGE + 3 + 38


def test_a_parent_with_more_branches_than_a_page_goes_over_several() -> None:
    with sandbox(machines=[Scene.machine, Scene.child]) as box:
        Scene.machine.start("1", lines=[str(number) for number in range(PAGE + 10)]).trigger("pack")
        box.run()
        report = checked(box)
        assert report.violations == []
        assert report.checked["entities"] == PAGE + 11


def test_a_transaction_of_the_callers_is_refused() -> None:
    with scene() as found, found.box.database.atomic(), pytest.raises(ConfigurationError, match="outside of it"):
        found.verify()


def test_a_report_says_what_was_checked_and_what_is_wrong() -> None:
    with scene() as found:
        found.set("fsmflow_work", "charging", wake_at=FAR, crashes=9)
        report = found.verify()
        assert not report.holds
        (violation,) = report.violations
        assert violation == Violation(
            "attempts-bounded", "parcel:charging", "its work row counts 9 crashes; 3 are allowed"
        )
        assert str(report).endswith("\nattempts-bounded: parcel:charging: its work row counts 9 crashes; 3 are allowed")
        assert "history rows" in str(report)


def test_a_database_in_which_everything_is_wrong_is_told_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsmflow.verify.report.LISTED", 3)
    with scene() as found:
        found.link.write(lambda: found.link.execute(f"UPDATE {ENTITY} SET seq = 99"))
        report = found.verify()
        assert len(report.violations) == 3
        assert report.unlisted == report.checked["entities"] - 3
        assert str(report).endswith(f"and {report.unlisted} more")
