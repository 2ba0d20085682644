"""Machines as they were deployed one after the other, and what a deployment does."""

from __future__ import annotations

from typing import Any

from fsmflow import Fail, Machine, Retry, State
from fsmflow.definition.model import Definition
from fsmflow.engine.registry import Registry
from fsmflow.testing.box import Sandbox
from fsmflow.testing.faults import FaultyRegistry
from tests.support.bench import Bench

#: What fails, by the name of the job or of ``upgrade``.
broken: list[str] = []
#: The ids of the entities of which a step was undone.
undone: list[str] = []


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


class Bare(Machine):
    """Without the states that others stand in."""

    name = "parcel"
    initial = "new"
    states = [State("new"), State("sending", job="send_off", retry=Retry(1)), State("sent", final=True)]
    transitions = [["begin", "new", "sending"], ["done", "sending", "sent"], ["back", "sending", "new"]]

    def send_off(self) -> None:
        return None


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


def deploy(place: Bench | Sandbox, *machines: type[Machine]) -> None:
    """What a deployment does: the same database, other code."""
    if isinstance(place, Bench):
        place.runtime.machines = Registry(machines)
    else:
        place._machines = FaultyRegistry(machines, place._faults)
        place._runtime.machines = place._machines


def definition_of(machine: type[Machine]) -> Definition:
    return machine._compiled()
