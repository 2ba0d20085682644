"""Who may do what is closed: actions of operators, by machine and by installation, whichever way they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fsmflow import Actor, DefinitionError, Machine, NestedAction, NotPermitted, Refuse, State
from fsmflow.testing import Sandbox, sandbox

LEAD = Actor("ann", {"lead"})
AGENT = Actor("bea", {"agent"})


class Parcel(Machine):
    initial = "packing"
    operators = {"retry": ["lead"], "force": "lead", "edit": ["boss"], "cancel": ["lead", "system"]}
    states = [State("packing", job="pack"), "packed", State("sent", final=True)]
    transitions = [
        ["done", "packing", "packed"],
        {"trigger": "send_off", "source": "packed", "dest": "sent", "roles": ["clerk"]},
    ]

    def pack(self) -> None:
        if self.data.get("torn"):
            raise ValueError("the box is torn")


class Caller(Machine):
    """Its message asks for what operators do."""

    initial = "calling"
    states = [State("calling", job="call"), State("over", final=True)]
    transitions = [["done", "calling", "over"]]

    def call(self) -> None:
        self.send(self.data["what"], to="parcel:1")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Parcel, Caller]) as box:
        yield box


@pytest.fixture
def torn(box: Sandbox) -> Parcel:
    parcel = Parcel.start("1", torn=True)
    box.run()
    return parcel.refresh()


def test_an_action_that_a_machine_closes_is_open_to_its_roles_alone(torn: Parcel) -> None:
    for actor in (None, "ann", AGENT):
        with pytest.raises(NotPermitted, match="'retry' needs an actor with one of the roles lead") as refused:
            torn.retry(actor=actor)
        assert refused.value.roles == ("lead",)
    with pytest.raises(NotPermitted):
        torn.trigger("retry", actor=AGENT)
    assert torn.retry(actor=LEAD).state == "packing"
    assert torn.pause().paused, "what it does not name is open as ever"


def test_a_retry_that_edits_data_needs_the_role_for_that_too(torn: Parcel) -> None:
    with pytest.raises(NotPermitted, match="'edit' needs an actor with one of the roles boss"):
        torn.retry(data={"torn": False}, actor=LEAD)
    assert torn.refresh().state == "failed_from_packing"
    torn.retry(data={"torn": False}, actor=Actor("eve", {"lead", "boss"}))


def test_a_resume_that_comes_to_a_retry_needs_the_role_for_that(torn: Parcel) -> None:
    with pytest.raises(NotPermitted, match="'retry' needs"):
        torn.resume(actor=AGENT)
    torn.pause()
    with pytest.raises(NotPermitted, match="'retry' needs"):
        torn.resume(actor=AGENT)
    assert torn.refresh().paused, "not even its pause was ended"
    assert torn.resume(actor=LEAD).state == "packing"


def test_what_is_refused_is_told_in_the_log(torn: Parcel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(NotPermitted):
        torn.force("sent", actor=AGENT)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("permission.refused: parcel:1: 'bea' asked for 'force': parcel:1: 'force' needs an actor")


def test_offers_explain_and_what_if_tell_which_role_is_missing(torn: Parcel) -> None:
    offers = {offer.trigger: offer for offer in torn.triggers(AGENT)}
    assert (offers["retry"].allowed, offers["retry"].needs_roles) == (False, ("lead",))
    assert str(offers["cancel"]) == "cancel (needs role lead or system)"
    assert torn.allowed_triggers(AGENT) == []
    assert torn.allowed_triggers(LEAD) == ["retry", "cancel"]
    assert "with a role: retry (lead); cancel (lead or system)" in str(torn.explain(AGENT))
    forecast = torn.what_if("retry", actor=AGENT)
    assert not forecast.allowed
    assert "'retry' needs an actor with one of the roles lead" in (forecast.why or "")
    assert torn.what_if("retry", actor=LEAD).allowed


def test_a_message_acts_with_the_roles_of_its_machine(box: Sandbox) -> None:
    Parcel.start("1")
    box.run()
    Caller.start("1", what="cancel")
    box.run()
    assert Parcel.get("1").state == "packed"
    assert "say with sends_as = [...] in machine 'caller'" in (Parcel.get("1").history[-1].reason or "")
    Caller._definition.wide.__dict__["sends_as"] = frozenset({"system"})
    try:
        Caller.start("2", what="cancel")
        box.run()
    finally:
        Caller._definition.wide.__dict__["sends_as"] = frozenset()
    assert Parcel.get("1").state == "cancelled"


def test_what_a_parent_passes_down_asks_nobody(box: Sandbox) -> None:
    class Crate(Machine):
        initial = "filling"
        operators = {"cancel": "lead"}
        states = [State("filling", machine="parcel", each="parts"), State("full", final=True)]
        transitions = [["done", "filling", "full"]]

    with sandbox([Crate, Parcel]) as inner:
        crate = Crate.start("1", parts=[1, 2])
        inner.run()
        crate.cancel(actor=LEAD)
        inner.run()
        assert {branch.state for branch in crate.branches} == {"cancelled"}


def test_branches_are_closed_like_their_machine() -> None:
    class Tray(Machine):
        initial = "filling"
        operators = {"retry": "lead"}
        states = [State("filling", job="fill", each="parts"), State("full", final=True)]
        transitions = [["done", "filling", "full"]]

        def fill(self, part: int) -> None:
            raise ValueError("no")

    with sandbox([Tray]) as box:
        tray = Tray.start("1", parts=[1])
        box.run()
        branch = tray.branches[0].entity()
        with pytest.raises(NotPermitted):
            branch.retry(actor=AGENT)
        branch.retry(actor=LEAD)


@pytest.mark.parametrize(
    ("operators", "fault"),
    [
        (["skip"], "operators=['skip']; it is a dict of actions and roles, as in {'skip': ['lead']}"),
        ({"skp": "lead"}, "operators: 'skp' is no action of operators; did you mean 'skip'?"),
        ({"skip": []}, "operators: 'skip' is []; it takes one or several names of roles"),
        ({"skip": 3}, "operators: 'skip' is 3; it takes one or several names of roles"),
    ],
)
def test_what_no_machine_can_close_is_a_fault(operators: Any, fault: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        type("Odd", (Parcel,), {"operators": operators})
    assert any(fault in told for told in caught.value.faults), caught.value.faults


def test_a_message_that_could_never_be_taken_is_a_fault() -> None:
    def give_up(self: Machine) -> None:
        self.send("cancel")

    with pytest.raises(DefinitionError, match=r"sends 'cancel', where it takes one of the roles lead, system; say"):
        type("Odd", (Parcel,), {"pack": give_up})


MAP = {
    "roles": {
        "agent": ["parcel.packing.retry", "parcel.packed.send_off"],
        "chief": ["*"],
        "reader": ["*.see"],
    }
}


def test_an_installation_with_roles_closes_what_operators_do() -> None:
    with sandbox([Parcel], permissions=MAP) as box:
        parcel = Parcel.start("1", torn=True)
        box.run()
        for act in (parcel.pause, parcel.skip, parcel.resume, parcel.undo, parcel.cancel):
            with pytest.raises(NotPermitted):
                act(actor=Actor("eve", {"reader"}))
        with pytest.raises(NotPermitted, match="needs an actor with one of the roles chief"):
            parcel.pause(actor=AGENT)
        parcel.retry(actor=AGENT)
        box.run()
        assert parcel.refresh().allowed_triggers(AGENT) == ["retry"]
        parcel.force("packed", actor=Actor("cat", {"chief"}))
        assert parcel.allowed_triggers(AGENT) == ["send_off"], "the map opens a transition that names another role"
        assert parcel.trigger("send_off", actor=AGENT).dest == "sent"


def test_a_permission_that_no_role_has_is_told_by_its_name() -> None:
    with sandbox([Parcel], permissions={"roles": {"agent": ["parcel.retry"]}}):
        parcel = Parcel.start("1")
        with pytest.raises(NotPermitted, match=r"takes a role with the permission 'parcel.pause', which nobody has"):
            parcel.pause(actor=AGENT)


def test_people_alone_close_nothing() -> None:
    with sandbox([Parcel], permissions={"people": {"ann": ["lead"]}}):
        assert Parcel.start("1").pause().paused


def asked_by(answer: Any) -> dict[str, Any]:
    def permit(actor: Actor | None, permission: str, entity: Any) -> Any:
        return answer(actor, permission, entity) if callable(answer) else answer

    return {"roles": {"agent": ["parcel.pause"]}, "permit": permit}


@pytest.mark.parametrize(
    ("answer", "actor", "told"),
    [
        (True, None, None),
        (False, AGENT, "the installation's permit says no"),
        (Refuse("not on a Sunday"), AGENT, "not on a Sunday"),
        (None, AGENT, None),
        (None, LEAD, "needs an actor with one of the roles agent"),
        ("yes", AGENT, "the installation's permit returned 'yes', and no verdict"),
        (lambda *_: 1 / 0, AGENT, "the installation's permit raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_function_is_asked_first(answer: Any, actor: Actor | None, told: str | None) -> None:
    with sandbox([Parcel], permissions=asked_by(answer)):
        parcel = Parcel.start("1")
        if told is None:
            assert parcel.pause(actor=actor).paused
        else:
            with pytest.raises(NotPermitted, match=told):
                parcel.pause(actor=actor)


def test_the_function_sees_who_asks_for_what_of_which_entity_and_does_nothing() -> None:
    seen: list[Any] = []

    def answer(actor: Actor | None, permission: str, entity: Any) -> bool:
        seen.append((actor, permission, entity.address, entity.data["customer"]))
        with pytest.raises(NestedAction):
            entity.cancel()
        return True

    with sandbox([Parcel], permissions=asked_by(answer)) as box:
        parcel = Parcel.start("1", customer=7)
        parcel.pause(actor=AGENT)
        parcel.resume(actor=AGENT)
        box.run()
        parcel.trigger("send_off", actor=AGENT)
    assert seen == [
        (AGENT, "parcel.pause", "parcel:1", 7),
        (AGENT, "parcel.resume", "parcel:1", 7),
        (AGENT, "parcel.send_off", "parcel:1", 7),
    ]


def test_the_first_event_of_a_new_entity_is_asked_about_too(box: Sandbox) -> None:
    with pytest.raises(NotPermitted):
        Parcel.start_or_trigger("9", "cancel", actor=AGENT)
    assert list(Parcel.find()) == []
    assert Parcel.start_or_trigger("9", "cancel", actor=LEAD).state == "cancelled"


def scheduled() -> type[Machine]:
    class Report(Machine):
        initial = "new"
        schedule = "0 3 * * *"
        operators = {"schedule": ["lead"]}
        states = ["new", State("over", final=True)]
        transitions = [["end", "new", "over"]]

    return Report


@pytest.mark.parametrize(
    "act",
    [
        lambda kind, actor: kind.pause_schedule(actor=actor),
        lambda kind, actor: kind.resume_schedule(actor=actor),
        lambda kind, actor: kind.run_schedule(actor=actor),
        lambda kind, actor: kind.backfill_schedule(kind.timetable().next_at, actor=actor),
    ],
)
def test_what_is_done_to_a_schedule_is_closed_by_one_name(act: Callable[[Any, Actor], Any]) -> None:
    report = scheduled()
    with sandbox([report]):
        with pytest.raises(NotPermitted, match="report: 'schedule' needs an actor with one of the roles lead"):
            act(report, AGENT)
        act(report, LEAD)
