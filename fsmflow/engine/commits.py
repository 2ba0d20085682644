"""One decision, committed: with the context of the entity, and the parent that a branch brings back to life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

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
    Unacceptable,
)
from fsmflow.decision.redaction import carried, masked
from fsmflow.definition.model import Definition
from fsmflow.definition.names import CANCELLED, UNDOING_PREFIX
from fsmflow.engine.branches import context_of
from fsmflow.engine.lookup import Instance, load_row
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tasks import note_tasks
from fsmflow.errors import EntityNotFound, TransitionConflict, TransitionNotAllowed, UpgradeError, reword, text_of

TRIES: Final = 5

Result = TypeVar("Result")


def until_first(decide_once: Callable[[int], Result | None]) -> Result | None:
    """What ``decide_once(turn)`` comes to, anew as long as it gives None, as others wrote first; None where they did so
    five times."""
    return next((result for result in map(decide_once, range(TRIES)) if result is not None), None)


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
    UpgradeError where it could not be brought up to that.
    """
    _check_fault(instance, happening)
    own = instance.own
    try:
        commit = decided(runtime, instance, happening)
        return commit, write(runtime, own, commit)
    except CommitLost:
        return None
    except ClaimLost as error:
        raise StaleClaim(str(error)) from error
    except Exception as error:
        # Of a guard or callback of the user's: the caller gets it as it is, the log without what is redacted.
        if own.wide.redact:
            reword(error, masked(own, text_of(error), instance.snapshot, *carried(happening)))
        raise


def _check_fault(instance: Instance, happening: Happening) -> None:
    """The end of an attempt that failed has to be written, though the data be that of an earlier version."""
    ends_badly = isinstance(happening, Failed | Crashed | Unacceptable)
    if instance.fault is not None and not (ends_badly and isinstance(instance.fault, UpgradeError)):
        raise instance.fault


def decided(runtime: Runtime, instance: Instance, happening: Happening) -> Commit:
    """The decision, with what it brings back to life above it, as it would be committed. Nothing is written."""
    own, snapshot = instance.own, instance.snapshot
    commit = decide(own, snapshot, happening, runtime.now(), context_of(runtime.store, own, snapshot))
    if isinstance(happening, Forced) or commit.after.state == CANCELLED:
        # The way out for an entity whose row is gone.
        commit = replace(commit, lenient=True)
    if _goes_on(commit) and not isinstance(happening, Revived):
        commit = replace(commit, also=_reopening(runtime, commit, happening))
    return commit


def write(runtime: Runtime, definition: Definition, commit: Commit) -> Snapshot:
    """Commit a decision; then ring its doorbell, and note what else it leads to. Raises CommitLost, ClaimLost."""

    def follow(after: Snapshot) -> None:
        if commit.rings:
            runtime.dispatch(after)
        note_tasks(definition, commit, after)

    return runtime.store.commits.commit(commit, follow)


def conflict(address: str) -> TransitionConflict:
    """Others were always first."""
    return TransitionConflict(address, f"others changed it {TRIES} times while this was decided")


def _goes_on(commit: Commit) -> bool:
    """Whether a branch or child that had settled goes on, or turns out well after all."""
    before, after = commit.before, commit.after
    if before is None or not before.has_settled or (before.standing is not None and before.standing.is_done):
        return False
    return after.standing in (Standing.ACTIVE, Standing.DONE)


def _reopening(runtime: Runtime, commit: Commit, happening: Happening) -> tuple[Commit, ...]:
    """What brings the parent back into the step, all the way up. Raises TransitionNotAllowed where it has left it."""
    branch = commit.after
    above = load_row(runtime, branch.parent or 0)
    if above is None:
        raise EntityNotFound(f"entity row {branch.parent}")
    parent, spec = above.checked().snapshot, above.spec
    inside = spec is not None and (spec.fan is not None or spec.failed_from is not None)
    if not inside or parent.step != branch.parent_step:
        if isinstance(happening, (Forced, Rewound)) or commit.after.state.startswith(UNDOING_PREFIX):
            return ()  # an operator's word, and what is taken back, are for the child alone
        why = f"its parent {parent.address} has left that step and is in {parent.state!r}; nothing would come of it"
        trigger = commit.entries[0].trigger or "retry" if commit.entries else "retry"
        raise TransitionNotAllowed(branch.address, commit.before.state if commit.before else "", trigger, why=why)
    asked = happening if isinstance(happening, Asked) else Asked()
    reopened = Reopened(actor=asked.actor, reason=asked.reason)
    context = context_of(runtime.store, above.own, parent)
    back = decide(above.own, parent, reopened, runtime.now(), context)
    if _goes_on(back):
        return (*_reopening(runtime, back, happening), back)
    return (back,)
