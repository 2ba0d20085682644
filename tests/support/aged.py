"""Finished trees of long ago, as many as a test wants: copies of one that has really been run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from fsmflow import Machine, clock
from fsmflow.decision.commit import Commit, EventKind, Post
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.engine.runtime import Runtime
from fsmflow.values import replace

_PAGE: Final = 500


def age(runtime: Runtime, model: Machine, ids: Sequence[str], *, by: timedelta) -> int:
    """Copy a finished entity with its branches, as if each had ended so much earlier; how many rows were made. Those
    that have branches of their own are not copied."""
    entities = runtime.store.entities
    root = entities.load(model._root.name, model.entity_id)
    assert root is not None
    ((whole),) = entities.whole([root.row])
    below = [found for step in _steps(runtime, root) for found in entities.whole(step)]
    made = 0
    for page in _pages(ids):
        roots = runtime.store.commits.insert([_copy(*whole, id_, by) for id_ in page])
        branches = [
            _copy(snapshot, history, snapshot.entity_id.replace(root.entity_id, copy.entity_id, 1), by, copy.row)
            for copy in roots
            for snapshot, history in below
        ]
        made += len(roots) + len(runtime.store.commits.insert(branches))
    return made


def _pages(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _PAGE] for start in range(0, len(ids), _PAGE)]


def _steps(runtime: Runtime, root: Snapshot) -> list[list[int]]:
    found = {step for step, _ in runtime.store.branches.firsts(root.row)}
    return [[each.row for each in runtime.store.branches.page(root.row, step, limit=10_000)] for step in sorted(found)]


def _copy(
    snapshot: Snapshot, history: Sequence[HistoryEntry], entity_id: str, by: timedelta, parent: int | None = None
) -> Commit:
    earlier = clock.to_ms(by)
    after = replace(
        snapshot,
        row=0,
        entity_id=entity_id,
        parent=parent,
        entered_at=snapshot.entered_at - earlier,
        updated_at=snapshot.updated_at - earlier,
        created_at=snapshot.created_at - earlier,
    )
    lines = tuple(replace(line, at=line.at - by) for line in history)
    keys = tuple(
        Post(
            kind=EventKind.KEY, key=line.key, trigger=line.trigger or line.kind.value, at=after.updated_at, seq=line.seq
        )
        for line in lines
        if line.key is not None
    )
    return Commit(before=None, after=after, entries=lines, posts=keys)
