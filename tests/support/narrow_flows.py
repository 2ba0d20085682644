"""Visitors who leave one after the other. A process that BLOCKS_AT one of them is held up there by a pipe."""

from __future__ import annotations

import os
from pathlib import Path

from fsmflow import Machine, State


class Visitor(Machine):
    initial = "inside"
    states = ["inside", State("home", final=True)]
    transitions = [["go", "inside", "home"], ["cancel", "inside", "cancelled", "may_leave"]]

    def may_leave(self) -> bool:
        if self.entity_id == os.environ.get("BLOCKS_AT"):
            folder = Path(os.environ["EFFECTS"])
            (folder / "blocked").touch()
            (folder / "pipe").read_text()
        return True
