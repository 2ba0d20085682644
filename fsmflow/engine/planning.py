"""What would come of a request: decided as it would be, and not committed. For dry runs."""

from __future__ import annotations

from dataclasses import replace

from fsmflow.decision.events import Asked, Happening, Replanned, Resumed, Rewound, Triggered
from fsmflow.decision.living import brought_up
from fsmflow.decision.records import QUEUED, Snapshot, checked_reason
from fsmflow.definition.model import Definition
from fsmflow.definition.names import FINISHED, RETRY, WAITING
from fsmflow.engine.committing import decided
from fsmflow.engine.engine import check_rewind
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.surroundings import definition_of


def plan(runtime: Runtime, definition: Definition, snapshot: Snapshot, happening: Happening) -> Snapshot:
    """The entity as it would be afterwards. Raises what the request would raise; others may move it meanwhile."""
    if isinstance(happening, Asked):
        happening = replace(happening, reason=checked_reason(happening.reason))
    key = happening.key if isinstance(happening, Triggered) else None
    if key is not None and runtime.store.entities.seq_of_key(snapshot.row, key) is not None:
        return snapshot
    snapshot = brought_up(definition, snapshot)
    if isinstance(happening, Rewound):
        check_rewind(runtime, definition, snapshot, happening)
    return decided(runtime, definition_of(definition, snapshot), snapshot, happening).after


def plan_resume(runtime: Runtime, definition: Definition, snapshot: Snapshot) -> Snapshot:
    """The entity as ``resume`` would leave it."""
    if snapshot.phase == FINISHED:
        return snapshot
    if snapshot.paused:
        snapshot = plan(runtime, definition, snapshot, Resumed())
    spec = definition_of(definition, snapshot).states.get(snapshot.state)
    if spec is None or spec.is_failed:
        return plan(runtime, definition, snapshot, Triggered(trigger=RETRY))
    asked = spec.waits and snapshot.phase == WAITING
    if snapshot.work is None and spec.is_working and snapshot.standing != QUEUED and not asked:
        return plan(runtime, definition, snapshot, Replanned())
    return snapshot
