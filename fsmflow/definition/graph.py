"""Finds what is wrong with a machine as a graph. Every function returns sentences, one a fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fsmflow.definition.model import StateSpec, TransitionSpec
from fsmflow.definition.names import BRANCH_DONE, BRANCH_FAILED, CANCEL, CANCELLED, DONE, FAIL, TIMEOUT, UNDO, UNDONE
from fsmflow.definition.parse import Written
from fsmflow.errors import did_you_mean, shown

Graph = Mapping[str, StateSpec]


def graph_faults(
    initial: str, states: Graph, written: Sequence[Written], transitions: Sequence[TransitionSpec]
) -> list[str]:
    """All that only the whole machine can show."""
    return [
        *_final_faults(states, written),
        *_engine_trigger_faults(states, transitions),
        *_idle_faults(states, written),
        *_deferral_faults(states, transitions),
        *_shadow_faults(written, transitions),
        *_dead_end_faults(states, transitions),
        *([] if _names_unknown(states, written) else _unreachable_faults(initial, states, transitions)),
    ]


def _final_faults(states: Graph, written: Sequence[Written]) -> list[str]:
    return [
        f"{item.where}: {shown(item.trigger)} leaves {source!r}, which is final; a final state has no way out"
        for item in written
        for source in item.sources or ()
        if source in states and states[source].is_final
    ]


def _engine_trigger_faults(states: Graph, transitions: Sequence[TransitionSpec]) -> list[str]:
    faults = []
    offered: dict[tuple[str, str], list[TransitionSpec]] = {}
    for spec in transitions:
        if not spec.generated:
            offered.setdefault((spec.trigger, spec.source), []).append(spec)
    for state in states.values():
        if state.generated:
            continue
        timer = state.timer.trigger if state.timer else None
        if _fires(DONE, state) and (DONE, state.name) not in offered:
            kind = "its job returns" if state.is_working else "its delay is over"
            hint = _near(DONE, state, offered)
            faults.append(f"state {state.name!r} has no 'done' transition: where does it go when {kind}?{hint}")
        bounds = state.timer is not None and state.timer.bounds
        if timer == TIMEOUT and not bounds and (TIMEOUT, state.name) not in offered:
            hint = _near(TIMEOUT, state, offered)
            faults.append(
                f"state {state.name!r} has a timeout, but no 'timeout' transition says where it then goes{hint}"
            )
        faults += _internal_faults(state, offered)
    return faults


def _near(missing: str, state: StateSpec, offered: Iterable[tuple[str, str]]) -> str:
    """A hint at the misspelt trigger that may have been meant."""
    near = (trigger for trigger, source in offered if source == state.name and did_you_mean(missing, [trigger]))
    return next((f" ({trigger!r} is there; was {missing!r} meant?)" for trigger in near), "")


def _idle_faults(states: Graph, written: Sequence[Written]) -> Iterator[str]:
    """What only the engine fires, where it never does."""
    for item in written:
        if item.trigger == UNDONE and item.sources is None and not any(state.undoes for state in states.values()):
            yield f"{item.where}: 'undone' can never be reached, as no state has undo="
        for source in item.sources or ():
            state = states.get(source)
            if state is None or state.is_final or _fires(item.trigger, state):
                continue
            if item.trigger == TIMEOUT:
                yield f"{item.where}: 'timeout' from {source!r} is never fired: {_ATTEMPTS}"
                continue
            yield (
                f"{item.where}: {shown(item.trigger)} from {source!r} can never be reached, as only fsmflow fires it, "
                f"and not there: {_LACKS[item.trigger]}"
            )


_LACKS = {
    DONE: "it has neither a job nor a delay",
    FAIL: "it has no job",
    UNDONE: "it is no state in which something is undone (undoing_<state>, of a state with undo=)",
    BRANCH_DONE: "it has neither jobs=, each=, machine= nor machines=",
    BRANCH_FAILED: "it has neither jobs=, each=, machine= nor machines=",
}


_ATTEMPTS = (
    "timeout= of a job limits each attempt, which then fails and is retried like any other. within= limits the whole "
    "step and fires 'timeout'; to leave after a failure, name 'fail'"
)


def _fires(trigger: str, state: StateSpec) -> bool:
    """False for the engine's own triggers in states where it does not fire them, though they look as if it did."""
    if trigger == DONE:
        return (state.is_working and not state.waits) or (state.timer is not None and state.timer.trigger == DONE)
    if trigger in (BRANCH_DONE, BRANCH_FAILED):
        return state.fan is not None
    if trigger == UNDONE:
        return state.undoes is not None
    if trigger == TIMEOUT:
        return not state.limits_attempts
    return trigger != FAIL or state.is_working


def _deferral_faults(states: Graph, transitions: Sequence[TransitionSpec]) -> Iterator[str]:
    """What is deferred or ignored and cannot be: nobody fires it, or a transition takes it before that."""
    known = {spec.trigger for spec in transitions}
    for state in states.values():
        for trigger in sorted(state.defer | state.ignore if not state.generated else ()):
            parameter = "defer" if trigger in state.defer else "ignore"
            if trigger not in known:
                hint = did_you_mean(trigger, known)
                yield f"state {state.name!r}: {parameter}= unknown trigger {shown(trigger)}{hint}"
            for spec in transitions:
                if (spec.trigger, spec.source) == (trigger, state.name) and not (spec.generated or spec.is_guarded):
                    yield (
                        f"state {state.name!r}: {parameter}= {trigger!r} never gets there, as transition "
                        f"{spec.position} takes it without a guard"
                    )


def _internal_faults(state: StateSpec, offered: Mapping[tuple[str, str], Sequence[TransitionSpec]]) -> Iterable[str]:
    ends = [trigger for trigger in (DONE, FAIL, UNDONE) if _fires(trigger, state)]
    ends += [TIMEOUT] if state.timer is not None and state.timer.bounds else []
    for trigger in ends:
        for spec in offered.get((trigger, state.name), ()):
            if spec.dest is None:
                yield (
                    f"transition {spec.position}: {trigger!r} from {state.name!r} is internal, so nothing would ever "
                    f"happen there again; name a dest, or '=' to enter it anew"
                )


def _shadow_faults(written: Sequence[Written], transitions: Sequence[TransitionSpec]) -> list[str]:
    closed: dict[tuple[str, str], int] = {}
    dead: dict[int, list[tuple[str, int]]] = {}
    living: set[int] = set()
    for spec in transitions:
        if spec.generated:
            continue
        before = closed.get((spec.trigger, spec.source))
        if before is None:
            living.add(spec.position)
            if not spec.is_guarded:
                closed[spec.trigger, spec.source] = spec.position
        else:
            dead.setdefault(spec.position, []).append((spec.source, before))
    faults = []
    for item in written:
        for source, before in dead.get(item.position, ()):
            if item.sources is None and item.position in living:
                break
            faults.append(
                f"{item.where}: {shown(item.trigger)} from {source!r} can never be reached, as transition {before} "
                f"stands before it without a guard"
            )
            if item.sources is None:
                break
    return faults


def _dead_end_faults(states: Graph, transitions: Sequence[TransitionSpec]) -> list[str]:
    leaving = {
        spec.source
        for spec in transitions
        if (not spec.generated or spec.trigger == UNDO or spec.undo)
        if spec.trigger != CANCEL and spec.dest not in (None, spec.source)
        # Written for a source by name, it is a fault of its own; by "*" it is none, and no way out either.
        if not spec.wildcard or _fires(spec.trigger, states[spec.source])
    }
    return [
        f"state {state.name!r} is a dead end: it is not final, and no transition but 'cancel' leads out of it"
        for state in states.values()
        if not state.generated and not state.is_final and state.name not in leaving
    ]


def _names_unknown(states: Graph, written: Sequence[Written]) -> bool:
    """Whether a transition names a state that there is not: what is out of reach may be so for that alone."""
    named = {name for item in written for name in (*(item.sources or ()), item.dest)}
    return not named <= {None, "=", UNDO, *states}


def _unreachable_faults(initial: str, states: Graph, transitions: Sequence[TransitionSpec]) -> list[str]:
    if initial not in states:
        return []
    found = reached(initial, transitions)
    return [
        f"state {state.name!r} can never be reached from the initial state {initial!r}"
        for state in states.values()
        if not state.generated and state.name not in found and state.name not in (CANCELLED, UNDONE)
    ]


def reached(start: str, transitions: Sequence[TransitionSpec]) -> set[str]:
    """The states that can be reached from one, itself included, whatever guards say."""
    onward: dict[str, set[str]] = {}
    for spec in transitions:
        if spec.dest:
            onward.setdefault(spec.source, set()).add(spec.dest)
    found, frontier = {start}, [start]
    while frontier:
        for state in onward.get(frontier.pop(), ()):
            if state not in found:
                found.add(state)
                frontier.append(state)
    return found
