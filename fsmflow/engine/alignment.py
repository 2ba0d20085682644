"""What a parent passes down to its branches: cancel, pause, resume, and a new run of what failed.

Each is decided under a lock of the parent, on the parent as it is then: one that has changed its mind, or has been
decided about by somebody else, passes nothing down that no longer holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from fsmflow import log
from fsmflow.decision.entity import FAILED_ONES, Claim, Snapshot, StaleClaim
from fsmflow.decision.happenings import Admitted, BranchSettled, Happening, Paused, Resumed, Revived, Triggered
from fsmflow.decision.versions import names_of, renamed
from fsmflow.definition.model import StateSpec
from fsmflow.definition.names import CANCEL, FAILED, FINISHED
from fsmflow.engine.commits import attempt
from fsmflow.engine.lookup import instance_for, load_row, under_todays_names
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable, FsmflowError, TransitionConflict, UnknownState, text_of
from fsmflow.points import point

PAGE = 200
#: Branches of one transaction, in which the parent is locked.
_FEW = 20


def align(runtime: Runtime, row: int, *, pages: int) -> bool:
    """Cancel what is left of steps that the parent has left, pause and resume with it. Whether that was all of it."""
    wanted = runtime.store.events.alignments(row)
    last, all_done = 0, True
    for _ in range(pages):
        found = _out_of_line(runtime, row, after=last)
        for start in range(0, len(found), _FEW):
            all_done = pass_down(runtime, row, found[start : start + _FEW]) and all_done
        if len(found) < PAGE:
            point("align.after", row)
            for post in wanted if all_done else ():
                runtime.store.events.remove(post.id)
            return all_done
        last = found[-1].row
    return False


def _out_of_line(runtime: Runtime, row: int, *, after: int) -> list[Snapshot]:
    """Branches that may have to be told something: of a parent that is in its step not those that are as it is."""
    branches = runtime.store.branches
    parent = runtime.store.entities.load_row(row)
    if parent is None:
        return []
    step = fan_out_of(runtime, parent)
    if step is None or parent.phase == FAILED:
        ends = _takes_back(runtime, parent)
        return branches.left_over(row, but=parent.step if step else 0, free=ends, after=after, limit=PAGE)
    return branches.unlike(parent, after=after, limit=PAGE)


def fan_out_of(runtime: Runtime, parent: Snapshot) -> StateSpec | None:
    """The step that fans out in which a parent is, or rests after its failure; None where it has left it."""
    step = under_todays_names(runtime.machines.get(parent.machine), parent).step
    return step if step is not None and step.fan is not None else None


def _takes_back(runtime: Runtime, parent: Snapshot) -> bool:
    """Whether a parent was cancelled, or is or was undone: that reaches children that go by themselves too."""
    step = under_todays_names(runtime.machines.get(parent.machine), parent).step
    return step is not None and step.takes_back


def pass_down(runtime: Runtime, row: int, branches: Sequence[Snapshot]) -> bool:
    """Bring a few branches in line with their parent, in one transaction. Whether none of them is left to be."""
    store = runtime.store

    def pass_down_now() -> bool:
        all_done = True
        parent = store.entities.lock(row)
        for branch in branches if parent is not None else ():
            happening = _wanted(runtime, parent, branch) if parent is not None else None
            if happening is not None:
                point("align.before", branch.address)
                all_done = try_on(runtime, branch, happening) is not None and all_done
            if parent is not None and branch.paused and isinstance(happening, Triggered):
                all_done = _let_go(runtime, parent, branch.row) and all_done
        return all_done

    return store.link.write(pass_down_now)


def _let_go(runtime: Runtime, parent: Snapshot, row: int) -> bool:
    """A paused child that was cancelled, and takes back what it did, goes on with that where its parent may."""
    child = runtime.store.entities.load_row(row)
    if child is None or child.has_settled or not child.paused:
        return True
    happening = _as_paused(parent, child)
    return happening is None or try_on(runtime, child, happening) is not None


def _wanted(runtime: Runtime, parent: Snapshot, branch: Snapshot) -> Happening | None:
    if branch.standing is not None and branch.standing.is_free:
        return _cancel(runtime, branch, f"{parent.address} is {parent.state}") if _takes_back(runtime, parent) else None
    if fan_out_of(runtime, parent) is None or parent.step != branch.parent_step:
        return _cancel(runtime, branch, f"{parent.address} has left the step") or _as_paused(parent, branch)
    if branch.has_settled:
        return None
    if parent.phase == FAILED:
        return _cancel(runtime, branch, f"{parent.address} has failed") or _as_paused(parent, branch)
    return _as_paused(parent, branch)


def _as_paused(parent: Snapshot, branch: Snapshot) -> Happening | None:
    """What brings a branch to pause or to go on as its parent does; one that has finished holds nothing."""
    paused = parent.paused and parent.phase != FINISHED
    if paused == branch.paused:
        return None
    return Paused(reason="with its parent") if paused else Resumed(reason="with its parent")


def stop_others(runtime: Runtime, parent: Snapshot) -> bool:
    """Cancel a page of what has not settled, as another branch failed; whether anything came of it."""
    changed = False
    for branch in runtime.store.branches.unsettled(parent.row, limit=PAGE):
        happening = _cancel(runtime, branch, "another branch failed")
        changed = (happening is not None and bool(try_on(runtime, branch, happening))) or changed
    return changed


def _cancel(runtime: Runtime, branch: Snapshot, reason: str) -> Happening | None:
    """Nothing for a child that takes back what it did: it is on its way out, and must not be stopped half-way."""
    machine = runtime.machines.get(branch.machine)
    try:
        step = under_todays_names(machine, branch).step
    except UnknownState:
        step = None  # it must not keep the others from being told: it is refused by itself
    if step is not None and step.undoes is not None:
        return None
    return Triggered(trigger=CANCEL, reason=reason)


def revive(runtime: Runtime, parent: Snapshot, claim: Claim, *, queued: bool, new_key: bool = False) -> None:
    """Run again what failed in the step of a parent that is retried, a few in each transaction, under the claim of the
    parent's attempt. Raises ClaimLost."""
    branches = runtime.store.branches
    for standing in FAILED_ONES:
        last = -1
        while found := branches.standing(parent.row, parent.step, standing, after=last, limit=_FEW):
            # What has failed since the parent came back has had its run: this attempt may not be the first.
            before = [branch for branch in found if branch.entered_at <= parent.entered_at]
            _revive(runtime, before, claim, queued=queued, new_key=new_key)
            last = found[-1].parent_index or 0


def _revive(runtime: Runtime, found: Sequence[Snapshot], claim: Claim, *, queued: bool, new_key: bool) -> None:
    def revive_now() -> None:
        parent = runtime.store.entities.lock(claim.row)
        runtime.store.commits.lock_claim(claim)
        for branch in found:
            point("revive.before", branch.address)
            try_on(runtime, branch, Revived(state=_was(runtime, branch), queued=queued, new_key=new_key))
            if parent is None or branch.paused == parent.paused:
                continue
            back = runtime.store.entities.load_row(branch.row)
            # What the pause, or the end of it, passed down has found it settled.
            happening = None if back is None or back.has_settled else _as_paused(parent, back)
            if back is not None and happening is not None:
                try_on(runtime, back, happening)

    runtime.store.link.write(revive_now)


def _was(runtime: Runtime, branch: Snapshot) -> str | None:
    """The state from which a branch or child came to where it rests, by its name of today."""
    machine = runtime.machines.get(branch.machine)
    sources = (
        runtime.store.entities.last_source(branch.row, name)
        for name in names_of(machine, renamed(machine, branch).state)
    )
    was = next((source for source in sources if source is not None), None)
    return None if was is None else machine.wide.renamed.get(was, was)


def try_on(runtime: Runtime, branch: Snapshot, happening: Happening) -> bool | None:
    """Decide on a branch. True: done; False: it refuses, and stays as it is; None: it is to be tried again, as others
    were first or a callback of its machine raised. Raises DatabaseUnavailable alone: one branch must not keep the
    others from what is passed down to them."""
    try:
        return attempt_on(runtime, branch, happening) or None
    except DatabaseUnavailable:
        raise
    except (FsmflowError, StaleClaim) as error:
        log.branch_refused(branch.address, type(happening).__name__, error)
        return None if isinstance(error, TransitionConflict) else False
    except Exception as error:  # noqa: BLE001 - of a guard or callback of the user's
        log.branch_failed(branch.address, type(happening).__name__, text_of(error))
        return None


def attempt_on(runtime: Runtime, entity: Snapshot, happening: Happening) -> bool:
    """Decide on an entity; once more where a branch has changed meanwhile. Whether anything came of it."""
    done = attempt(runtime, instance_for(runtime, entity), happening)
    if done is None and entity.parent is not None and not isinstance(happening, (Admitted, BranchSettled)):
        fresh = load_row(runtime, entity.row)
        is_open = fresh is not None and not fresh.snapshot.has_settled
        done = attempt(runtime, fresh, happening) if fresh is not None and is_open else None
    return done is not None
