"""Brings an entity up to the code of today: states that were renamed, data of an earlier version."""

from __future__ import annotations

from dataclasses import replace

from fsmflow.decision.records import Snapshot
from fsmflow.definition.model import Definition


def brought_up(definition: Definition, snapshot: Snapshot) -> Snapshot:
    """The entity as the definition knows it now. It is written so with its next commit."""
    del definition
    return replace(snapshot)
