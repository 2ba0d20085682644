"""A parent and its branches: told of, admitted, joined, cancelled, paused and revived. Each is found again in SQL."""

from __future__ import annotations

from dataclasses import replace

from fsmflow.decision.entity import FAILED_ONES, UNTOLD, Snapshot, StaleClaim, Standing
from fsmflow.decision.happenings import (
    Admitted,
    BranchSettled,
    Joined,
    MoreWanted,
)
from fsmflow.decision.work import WorkKind
from fsmflow.definition.model import Definition, Fan, StateSpec
from fsmflow.definition.names import BRANCH_DONE, BRANCH_FAILED
from fsmflow.engine.alignment import attempt_on, stop_others, try_on
from fsmflow.engine.branches import branch_of
from fsmflow.engine.lookup import under_todays_names
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError
from fsmflow.points import point

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
            if not _advance(runtime, instance.own, instance.spec, instance.snapshot):
                return False
        except StaleClaim:
            return False
    return True


def _advance(runtime: Runtime, definition: Definition, spec: StateSpec, parent: Snapshot) -> bool:
    """One thing that can be done now; whether there may be more to do."""
    fan, work, branches = spec.fan or Fan(), parent.work, runtime.store.branches
    watches = work is not None and work.watches
    if watches and (definition.offers(BRANCH_DONE, parent.state) or definition.offers(BRANCH_FAILED, parent.state)):
        news = _news(runtime, parent)
        if news is not None:
            attempt_on(runtime, parent, BranchSettled(row=news.row, branch=branch_of(news)))
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
    return not _join(runtime, parent)


def _join(runtime: Runtime, parent: Snapshot) -> bool:
    branches = runtime.store.branches
    failed = [
        branch
        for standing in FAILED_ONES
        for branch in branches.standing(parent.row, parent.step, standing, limit=_EXAMPLES)
    ]
    failed = sorted(failed, key=lambda branch: branch.parent_index or 0)[:_EXAMPLES]
    count = branches.progress(parent.row, parent.step).failed if failed else 0
    first = next((branch.failure for branch in failed if branch.failure is not None), None)
    point("join.before", parent.address)
    happening = Joined(failed=count, failure=first, examples=tuple(branch.address for branch in failed))
    try:
        return attempt_on(runtime, parent, happening)
    except DataError as error:
        return attempt_on(runtime, parent, replace(happening, error=error))


def _news(runtime: Runtime, parent: Snapshot) -> Snapshot | None:
    for standing in UNTOLD:
        found = runtime.store.branches.standing(parent.row, parent.step, standing, limit=1)
        if found:
            return found[0]
    return None


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
