"""Decides what operators do beside a machine's own ways: skip, rewind, force."""

from __future__ import annotations

from fsmflow.decision.context import next_undo
from fsmflow.decision.entity import Event
from fsmflow.decision.happenings import Asked, Forced, Rewound, Skipped
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.mover import Mover, Refused, subject_at
from fsmflow.decision.versions import unknown_state
from fsmflow.definition.names import DONE, FORCE, REWIND, SKIP, UNDONE
from fsmflow.errors import GuardError, TransitionNotAllowed
from fsmflow.values import replace


def skipped(mover: Mover, happening: Skipped) -> None:
    """From ``failed_from_X``, take the way that X's ``done`` would have taken."""
    snapshot = mover.before
    spec = mover.definition.states[snapshot.state]
    if spec.failed_from is None:
        why = "only a step that has failed can be skipped; 'force' enters any state"
        raise TransitionNotAllowed(snapshot.address, snapshot.state, SKIP, why=why)
    step = mover.definition.states[spec.failed_from]
    trial = Mover(mover.definition, replace(snapshot, state=step.name), mover.now, mover.context)
    last = step.undoes is not None and next_undo(mover.definition, trial.before, mover.context) is None
    event = trial.event(UNDONE if last else DONE, None, happening.actor)
    _fire_as_done(mover, trial, event, happening)
    if trial.after.epoch == snapshot.epoch:
        why = f"{event.trigger!r} of {step.name!r} is internal and leads nowhere"
        raise TransitionNotAllowed(snapshot.address, snapshot.state, SKIP, why=why)
    actor = happening.actor.name if happening.actor else None
    trial.entries[-1] = replace(trial.entries[-1], kind=HistoryKind.SKIPPED, source=snapshot.state, actor=actor)
    mover.adopt(trial)


def _fire_as_done(mover: Mover, trial: Mover, event: Event, happening: Skipped) -> None:
    """Fire what the step would have fired. What is refused is told of the state that the entity rests in."""
    snapshot, step = mover.before, trial.before.state
    try:
        trial.fire(
            event.trigger,
            data=snapshot.data,
            event=event,
            by_engine=True,
            reason=happening.reason,
            key=happening.key,
        )
    except Refused as refused:
        why = f"nothing accepts {event.trigger!r} of {step!r}: {'; '.join(refused.refusals) or 'no transition'}"
        raise TransitionNotAllowed(snapshot.address, snapshot.state, SKIP, words=refused.words, why=why) from None
    except GuardError as error:
        raise GuardError(error.address, snapshot.state, error.trigger, error.guard, error.what) from error.__cause__


def rewound(mover: Mover, happening: Rewound) -> None:
    """Go back to a state that the entity has been in: a new step, with a new key, without guards or callbacks."""
    snapshot = mover.before
    spec = mover.definition.states.get(happening.state)
    if spec is not None and (spec.generated and snapshot.branch_of is None):
        why = f"{happening.state!r} is a state that fsmflow makes; rewind to one of yours"
        raise TransitionNotAllowed(snapshot.address, snapshot.state, REWIND, why=why)
    _enter(mover, happening, happening.state, trigger=REWIND, kind=HistoryKind.REWOUND)


def forced(mover: Mover, happening: Forced) -> None:
    """Enter a state, whatever leads there, without guards or callbacks; its job and timer start."""
    _enter(mover, happening, happening.state, trigger=FORCE, kind=HistoryKind.FORCED)


def _enter(mover: Mover, happening: Asked, state: str, *, trigger: str, kind: HistoryKind) -> None:
    snapshot, definition = mover.before, mover.definition
    if state not in definition.states:
        raise unknown_state(definition, state)
    event = mover.event(trigger, None, happening.actor)
    mover.enter(state, event=event, subject=subject_at(mover, event))
    mover.note(
        kind,
        trigger=trigger,
        source=snapshot.state,
        actor=happening.actor,
        reason=happening.reason,
        key=happening.key,
        failure=mover.after.failure,
    )
