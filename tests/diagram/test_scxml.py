"""A machine as SCXML: what the standard allows, with all states and transitions in order."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from fsmflow import Machine
from fsmflow.diagram import scxml
from machines.order import Order
from machines.trip import Trip
from tests.diagram.charts import Hostile, Long, Ticket
from tests.support.deployments import definition_of

SPACE = "{http://www.w3.org/2005/07/scxml}"
OWN = "{urn:fsmflow}"
CHILDREN = {
    "scxml": {"state", "final"},
    "state": {"onentry", "onexit", "transition"},
    "final": set(),
    "transition": set(),
    "onentry": {"send"},
    "onexit": {"cancel"},
    "send": set(),
    "cancel": set(),
}


@pytest.mark.parametrize("machine", [Order, Trip, Ticket, Long, Hostile], ids=lambda machine: machine.__name__)
def test_it_is_what_the_standard_allows(machine: type[Machine]) -> None:
    text = scxml(definition_of(machine))
    root = ElementTree.fromstring(text)
    assert text.isascii()
    assert (root.tag, root.get("version")) == (f"{SPACE}scxml", "1.0")
    for element in root.iter():
        assert {child.tag.removeprefix(SPACE) for child in element} <= CHILDREN[element.tag.removeprefix(SPACE)]
    ids = [state.get("id") for state in root]
    assert ids == list(definition_of(machine).states)
    targets = [way.get("target") for way in root.iter(f"{SPACE}transition")]
    assert {root.get("initial"), *targets} - {None} <= set(ids)


def test_events_guards_and_timers_are_told() -> None:
    root = ElementTree.fromstring(scxml(definition_of(Order)))
    states = {state.get("id"): state for state in root}
    ways = [
        (way.get("event"), way.get("cond"), way.get("target")) for way in states["charging"].iter(f"{SPACE}transition")
    ]
    assert ways[:2] == [("done", "is_large()", "awaiting_approval"), ("done", None, "reserving")]
    (send,) = states["awaiting_approval"].iter(f"{SPACE}send")
    (cancel,) = states["awaiting_approval"].iter(f"{SPACE}cancel")
    assert (send.get("event"), send.get("delay")) == ("timeout", "172800000ms")
    assert cancel.get("sendid") == send.get("id")
    assert states["shipped"].tag == f"{SPACE}final"
    assert (states["charging"].get(f"{OWN}kind"), states["charging"].get(f"{OWN}job")) == ("working", "charge")


def test_what_ecmascript_could_not_call_is_the_argument_of_a_call() -> None:
    root = ElementTree.fromstring(scxml(definition_of(Hostile)))
    way, *_ = root.iter(f"{SPACE}transition")
    assert (way.get("cond") or "").startswith(r'guard("<script>alert(\"1\")</script> ]]>')
