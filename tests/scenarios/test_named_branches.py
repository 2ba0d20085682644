"""Branches that have names: jobs and children side by side, all of them or those that are picked. With virtual time."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from fsmflow import Fail, Machine, State, UnknownBranch
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing, ran

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Service(Enum):
    """Who may be called."""

    POLICE = "police"
    FIRE = "fire"
    DOCTOR = "doctor"


class Incident(Machine):
    """Calls those who are needed."""

    initial = "new"
    states = [
        State("new"),
        State(
            "responding",
            jobs={Service.POLICE: "call_police", "fire": "call_fire", "doctor": "call_doctor"},
            only="needed",
            undo="call_off",
        ),
        State("over"),
        State("closed", final=True),
    ]
    transitions = [
        ["respond", "new", "responding"],
        {"trigger": "branch_done", "source": "responding", "dest": None, "before": "note"},
        ["done", "responding", "over"],
        ["again", "over", "responding"],
        ["close", "over", "closed"],
    ]
    respond: Trigger
    again: Trigger

    def call_police(self) -> str:
        return self.call("police")

    def call_fire(self) -> str:
        return self.call("fire")

    def call_doctor(self) -> str:
        return self.call("doctor")

    def call(self, whom: str) -> str:
        ran.append(whom)
        if whom in failing:
            raise Fail(f"{whom} does not answer")
        return f"{whom} comes"

    def needed(self) -> Any:
        return self.data["needed"]

    def note(self) -> None:
        self.data["told"] = [*self.data.get("told", []), self.event.payload["name"]]

    def call_off(self) -> None:
        undoing = self.undoing
        ran.append(f"off {undoing.branch} {undoing.completed} {undoing.result}")


def test_those_that_are_picked_run_in_the_order_of_the_code_and_are_known_by_name() -> None:
    with sandbox(machines=[Incident]) as box:
        failing.add("fire")
        incident = Incident.start("1", needed=["fire", "police", "fire"])
        incident.respond()
        box.run()
        incident.refresh()
        assert (incident.state, ran, incident.data["told"]) == (
            "failed_from_responding",
            ["police", "fire"],
            ["police"],
        )
        branches = incident.branches
        assert [(one.index, one.name, one.address) for one in branches] == [
            (0, "police", "incident:1/responding/police"),
            (1, "fire", "incident:1/responding/fire"),
        ]
        assert branches["police"] == branches[0]
        assert (branches["police"].result, branches["fire"].is_failed) == ("police comes", True)
        assert (branches.get("fire"), branches.get("doctor"), branches.get("0")) == (branches[1], None, None)
        assert branches.__contains__("fire")
        assert not branches.__contains__("doctor")
        with pytest.raises(UnknownBranch, match="incident:1 has no branch 'polis'; did you mean 'police'"):
            branches["polis"]
        with pytest.raises(KeyError, match="its branches are: police, fire"):
            branches["0"]
        assert " (1 branch failed: incident:1/responding/fire)" in str(incident.failure)
        assert "incident:1/responding/fire" in str(incident.explain())
        assert [one.address for one in Incident.find(branch="fire")] == ["incident:1/responding/fire"]
        assert [one.address for one in Incident.find(branch="p*", state="done")] == ["incident:1/responding/police"]
        failing.clear()
        incident.retry()
        box.run()
        assert (incident.refresh().state, ran) == ("over", ["police", "fire", "fire"])


def test_a_second_visit_has_branches_of_its_own() -> None:
    with sandbox(machines=[Incident]) as box:
        incident = Incident.start("1", needed=["police"])
        incident.respond()
        box.run()
        incident.again()
        box.run()
        assert [branch.address for branch in incident.refresh().branches] == ["incident:1/responding.2/police"]
        assert Incident.get("1/responding/police").state == "done"


@pytest.mark.parametrize("nobody", [[], (), set()])
def test_a_pick_of_none_is_done_at_once(nobody: Any) -> None:
    class Quiet(Incident):
        name = "incident"

        def needed(self) -> Any:
            return nobody

    with sandbox(machines=[Quiet]) as box:
        incident = Quiet.start("1")
        incident.respond()
        box.run()
        assert (incident.refresh().state, ran, len(incident.branches)) == ("over", [], 0)


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        (
            ["polise"],
            "'polise', which is no branch of it; did you mean 'police'?; its branches are: police, fire, doctor",
        ),
        (["police", 3], "gave 3, which is no branch of it"),
        ([["police"]], "gave ['police'], which is no branch of it"),
        ("police", "gave 'police'; it gives a list of names; its branches"),
        (None, "gave None; it gives a list of names; its branches"),
        ({"police": True, "fire": False}, "gave {'police': True, 'fire': False}; it gives a list of names; its"),
        (7, "gave 7; it gives a list of names"),
    ],
)
def test_a_pick_that_cannot_be_is_told_with_all_that_it_takes_to_mend_it(needed: Any, words: str) -> None:
    with sandbox(machines=[Incident]) as box:
        incident = Incident.start("1", needed=needed)
        incident.respond()
        box.run()
        failure = incident.refresh().failure
        assert failure is not None
        assert (incident.state, failure.error_type, failure.attempts) == ("failed_from_responding", "MethodError", 1)
        assert failure.message.startswith("incident:1: only= of 'responding' asked 'needed', which gave ")
        assert words in failure.message
        assert ran == []
        incident.retry(data={"needed": ["doctor"]})
        box.run()
        assert (incident.refresh().state, ran) == ("over", ["doctor"])


@pytest.mark.parametrize(
    ("only", "needed"),
    [
        (lambda incident: (service for service in [Service.DOCTOR, Service.POLICE]), None),
        ("wanted", ["doctor", "police"]),
        (lambda incident: {"police", "doctor"}, None),
    ],
)
def test_what_picks_may_be_a_key_or_a_method_that_gives_names(only: Any, needed: Any) -> None:
    jobs = {"police": "call_police", "fire": "call_fire", "doctor": "call_doctor"}
    states = [State("new"), State("responding", jobs=jobs, only=only), *Incident.states[2:]]
    picky: Any = type("Incident", (Incident,), {"states": states, "name": "incident"})
    with sandbox(machines=[picky]) as box:
        incident = picky.start("1", wanted=needed)
        incident.trigger("respond")
        box.run()
        assert (incident.refresh().state, ran) == ("over", ["police", "doctor"])


def test_a_key_that_data_lacks_is_told() -> None:
    states = [State("new"), State("responding", jobs=["call_police"], only="wanted"), *Incident.states[2:]]
    picky: Any = type("Incident", (Incident,), {"states": states, "name": "incident"})
    with sandbox(machines=[picky]) as box:
        incident = picky.start("1", who=[])
        incident.trigger("respond")
        box.run()
        failure = incident.refresh().failure
        assert failure is not None
        assert (
            failure.message
            == "incident:1: only='wanted' of 'responding' finds nothing: data has no 'wanted'; it has who"
        )


def test_each_branch_is_undone_under_its_name() -> None:
    with sandbox(machines=[Incident]) as box:
        incident = Incident.start("1", needed=["police", "doctor"])
        incident.respond()
        box.run()
        ran.clear()
        incident.undo()
        box.run()
        assert (incident.refresh().state, ran) == (
            "undone",
            ["off doctor True doctor comes", "off police True police comes"],
        )
        assert [branch.address for branch in incident.branches] == [
            "incident:1/undoing_responding/doctor",
            "incident:1/undoing_responding/police",
        ]


def blink(siren: Machine) -> None:
    ran.append("blink")


class Siren(Machine):
    """The same job twice, and one at a time."""

    initial = "ringing"
    states = [State("ringing", jobs=["ring", "ring", blink], limit=1)]
    states += [State("over", final=True)]
    transitions = [["done", "ringing", "over"]]

    def ring(self) -> None:
        ran.append("ring")


def test_a_list_of_jobs_names_its_branches_after_them() -> None:
    with sandbox(machines=[Siren]) as box:
        box.fail("ring-2", ValueError("worn out"))
        box.fail("blink", ValueError("dark"))
        siren = Siren.start("1")
        box.run()
        assert [branch.name for branch in siren.refresh().branches] == ["ring", "ring-2", "blink"]
        assert [branch.is_failed for branch in siren.branches] == [False, True, True]
        siren.retry()
        box.run()
        assert (siren.refresh().state, ran) == ("over", ["ring", "ring", "blink"])


class Invoice(Machine):
    initial = "writing"
    states = [State("writing", job="write"), State("sent", final=True)]
    transitions = [["done", "writing", "sent"]]

    def write(self) -> None:
        ran.append(f"invoice {self.data}")
        if "invoice" in failing:
            raise Fail("no ink")


class Parcel(Machine):
    initial = "packing"
    states = [State("packing", job="pack"), State("delivered", final=True)]
    transitions = [["done", "packing", "delivered"]]

    def pack(self) -> None:
        ran.append(f"parcel {self.data}")


class Order(Machine):
    """Fans out into children of different kinds."""

    initial = "new"
    states = [
        "new",
        State("settling", machines={"billing": Invoice, "goods": "parcel"}, only="parts"),
        State("over", final=True),
    ]
    transitions = [["go", "new", "settling"], ["done", "settling", "over"]]
    go: Trigger

    def parts(self) -> Any:
        return self.data["parts"]


def test_children_of_different_kinds_begin_with_the_data_of_their_parent() -> None:
    with sandbox(machines=[Order, Invoice, Parcel]) as box:
        failing.add("invoice")
        order = Order.start("7", parts=["goods", "billing"])
        order.go()
        box.run()
        assert order.refresh().state == "failed_from_settling"
        assert [(one.name, one.address, one.state) for one in order.branches] == [
            ("billing", "invoice:order:7/settling/billing", "failed_from_writing"),
            ("goods", "parcel:order:7/settling/goods", "delivered"),
        ]
        assert ran == ["invoice {'parts': ['goods', 'billing']}", "parcel {'parts': ['goods', 'billing']}"]
        assert [one.address for one in Invoice.find(branch="billing")] == ["invoice:order:7/settling/billing"]
        failing.clear()
        order.retry()
        box.run()
        assert (order.refresh().state, len(ran)) == ("over", 3)
        assert order.branches["goods"].result == {"parts": ["goods", "billing"]}


def test_what_picks_children_may_give_each_its_data() -> None:
    with sandbox(machines=[Order, Invoice, Parcel]) as box:
        order = Order.start("7", parts={"goods": {"box": 3}})
        order.go()
        box.run()
        assert (order.refresh().state, ran) == ("over", ["parcel {'box': 3}"])
        assert order.branches["goods"].item == {"box": 3}
        wrong = Order.start("8", parts={"goods": 3})
        wrong.go()
        box.run()
        assert "gave 3 for 'goods'; a child begins with a mapping as its data" in str(wrong.refresh().failure)


def test_what_is_made_for_an_item_is_called_by_its_number() -> None:
    class Batch(Machine):
        initial = "packing"
        states = [State("packing", job="pack", each="lines"), State("over", final=True)]
        transitions = [["done", "packing", "over"]]

        def pack(self, line: str) -> str:
            return line

    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=["a", "b", "c"])
        box.run()
        branches = batch.refresh().branches
        assert [branch.name for branch in branches] == ["0", "1", "2"]
        assert branches["2"].result == "c"
        assert [branches.get(name) for name in ("3", "02", "c", "-1", "٢")] == [None] * 5
        assert [one.address for one in Batch.find(branch="1")] == ["batch:1/packing/1"]
