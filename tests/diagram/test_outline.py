"""A machine as plain values: the shape that the reference of the command line gives."""

from __future__ import annotations

from fsmflow.diagram import Tally, outline
from machines.order import Order
from tests.diagram.charts import AT, journey
from tests.support.deployments import definition_of


def test_it_has_all_states_and_transitions() -> None:
    found = outline(definition_of(Order))
    assert (found["machine"], found["initial"]) == ("order", "pending")
    assert found["final"] == ["shipped", "rejected", "cancelled"]
    states = {state["name"]: state for state in found["states"]}
    assert states["charging"] == {
        "name": "charging",
        "kind": "working",
        "generated": False,
        "failed_from": None,
        "undoes": None,
        "job": "charge",
        "marks": [],
        "timer": None,
        "expect": None,
    }
    assert states["awaiting_approval"]["timer"] == {"trigger": "timeout", "seconds": 172_800.0, "method": None}
    assert (states["failed_from_charging"]["failed_from"], states["failed_from_charging"]["kind"]) == (
        "charging",
        "failed",
    )
    large, *_ = [way for way in found["transitions"] if way["source"] == "charging"]
    assert large == {
        "trigger": "done",
        "source": "charging",
        "dest": "awaiting_approval",
        "conditions": ["is_large"],
        "unless": [],
        "roles": [],
        "generated": False,
    }


def test_the_way_of_an_entity_is_in_it() -> None:
    way = journey("order:7", (None, "start", "pending"), ("pending", "submit", "charging"))
    found = outline(definition_of(Order), journey=way)
    assert (found["address"], found["state"], found["since"]) == ("order:7", "charging", "2026-01-02T03:04:05.000Z")
    assert found["way"][1] == {
        "source": "pending",
        "dest": "charging",
        "trigger": "submit",
        "at": "2026-01-02T03:04:05.000Z",
    }
    assert {state["name"] for state in found["states"] if state["visited"]} == {"pending", "charging"}
    assert [way["trigger"] for way in found["transitions"] if way["taken"]] == ["submit"]


def test_how_many_are_where_is_in_it() -> None:
    tally = Tally(count=3, since=AT, age="2 h")
    found = outline(definition_of(Order), tallies={"charging": tally, "chargin": tally})
    states = {state["name"]: (state["entities"], state["oldest"]) for state in found["states"]}
    assert (states["charging"], states["pending"]) == ((3, "2026-01-02T03:04:05.000Z"), (0, None))
    assert found["unknown"] == {"chargin": 3}
