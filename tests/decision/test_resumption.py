"""What resume is for, in a selection."""

from __future__ import annotations

from dataclasses import replace

from fsmflow import Machine, State
from fsmflow.decision.actions import ACTIONS
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.start import begin


class Parcel(Machine):
    name = "resumed_parcel"
    initial = "packing"
    states = [State("packing", job="pack"), State("packed", final=True)]
    transitions = [["done", "packing", "packed"]]

    def pack(self) -> None:
        """Nothing to do."""


DEFINITION = Parcel._definition
RESUME = ACTIONS["resume"]


def is_meant(snapshot: Snapshot) -> bool:
    return RESUME.fits(DEFINITION, snapshot, RESUME.asks())


def test_what_is_dispatched_and_not_taken_is_meant_though_the_code_lacks_its_state() -> None:
    begun = begin(DEFINITION, "1", {}, None, None, 1_000).after
    assert is_meant(begun)
    assert is_meant(replace(begun, state="wrapping"))
    assert begun.work is not None
    assert not is_meant(replace(begun, state="wrapping", work=replace(begun.work, owner="somebody")))
