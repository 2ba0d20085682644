"""What nobody draws: ``failed_from_X``, ``undoing_X``, ``cancelled``, ``undone``, and the transitions between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from fsmflow.clock import to_ms
from fsmflow.definition.model import Bound, Fan, StateSpec, TransitionSpec
from fsmflow.definition.names import (
    CANCEL,
    CANCELLED,
    DONE,
    FAIL,
    FAILED,
    FINISHED,
    RETRY,
    UNDO,
    UNDONE,
    WORKING,
    failed_from,
    undoing,
)
from fsmflow.definition.state import DEFAULT_LIMIT
from fsmflow.definition.subject import GuardView, Subject

States = Mapping[str, StateSpec]


def generated_states(states: States) -> dict[str, StateSpec]:
    """The states that fsmflow adds to those of the user."""
    made = {undoing(name): _undoing(spec) for name, spec in states.items() if spec.undo is not None}
    for name, spec in [*states.items(), *made.items()]:
        if spec.is_working:
            rest = failed_from(name)
            made[rest] = StateSpec(
                name=rest,
                phase=FAILED,
                generated=True,
                failed_from=name,
                defer=spec.defer,
                kept_for=spec.kept_for,
                undo_on_cancel=spec.undo_on_cancel,
            )
    for name in (CANCELLED, *([UNDONE] if any(spec.undo for spec in states.values()) else [])):
        if name not in states:
            made[name] = StateSpec(name=name, phase=FINISHED, generated=True)
    return made


def _undoing(spec: StateSpec) -> StateSpec:
    fan, limit_ms = None, spec.limit_ms
    if spec.fan is not None:
        fan = Fan(undoes=True, limit=spec.fan.limit)
        limit_ms = limit_ms or to_ms(DEFAULT_LIMIT)
    return StateSpec(
        name=undoing(spec.name),
        phase=WORKING,
        job=spec.undo,
        job_name=spec.undo_name,
        retry=spec.retry,
        limit_ms=limit_ms,
        queue=spec.queue,
        limits=spec.limits,
        priority=spec.priority,
        generated=True,
        undoes=spec.name,
        # Who asks to cancel once more, while that is being undone, must not stop it half-way; where it rests after a
        # failure, it goes on.
        undo_on_cancel=spec.undo_on_cancel,
        ignore=frozenset({CANCEL}) if spec.undo_on_cancel else frozenset(),
        fan=fan,
    )


def generated_transitions(states: States) -> list[TransitionSpec]:
    """The transitions that fsmflow adds after those of the user."""
    steps = [spec.name for spec in states.values() if spec.undoes]
    made = [*_failing(states, steps), *_cancelling(states, steps), *_undoing_ways(states, steps)]
    deferred = {(name, trigger) for name, spec in states.items() for trigger in spec.defer | spec.ignore}
    return [item for item in made if (item.source, item.trigger) not in deferred]


def _failing(states: States, steps: list[str]) -> Iterator[TransitionSpec]:
    for name, spec in states.items():
        if not spec.is_working:
            continue
        if spec.undo_on_failure:
            yield from to_undo(_way(FAIL, name, name), steps)
        yield _way(FAIL, name, failed_from(name))
        yield _way(RETRY, failed_from(name), name)


def _cancelling(states: States, steps: list[str]) -> Iterator[TransitionSpec]:
    for name, spec in states.items():
        if spec.is_final:
            continue
        if spec.undo_on_cancel:
            yield from to_undo(_way(CANCEL, name, name), steps)
        yield _way(CANCEL, name, CANCELLED)


def _undoing_ways(states: States, steps: list[str]) -> Iterator[TransitionSpec]:
    for step in steps:
        yield from to_undo(_way(DONE, step, step), steps)
        yield _way(UNDONE, step, UNDONE)
    busy = {*steps, *map(failed_from, steps)}
    for name in states:
        if steps and name not in busy and name != UNDONE:
            yield from to_undo(_way(UNDO, name, name), steps)


def to_undo(way: TransitionSpec, steps: Iterable[str]) -> Iterator[TransitionSpec]:
    """A transition to each of the states that undo a step, which is taken where that step is the next to be undone:
    after the guards that ``way`` has already."""
    for dest in steps:
        # The names of the guards are those of the conditions, then those of ``unless``.
        asked = len(way.conditions)
        guards = (*way.guards[:asked], f"{dest} is next", *way.guards[asked:])
        yield replace(way, dest=dest, conditions=(*way.conditions, _is_next(dest)), guards=guards, generated=True)


def _is_next(dest: str) -> Bound:
    def is_next(machine: Subject[GuardView]) -> bool:
        return machine._view.next_undo == dest

    return is_next


def _way(trigger: str, source: str, dest: str) -> TransitionSpec:
    return TransitionSpec(trigger=trigger, source=source, dest=dest, generated=True)
