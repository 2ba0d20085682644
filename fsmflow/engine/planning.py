"""What would come of a request: decided as it would be, and not committed. For dry runs."""

from __future__ import annotations

from dataclasses import replace

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Asked, Happening, Replanned, Resumed, Rewound, Triggered
from fsmflow.decision.inputs import checked_reason, checked_text
from fsmflow.decision.versions import brought_up
from fsmflow.definition.model import Definition
from fsmflow.definition.names import FINISHED, RETRY
from fsmflow.engine.branches import definition_of
from fsmflow.engine.commits import decided
from fsmflow.engine.requests import check_rewind, has_failed, lacks_work
from fsmflow.engine.runtime import Runtime


def plan(runtime: Runtime, definition: Definition, snapshot: Snapshot, happening: Happening) -> Snapshot:
    """The entity as it would be afterwards. Raises what the request would raise; others may move it meanwhile."""
    if isinstance(happening, Asked):
        happening = replace(happening, reason=checked_reason(happening.reason))
        if _is_used(runtime, snapshot, happening.key):
            return snapshot
    snapshot = brought_up(definition, snapshot)
    if isinstance(happening, Rewound):
        check_rewind(runtime, definition, snapshot, happening)
    return decided(runtime, definition_of(definition, snapshot), snapshot, happening).after


def plan_resume(runtime: Runtime, definition: Definition, snapshot: Snapshot, asked: Resumed) -> Snapshot:
    """The entity as ``resume`` would leave it."""
    if snapshot.phase == FINISHED or _is_used(runtime, snapshot, asked.key):
        return snapshot
    if snapshot.paused:
        snapshot = plan(runtime, definition, snapshot, asked)
    if has_failed(definition, snapshot):
        return plan(runtime, definition, snapshot, Triggered(trigger=RETRY, actor=asked.actor))
    if lacks_work(definition, snapshot):
        return plan(runtime, definition, snapshot, Replanned())
    return snapshot


def _is_used(runtime: Runtime, snapshot: Snapshot, key: str | None) -> bool:
    if key is None:
        return False
    return runtime.store.entities.seq_of_key(snapshot.row, checked_text(key, "key")) is not None
