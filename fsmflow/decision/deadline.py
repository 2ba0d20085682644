"""The deadline of a state, in words: what gives it, when it comes or how much is left of it, and what it leads to."""

from __future__ import annotations

from fsmflow import clock
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.work import WorkKind
from fsmflow.definition.model import Definition, Timer, source_name
from fsmflow.definition.names import TIMEOUT


def limit_of(timer: Timer) -> str:
    """``within= of 1 min``, or the method that was asked: ``within= by 'patience'``."""
    after = timer.after
    given = f"by {source_name(after)!r}" if callable(after) else f"of {clock.length(clock.to_ms(after))}"
    return f"{timer.parameter}= {given}"


def _none_of(timer: Timer, state: str) -> str:
    return (
        f"none runs, as it was in {state!r} before {limit_of(timer)} was deployed; 'force' it there anew to begin one"
    )


def deadline_of(definition: Definition, snapshot: Snapshot) -> str | None:
    """When the time of the state is over, or how much of it a pause holds, and what happens then; that none runs, as
    the entity came before the code had it. None where the state has no time, and for what was due and is tried again:
    that is told by itself."""
    spec, work = definition.states.get(snapshot.state), snapshot.work
    if spec is None or spec.timer is None or (work is not None and work.tells_of_timer):
        return None
    if work is None:
        return _none_of(spec.timer, spec.name) if spec.is_waiting else None
    if work.parked is not None and not work.is_in_line and work.deadline is None:
        return f"over ({limit_of(spec.timer)}), and hold {work.parked} keeps back what comes then"
    moment = work.deadline if work.kind != WorkKind.TIMER else work.wake_at if work.held is None else work.held
    if moment is None:
        return None
    fails = spec.timer.bounds and not definition.offers(TIMEOUT, spec.name)
    then = "the step fails with StepTimeout" if fails else f"{spec.timer.trigger!r} fires"
    if work.held is not None:
        return f"held by the pause with {clock.span(moment)} left ({limit_of(spec.timer)}); then {then}"
    return f"{clock.to_datetime(moment):%Y-%m-%d %H:%M:%S} UTC ({limit_of(spec.timer)}); then {then}"
