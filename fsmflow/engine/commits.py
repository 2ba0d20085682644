"""One decision, committed: with what is around the entity, and the parent that a branch brings back to life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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
from fsmflow.decision.versions import brought_up, renamed
from fsmflow.definition.model import Definition
from fsmflow.definition.names import CANCELLED, UNDOING_PREFIX
from fsmflow.engine.branches import around_of
from fsmflow.engine.lookup import definition_of
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tasks import note_tasks
from fsmflow.errors import EntityNotFound, TransitionConflict, TransitionNotAllowed, UpgradeError, tell, told

TRIES = 5


def apply(
    runtime: Runtime, definition: Definition, read: Callable[[], Snapshot], happening: Happening
) -> tuple[Commit, Snapshot]:
    """Decide and commit on the entity as ``read`` finds it, anew as long as others write first.

    Raises what the decision refuses, StaleClaim for an attempt that no longer counts, TransitionConflict.
    """
    for _ in range(TRIES):
        applied = attempt(runtime, definition, read(), happening)
        if applied is not None:
            return applied
    raise conflict(read().address)


def attempt(
    runtime: Runtime, definition: Definition, snapshot: Snapshot, happening: Happening
) -> tuple[Commit, Snapshot] | None:
    """Decide and commit once; None where somebody else wrote first.

    An entity of an earlier version is brought up to that of the code first, in the same commit.
    """
    snapshot = _as_of_today(definition, snapshot, happening)
    own = definition_of(definition, snapshot)
    try:
        commit = decided(runtime, own, snapshot, happening)
        return commit, write(runtime, own, commit)
    except CommitLost:
        return None
    except ClaimLost as error:
        raise StaleClaim(str(error)) from error
    except Exception as error:
        # Of a guard or callback of the user's: the caller gets it as it is, the log without what is redacted.
        if own.wide.redact:
            tell(error, masked(own, told(error), snapshot, *carried(happening)))
        raise


def _as_of_today(definition: Definition, snapshot: Snapshot, happening: Happening) -> Snapshot:
    """Raises UnknownVersion, and UpgradeError; the end of an attempt that failed has to be written all the same."""
    try:
        return brought_up(definition, snapshot)
    except UpgradeError:
        if isinstance(happening, Failed | Crashed | Unacceptable):
            return renamed(definition, snapshot)
        raise


def decided(runtime: Runtime, own: Definition, snapshot: Snapshot, happening: Happening) -> Commit:
    """The decision, with what it brings back to life above it, as it would be committed. Nothing is written.

    ``own``: the definition that the entity goes by, that of its branches for a branch.
    """
    around = around_of(runtime.store, own, snapshot)
    commit = decide(own, snapshot, happening, runtime.now(), around)
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

    return runtime.store.entities.commit(commit, follow)


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
    parent = runtime.store.entities.load_row(branch.parent or 0)
    if parent is None:
        raise EntityNotFound(f"entity row {branch.parent}")
    definition = runtime.machines.get(parent.machine)
    parent = brought_up(definition, parent)
    own = definition_of(definition, parent)
    spec = own.states.get(parent.state)
    inside = spec is not None and (spec.fan is not None or spec.failed_from is not None)
    if not inside or parent.step != branch.parent_step:
        if isinstance(happening, (Forced, Rewound)) or commit.after.state.startswith(UNDOING_PREFIX):
            return ()  # an operator's word, and what is taken back, are for the child alone
        why = f"its parent {parent.address} has left that step and is in {parent.state!r}; nothing would come of it"
        trigger = commit.entries[0].trigger or "retry" if commit.entries else "retry"
        raise TransitionNotAllowed(branch.address, commit.before.state if commit.before else "", trigger, why=why)
    asked = happening if isinstance(happening, Asked) else Asked()
    reopened = Reopened(actor=asked.actor, reason=asked.reason)
    above = decide(own, parent, reopened, runtime.now(), around_of(runtime.store, own, parent))
    if _goes_on(above):
        return (*_reopening(runtime, above, happening), above)
    return (above,)
