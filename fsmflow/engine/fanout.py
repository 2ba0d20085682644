"""A parent and its branches: told of, admitted, joined, cancelled, paused and revived. Each is found again in SQL."""

from __future__ import annotations

from fsmflow.decision.entity import FAILED_ONES, Snapshot, StaleClaim, Standing
from fsmflow.decision.happenings import (
    Admitted,
    BranchSettled,
    Joined,
    MoreWanted,
)
from fsmflow.decision.items import may_differ
from fsmflow.decision.work import WorkKind
from fsmflow.definition.model import Definition, Fan, StateSpec
from fsmflow.engine.alignment import attempt_on, stop_others, try_on
from fsmflow.engine.branches import branch_of, is_told
from fsmflow.engine.lookup import under_todays_names
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError
from fsmflow.observers import caused_by
from fsmflow.points import point
from fsmflow.values import replace

#: How many rounds one look takes before it leaves the rest to the next one.
_ROUNDS = 50
_EXAMPLES = 3
_NO_LIMIT = 1_000


def look(runtime: Runtime, row: int) -> bool:
    """Go on with a parent as far as its branches allow: tell it, admit more, make more, join. Nothing happens for an
    entity that is not in a step that fans out, or is paused. Two queries where it has to wait. Whether there is more
    to do now: it takes a limited number of rounds."""
    for _ in range(_ROUNDS):
        parent = runtime.store.entities.load_row(row)
        if parent is None or parent.work is None or parent.paused:
            return False
        instance = under_todays_names(runtime.machines.get(parent.machine), parent)
        if instance.spec is None or instance.spec.fan is None:
            return False
        point("look.before", parent.address)
        try:
            with caused_by(parent.work.trace):
                if not _advance(runtime, instance.own, instance.spec, instance.snapshot):
                    return False
        except StaleClaim:
            return False
    return True


def _advance(runtime: Runtime, definition: Definition, spec: StateSpec, parent: Snapshot) -> bool:
    """One thing that can be done now; whether there may be more to do."""
    fan, work, branches = spec.fan or Fan(), parent.work, runtime.store.branches
    watches = work is not None and work.watches
    if watches and _tell(runtime, definition, parent):
        return True
    failed = fan.stops and branches.failed_since(parent)
    if failed and watches and stop_others(runtime, parent):
        return True
    if fan.limit is not None and not failed:
        admit(runtime, parent, fan.limit)
    if work is None or not watches:
        return False
    unsettled = branches.first_unsettled(parent.row, parent.step)
    if unsettled == Standing.QUEUED and fan.limit is None:
        admit(runtime, parent, _NO_LIMIT)  # the code had a limit when they were made
    # One that failed before the parent came back for another branch stops nothing, and no more are made either.
    ends = failed or (fan.stops and branches.has(parent.row, parent.step, *FAILED_ONES))
    if work.kind == WorkKind.WINDOW and not ends:
        few = (
            fan.limit is not None
            and branches.count(parent.row, parent.step, Standing.QUEUED, most=fan.limit) < fan.limit
        )
        return (few or unsettled is None) and not attempt_on(runtime, parent, MoreWanted())
    if unsettled is not None or (work.kind != WorkKind.JOIN and not ends):
        return False
    # One may have settled since it was looked for what is to be told; from now on none does.
    return _tell(runtime, definition, parent) or not _close(runtime, fan, parent, ends=ends)


def _close(runtime: Runtime, fan: Fan, parent: Snapshot, *, ends: bool) -> bool:
    """Join, where the items are still those that were read; else read them again first. Whether that was done."""
    if not ends and may_differ(fan, parent):
        return attempt_on(runtime, parent, MoreWanted())
    return _join(runtime, parent)


def _join(runtime: Runtime, parent: Snapshot) -> bool:
    failed = _failed(runtime, parent)
    progress = runtime.store.branches.progress(parent.row, parent.step) if failed else None
    first = next((branch.failure for branch in failed if branch.failure is not None), None)
    point("join.before", parent.address)
    happening = Joined(
        failed=progress.failed if progress else 0,
        cancelled=progress.cancelled if progress else 0,
        failure=first,
        examples=tuple(branch.address for branch in failed),
    )
    try:
        return attempt_on(runtime, parent, happening)
    except DataError as error:
        return attempt_on(runtime, parent, replace(happening, error=error))


def _failed(runtime: Runtime, parent: Snapshot) -> list[Snapshot]:
    """The first branches that failed; where none did by itself, the first of those that were ended."""
    branches = runtime.store.branches
    failed = branches.failing(parent.row, parent.step, limit=_EXAMPLES)
    if failed:
        return failed
    ended = [
        branch
        for standing in FAILED_ONES
        for branch in branches.standing(parent.row, parent.step, standing, limit=_EXAMPLES)
    ]
    return sorted(ended, key=lambda branch: branch.parent_index or 0)[:_EXAMPLES]


def _tell(runtime: Runtime, definition: Definition, parent: Snapshot) -> bool:
    """Tell a parent that asks for it of the branch that settled first among those that it has not been told of;
    whether there was one. One query where it asks."""
    if not is_told(definition, parent.state):
        return False
    news = runtime.store.branches.untold(parent.row, parent.step, limit=1)
    for branch in news:
        settled = BranchSettled(row=branch.row, revision=branch.revision, branch=branch_of(branch))
        attempt_on(runtime, parent, settled)
    return bool(news)


def admit(runtime: Runtime, parent: Snapshot, limit: int) -> None:
    """Let branches go that wait for their turn, so that ``limit`` are on their way. One transaction under a lock of the
    parent's row, so that two who do so never let go too many."""
    store = runtime.store

    def admit_some() -> None:
        now = store.entities.lock(parent.row)
        if now is None or now.paused or (now.state, now.step) != (parent.state, parent.step):
            return
        free = limit - store.branches.count(parent.row, parent.step, Standing.ACTIVE, most=limit)
        if free > 0:
            for branch in store.branches.standing(parent.row, parent.step, Standing.QUEUED, limit=free):
                point("admit.before", branch.address)
                try_on(runtime, branch, Admitted())

    if store.branches.has(parent.row, parent.step, Standing.QUEUED):
        store.link.write(admit_some)
