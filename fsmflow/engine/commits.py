"""One decision, committed: with the context of the entity, and the parent that a branch brings back to life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from fsmflow import log
from fsmflow.decision.bypass import without
from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import ClaimLost, Snapshot, StaleClaim, Standing
from fsmflow.decision.happenings import (
    Asked,
    Crashed,
    Failed,
    Forced,
    Happening,
    Reopened,
    Revived,
    Rewound,
    Skipped,
    Triggered,
    Unacceptable,
)
from fsmflow.decision.redaction import carried, masked
from fsmflow.definition.model import Definition
from fsmflow.definition.names import CANCEL, CANCELLED, FAILED, RETRY, SKIP, UNDOING_PREFIX, failed_from
from fsmflow.engine.branches import context_of
from fsmflow.engine.details import SHOWN, told_of_waiting
from fsmflow.engine.endings import tell_ending
from fsmflow.engine.lookup import Instance, load_row
from fsmflow.engine.observation import tell_tick, trace_of
from fsmflow.engine.permission import context_for
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tasks import note_tasks
from fsmflow.errors import (
    DatabaseRefused,
    TransitionConflict,
    TransitionNotAllowed,
    UpgradeError,
    reword,
    text_of,
)
from fsmflow.observers import caused_by
from fsmflow.values import replace

TRIES: Final = 5

Result = TypeVar("Result")


def until_first(decide_once: Callable[[int], Result | None]) -> Result | None:
    """What ``decide_once(turn)`` comes to, anew as long as it gives None, as others wrote first; None where they did so
    five times."""
    for turn in range(TRIES):
        result = decide_once(turn)
        if result is not None:
            return result
    return None


def apply(runtime: Runtime, read: Callable[[], Instance], happening: Happening) -> tuple[Commit, Snapshot]:
    """Decide and commit on the entity as ``read`` finds it, anew as long as others write first.

    Raises what the decision refuses, StaleClaim for an attempt that no longer counts, TransitionConflict.
    """
    applied = until_first(lambda turn: attempt(runtime, read(), happening))
    if applied is None:
        raise conflict(read().snapshot.address)
    return applied


def attempt(runtime: Runtime, instance: Instance, happening: Happening) -> tuple[Commit, Snapshot] | None:
    """Decide and commit once; None where somebody else wrote first.

    An entity of an earlier version is committed as one of the version of the code. Raises UnknownVersion and
    UpgradeError where it could not be brought up to that, and DatabaseRefused. What has to be recorded whatever the
    database refuses of it, as the failure of a job, is decided and committed without that.
    """
    own = instance.own
    try:
        with caused_by(trace_of(instance.snapshot)):
            commit = prepared(runtime, instance, happening)
            return commit, write(runtime, own, commit, happening)
    except CommitLost:
        return None
    except ClaimLost as error:
        raise StaleClaim(str(error)) from error
    except Exception as error:
        # Of a guard or callback of the user's: the caller gets it as it is, the log without what is redacted.
        if own.wide.redact:
            reword(error, masked(own, text_of(error), instance.snapshot, *carried(happening)))
        if not isinstance(error, DatabaseRefused) or (rest := without(happening, error)) is None:
            raise
        log.commit_refused(error.address, masked(own, error.why, instance.snapshot, *carried(happening)))
    return attempt(runtime, instance, rest)


def prepared(runtime: Runtime, instance: Instance, happening: Happening) -> Commit:
    """The decision as it would be committed. Nothing is written."""
    # The end of an attempt that failed has to be written, though the data be that of an earlier version.
    ends_badly = isinstance(happening, Failed | Crashed | Unacceptable)
    if instance.fault is not None and not (ends_badly and isinstance(instance.fault, UpgradeError)):
        raise instance.fault
    return decided(runtime, instance, happening)


def decided(runtime: Runtime, instance: Instance, happening: Happening) -> Commit:
    """The decision, with what it brings back to life above it, as it would be committed. Nothing is written."""
    own, snapshot = instance.own, instance.snapshot
    try:
        commit = decide(own, snapshot, happening, runtime.now(), context_for(runtime, instance, happening))
    except TransitionNotAllowed as error:
        raise _about_family(runtime, instance, happening, error) from error.__cause__
    if isinstance(happening, Asked) and commit.key is not None:
        commit = replace(commit, form=happening.form)
    if isinstance(happening, Forced) or commit.after.state == CANCELLED:
        # The way out for an entity whose row is gone.
        commit = replace(commit, lenient=True)
    if _goes_on(commit) and not isinstance(happening, Revived):
        return _with_parent(runtime, instance, commit, happening)
    return commit


def write(runtime: Runtime, definition: Definition, commit: Commit, happening: Happening | None = None) -> Snapshot:
    """Commit a decision, then do what follows. Raises CommitLost, ClaimLost."""
    return runtime.store.commits.commit(commit, lambda after: follow(runtime, definition, commit, after, happening))


def follow(
    runtime: Runtime, definition: Definition, commit: Commit, after: Snapshot, happening: Happening | None = None
) -> None:
    """What follows once a decision is committed: ring its doorbell, tell how a step ended, and note what else it leads
    to. ``after``: the entity as it is then."""
    if commit.rings:
        runtime.dispatch(after)
    tell_ending(definition, commit, after, happening)
    tell_tick(definition, commit, after)
    runtime.counting.ended(commit, happening)
    for entry in commit.entries:
        if entry.edit is not None and entry.edit.overwritten:
            log.data_overwritten(after.address, entry.source or entry.dest, ", ".join(entry.edit.overwritten))
    note_tasks(definition, commit, after)


def conflict(address: str) -> TransitionConflict:
    """Others were always first."""
    return TransitionConflict(address, f"others changed it {TRIES} times while this was decided")


def _goes_on(commit: Commit) -> bool:
    """Whether a branch or child that had settled goes on, or turns out well after all."""
    before, after = commit.before, commit.after
    if before is None or not before.has_settled or (before.standing is not None and before.standing.is_done):
        return False
    return after.standing in (Standing.ACTIVE, Standing.DONE)


def _with_parent(runtime: Runtime, instance: Instance, commit: Commit, happening: Happening) -> Commit:
    """Also commit what brings the parent back into the step, all the way up.

    Where that has left the step, a child goes by itself from now on if an operator places it, or if nothing else can be
    done with it. What takes back what it did does so. Raises TransitionNotAllowed for all else.
    """
    branch, above = commit.after, load_row(runtime, commit.after.parent or 0)
    if above is not None and _is_in_step(above, branch):
        return replace(commit, also=(_reopened(runtime, above, happening, paused=branch.paused),))
    placed = isinstance(happening, (Forced, Rewound))
    if branch.state.startswith(UNDOING_PREFIX) or (placed and branch.branch_of is not None):
        return commit
    if branch.branch_of is None and (placed or not _is_left(runtime, instance, above)):
        freed = None if branch.standing is None else branch.standing.freed
        return replace(commit, after=replace(branch, standing=freed))
    raise _refused(instance.snapshot, happening, f"{_left(above)}; nothing would come of it, and 'cancel' ends it")


def _reopened(runtime: Runtime, above: Instance, happening: Happening, *, paused: bool) -> Commit:
    asked = happening if isinstance(happening, Asked) else Asked()
    parent = above.checked().snapshot
    context = context_of(runtime.store, above.own, parent)
    again = Reopened(actor=asked.actor, reason=asked.reason, paused=paused)
    back = decide(above.own, parent, again, runtime.now(), context)
    return _with_parent(runtime, above, back, happening) if _goes_on(back) else back


def _is_in_step(above: Instance, branch: Snapshot) -> bool:
    """Whether a parent is in the step of this branch, or rests in its failure."""
    spec = above.spec
    inside = spec is not None and (spec.fan is not None or spec.failed_from is not None)
    return inside and above.snapshot.step == branch.parent_step


def _can_be_cancelled(runtime: Runtime, instance: Instance) -> bool:
    """Whether a cancel would lead anywhere, as its machine may keep it for later, or take it without leaving."""
    own, snapshot = instance.own, instance.snapshot
    try:
        ended = decide(
            own, snapshot, Triggered(trigger=CANCEL), runtime.now(), context_of(runtime.store, own, snapshot)
        )
    except Exception:  # noqa: BLE001 - it is only asked: what guards and callbacks raise is told to whoever cancels
        return False
    return ended.after.epoch != snapshot.epoch


def _is_left(runtime: Runtime, instance: Instance, above: Instance | None) -> bool:
    """Whether a child that its parent does not wait for is to be cancelled, and not to go by itself."""
    return above is not None and _can_be_cancelled(runtime, instance)


def left_by(runtime: Runtime, instance: Instance) -> str | None:
    """Why a retry of a branch or child that has failed would be refused, as its parent has left the step; None where it
    would not be. One query for one that has a parent."""
    snapshot = instance.snapshot
    if snapshot.parent is None:
        return None
    above = load_row(runtime, snapshot.parent)
    if above is not None and _is_in_step(above, snapshot):
        return None
    refused = snapshot.branch_of is not None or _is_left(runtime, instance, above)
    return _left(above) if refused else None


def _left(above: Instance | None) -> str:
    """Of the parent of a branch: that it does not wait for it."""
    if above is None:
        return "its parent does not exist any more"
    return f"its parent {above.snapshot.address} has left that step and is in {above.snapshot.state!r}"


def _about_family(
    runtime: Runtime, instance: Instance, happening: Happening, error: TransitionNotAllowed
) -> TransitionNotAllowed:
    """What is refused of a branch that was ended with its parent, and a retry of a parent that waits for its branches,
    told by that; another refusal as it is."""
    snapshot, spec = instance.snapshot, instance.spec
    if error.refusals or not isinstance(happening, (Triggered, Skipped)):
        return error
    if snapshot.parent is not None and snapshot.state == CANCELLED:
        return _about_parent(runtime, snapshot, happening)
    retries = isinstance(happening, Triggered) and happening.trigger == RETRY
    if not retries or spec is None or spec.fan is None:
        return error
    branches = runtime.store.branches
    progress = branches.progress(snapshot.row, snapshot.step)
    waiting = branches.waiting(snapshot.row, snapshot.step, limit=SHOWN)
    why = (
        f"it is in that step, and waits for its branches ({progress}); a branch that failed can be retried by itself, "
        f"and the entity once it rests in {failed_from(snapshot.state)!r}"
    )
    why = f"{why}; {told_of_waiting(waiting)}" if waiting else why
    why = f"a pause holds it; 'resume' first. Besides, {why}" if snapshot.paused else why
    return TransitionNotAllowed(snapshot.address, snapshot.state, RETRY, allowed=error.allowed, why=why)


def _again_with(parent: Snapshot) -> str:
    """How a branch that was ended is run again, while its parent has not left the step."""
    failure = parent.failure
    if parent.phase == FAILED and failure is not None:
        return f"its parent rests after {failure.error_type}, and 'retry' of {parent.address} runs this one again, too"
    rests = failed_from(parent.state)
    return f"its parent goes on with the others; where it comes to rest in {rests!r}, its 'retry' runs this one again"


def _about_parent(runtime: Runtime, snapshot: Snapshot, happening: Triggered | Skipped) -> TransitionNotAllowed:
    above = load_row(runtime, snapshot.parent or 0)
    if above is not None and _is_in_step(above, snapshot):
        return _refused(snapshot, happening, f"it was cancelled; {_again_with(above.snapshot)}", ())
    then = "nothing would come of it" if snapshot.branch_of is not None else "'force' begins it anew, for its own sake"
    return _refused(snapshot, happening, f"{_left(above)}, and it was cancelled; {then}", ())


def _refused(
    snapshot: Snapshot, happening: Happening, why: str, allowed: tuple[str, ...] | None = None
) -> TransitionNotAllowed:
    asked = SKIP if isinstance(happening, Skipped) else happening.trigger if isinstance(happening, Triggered) else RETRY
    return TransitionNotAllowed(snapshot.address, snapshot.state, asked, allowed=allowed, why=why)
