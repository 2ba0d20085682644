"""A parent and its branches: told of, admitted, joined, cancelled, paused and revived. Each is found again in SQL."""

from __future__ import annotations

from fsmflow import log
from fsmflow.decision.events import (
    Admitted,
    BranchSettled,
    Happening,
    Joined,
    MoreWanted,
    Paused,
    Resumed,
    Revived,
    Triggered,
)
from fsmflow.decision.living import names_of, renamed
from fsmflow.decision.records import (
    ACTIVE,
    DONE_BRANCH,
    FAILED_BRANCH,
    JOIN,
    QUEUED,
    TOLD,
    WINDOW,
    Snapshot,
)
from fsmflow.decision.stale import StaleClaim
from fsmflow.definition.model import Definition, Fan, StateSpec
from fsmflow.definition.names import BRANCH_DONE, BRANCH_FAILED, CANCEL
from fsmflow.engine.committing import attempt
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.surroundings import branch_of, definition_of
from fsmflow.errors import TransitionConflict, TransitionNotAllowed, UnknownState, UpgradeError
from fsmflow.points import point

PAGE = 200
#: How many rounds one look takes before it leaves the rest to the next one.
_ROUNDS = 50
_EXAMPLES = 3


def look(runtime: Runtime, row: int) -> None:
    """Go on with a parent as far as its branches allow: tell it, admit more, make more, join. Nothing happens for an
    entity that is not in a step that fans out, or is paused. Two queries where it has to wait."""
    for _ in range(_ROUNDS):
        parent = runtime.store.entities.load_row(row)
        if parent is None or parent.work is None or parent.paused:
            return
        machine = runtime.machines.get(parent.machine)
        parent = renamed(machine, parent)
        definition = definition_of(machine, parent)
        spec = definition.states.get(parent.state)
        if spec is None or spec.fan is None:
            return
        point("look.before", parent.address)
        try:
            if not _advance(runtime, definition, spec, parent):
                return
        except StaleClaim:
            return


def _advance(runtime: Runtime, definition: Definition, spec: StateSpec, parent: Snapshot) -> bool:
    """One thing that can be done now; whether there may be more to do."""
    fan, work, branches = spec.fan or Fan(), parent.work, runtime.store.branches
    watches = work is not None and work.watches
    if watches and (definition.offers(BRANCH_DONE, parent.state) or definition.offers(BRANCH_FAILED, parent.state)):
        news = _news(runtime, parent)
        if news is not None:
            _attempt(runtime, parent, BranchSettled(row=news.row, branch=branch_of(news)))
            return True
    failed = branches.has(parent.row, parent.step, FAILED_BRANCH, FAILED_BRANCH + TOLD) if fan.stops else False
    if failed and watches and _stop_others(runtime, parent):
        return True
    if fan.limit is not None and not failed:
        admit(runtime, parent, fan.limit)
    if work is None or not watches:
        return False
    unsettled = branches.any_unsettled(parent.row, parent.step)
    if work.kind == WINDOW and not failed:
        few = fan.limit is not None and branches.count(parent.row, parent.step, QUEUED, most=fan.limit) < fan.limit
        if few or not unsettled:
            _attempt(runtime, parent, MoreWanted())
        return False
    if unsettled or (work.kind != JOIN and not failed):
        return False
    return not _join(runtime, parent)


def _join(runtime: Runtime, parent: Snapshot) -> bool:
    branches = runtime.store.branches
    failed = [
        branch
        for standing in (FAILED_BRANCH, FAILED_BRANCH + TOLD)
        for branch in branches.standing(parent.row, parent.step, standing, limit=_EXAMPLES)
    ]
    failed = sorted(failed, key=lambda branch: branch.parent_index or 0)[:_EXAMPLES]
    count = branches.progress(parent.row, parent.step).failed if failed else 0
    first = next((branch.failure for branch in failed if branch.failure is not None), None)
    point("join.before", parent.address)
    happening = Joined(failed=count, failure=first, examples=tuple(branch.address for branch in failed))
    return _attempt(runtime, parent, happening)


def _news(runtime: Runtime, parent: Snapshot) -> Snapshot | None:
    for standing in (DONE_BRANCH, FAILED_BRANCH):
        found = runtime.store.branches.standing(parent.row, parent.step, standing, limit=1)
        if found:
            return found[0]
    return None


def _stop_others(runtime: Runtime, parent: Snapshot) -> bool:
    """Cancel a page of what has not settled; whether there was any."""
    found = runtime.store.branches.unsettled(parent.row, limit=PAGE)
    for branch in found:
        _try(runtime, branch, Triggered(trigger=CANCEL, reason="another branch failed"))
    return bool(found)


def admit(runtime: Runtime, parent: Snapshot, limit: int) -> None:
    """Let branches go that wait for their turn, so that ``limit`` are on their way. One transaction under a lock of the
    parent's row, so that two who do so never let go too many."""
    store = runtime.store

    def admit_some() -> None:
        store.branches.lock(parent.row)
        free = limit - store.branches.count(parent.row, parent.step, ACTIVE, most=limit)
        if free > 0:
            for branch in store.branches.standing(parent.row, parent.step, QUEUED, limit=free):
                point("admit.before", branch.address)
                _try(runtime, branch, Admitted())

    if store.branches.has(parent.row, parent.step, QUEUED):
        store.link.write(admit_some)


def align(runtime: Runtime, row: int, *, pages: int) -> bool:
    """Cancel what is left of steps that the parent has left, pause and resume with it. Whether that was all of it."""
    tasks = runtime.store.events.tasks(row)
    last = 0
    for _ in range(pages):
        parent = runtime.store.entities.load_row(row)
        found = runtime.store.branches.unsettled(row, after=last, limit=PAGE) if parent is not None else []
        for branch in found:
            happening = _wanted(runtime, parent, branch) if parent is not None else None
            if happening is not None:
                point("align.before", branch.address)
                _try(runtime, branch, happening)
        if len(found) < PAGE:
            for task in tasks:
                runtime.store.events.remove(task.id)
            return True
        last = found[-1].row
    return False


def _wanted(runtime: Runtime, parent: Snapshot, branch: Snapshot) -> Happening | None:
    machine = runtime.machines.get(parent.machine)
    parent = renamed(machine, parent)
    spec = definition_of(machine, parent).states.get(parent.state)
    if spec is None or spec.fan is None or parent.step != branch.parent_step:
        return Triggered(trigger=CANCEL, reason=f"{parent.address} has left the step")
    if parent.paused == branch.paused:
        return None
    return Paused(reason="with its parent") if parent.paused else Resumed(reason="with its parent")


def revive(runtime: Runtime, parent: Snapshot, *, queued: bool) -> None:
    """Run again what failed in the step of a parent that is retried, page by page."""
    for standing in (FAILED_BRANCH, FAILED_BRANCH + TOLD):
        last = -1
        while found := runtime.store.branches.standing(parent.row, parent.step, standing, after=last, limit=PAGE):
            for branch in found:
                point("revive.before", branch.address)
                _try(runtime, branch, Revived(state=_was(runtime, branch), queued=queued))
            last = found[-1].parent_index or 0


def _was(runtime: Runtime, branch: Snapshot) -> str | None:
    """The state from which a branch or child came to where it rests, by its name of today."""
    machine = runtime.machines.get(branch.machine)
    sources = (
        runtime.store.entities.last_source(branch.row, name)
        for name in names_of(machine, renamed(machine, branch).state)
    )
    was = next((source for source in sources if source is not None), None)
    return None if was is None else machine.wide.renamed.get(was, was)


def _try(runtime: Runtime, branch: Snapshot, happening: Happening) -> bool:
    """Decide on a branch; one that refuses is left as it is, and logged."""
    try:
        return _attempt(runtime, branch, happening)
    except (StaleClaim, TransitionNotAllowed, TransitionConflict, UnknownState, UpgradeError) as error:
        log.branch_refused(branch.address, type(happening).__name__, error)
        return False


def _attempt(runtime: Runtime, entity: Snapshot, happening: Happening) -> bool:
    definition = runtime.machines.get(entity.machine)
    done = attempt(runtime, definition, entity, happening)
    if done is None and entity.parent is not None and not isinstance(happening, (Admitted, BranchSettled)):
        fresh = runtime.store.entities.load_row(entity.row)
        done = attempt(runtime, definition, fresh, happening) if fresh is not None and not fresh.has_settled else None
    return done is not None
