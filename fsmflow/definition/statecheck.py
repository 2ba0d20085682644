"""Checks the states of a machine one by one, and compiles each."""

from __future__ import annotations

from typing import Any

from fsmflow.definition.bind import Binder, as_list, ref_name
from fsmflow.definition.model import StateSpec, Timer
from fsmflow.definition.names import (
    CANCELLED,
    DONE,
    FAILED,
    FAILED_PREFIX,
    FINISHED,
    TIMEOUT,
    UNDOING_PREFIX,
    UNDONE,
    WAITING,
    WORKING,
    failed_from,
    name_fault,
)
from fsmflow.definition.retry import Retry, as_seconds, is_duration, retry_faults
from fsmflow.definition.states import DEFAULT_LIMIT, NOT_YET_IN_STATES, STATE_DEFAULTS, UNSET, State
from fsmflow.errors import did_you_mean, shown

MIN_LIMIT_S = 0.001


class StateCompiler:
    """Compiles declared states one by one; collects a fault for each thing that is wrong."""

    def __init__(self, binder: Binder, faults: list[str]) -> None:
        self._binder = binder
        self._faults = faults
        self._seen: set[str] = set()

    def compile(self, state: State) -> StateSpec | None:
        """The compiled state, or None where it has no usable name."""
        if not self._name_is_good(state.name):
            return None
        name = str(state.name)
        self._check_not_yet(state)
        phase = FINISHED if state.final is True else WORKING if state.job is not None else WAITING
        if not isinstance(state.final, bool):
            self._fault(name, f"final={shown(state.final)}; it is True or False")
        if name in (CANCELLED, UNDONE) and phase != FINISHED:
            self._fault(name, f"{name!r} keeps its meaning and can only be declared with final=True")
        self._check_belongs(state, phase)
        job = None
        if state.job is not None:
            job = self._binder.callable(state.job, "job", f"state {name!r}", may_be_async=True)
        return StateSpec(
            name=name,
            phase=phase,
            job=job,
            job_name=ref_name(state.job) if state.job is not None else "",
            retry=self._retry(state),
            limit_ms=self._limit(state) if phase == WORKING else None,
            timer=self._timer(state) if phase == WAITING else None,
            queue=self._queue(state),
        )

    def callbacks(self, state: State, moment: str) -> tuple[Any, ...]:
        """The bound callbacks ``on_enter`` or ``on_exit``, without the methods named after the state."""
        return self._binder.callbacks(getattr(state, moment), moment, f"state {state.name!r}")

    def _fault(self, name: str, sentence: str) -> None:
        self._faults.append(f"state {name!r}: {sentence}")

    def _name_is_good(self, name: object) -> bool:
        fault = name_fault(name)
        if fault is None and str(name).startswith((FAILED_PREFIX, UNDOING_PREFIX)):
            fault = f"{name!r} begins like the states that fsmflow makes itself; choose another name"
        if fault is None and name in self._seen:
            fault = f"state {name!r} is declared twice"
        if fault is not None:
            self._faults.append(f"states: {fault}")
            return False
        self._seen.add(str(name))
        return True

    def _check_not_yet(self, state: State) -> None:
        for parameter in NOT_YET_IN_STATES:
            given = getattr(state, parameter)
            if given is not None and given is not STATE_DEFAULTS[parameter]:
                self._fault(str(state.name), f"{parameter}= is not available in this release of fsmflow; leave it out")

    def _check_belongs(self, state: State, phase: str) -> None:
        given = [name for name in ("job", "retry", "delay", "queue") if getattr(state, name) is not None]
        if state.timeout is not UNSET:
            given.append("timeout")
        wrong = {
            FINISHED: ("job", "retry", "delay", "queue", "timeout"),
            WORKING: ("delay",),
            WAITING: ("retry", "queue"),
        }
        reasons = {FINISHED: "a final state does nothing", WORKING: "it has a job", WAITING: "it has no job"}
        for parameter in wrong[phase]:
            if parameter in given:
                self._fault(str(state.name), f"{parameter}= does not belong here: {reasons[phase]}")
        if phase == WAITING and state.delay is not None and state.timeout not in (UNSET, None):
            self._fault(str(state.name), "has both timeout= and delay=; which of them should fire?")

    def _retry(self, state: State) -> Retry | None:
        if state.retry is None:
            return None
        faults = retry_faults(state.retry)
        for fault in faults:
            self._fault(str(state.name), fault)
        return None if faults else state.retry

    def _limit(self, state: State) -> int | None:
        limit = DEFAULT_LIMIT if state.timeout is UNSET else state.timeout
        if limit is None:
            return None
        if not is_duration(limit, least=MIN_LIMIT_S):
            self._fault(
                str(state.name), f"timeout={shown(limit)}; of a job it is seconds or a timedelta above 0, or None"
            )
            return None
        return max(1, round(as_seconds(limit) * 1000))  # type: ignore[arg-type]

    def _timer(self, state: State) -> Timer | None:
        trigger, parameter = (DONE, "delay") if state.delay is not None else (TIMEOUT, "timeout")
        after = state.delay if state.delay is not None else None if state.timeout is UNSET else state.timeout
        if after is None:
            return None
        if isinstance(after, str) or callable(after):
            bound = self._binder.callable(after, parameter, f"state {state.name!r}")
            return Timer(trigger=trigger, after=0 if bound is None else bound)
        if not is_duration(after):
            expected = "it is seconds or a timedelta from 0, or a method that returns one"
            self._fault(str(state.name), f"{parameter}={shown(after)}; {expected}")
            after = 0
        # A wrong one stands for a timer still: what it fires is wanted either way.
        return Timer(trigger=trigger, after=after)

    def _queue(self, state: State) -> Any:
        queue = state.queue
        if queue is None:
            return "default"
        if callable(queue):
            return self._binder.callable(queue, "queue", f"state {state.name!r}") or "default"
        if not isinstance(queue, str) or not queue or len(queue) > 100 or not queue.isprintable() or "," in queue:
            self._fault(str(state.name), f"queue={shown(queue)}; it is a name of 1 to 100 characters without a comma")
            return "default"
        return queue


def generated_states(states: dict[str, StateSpec]) -> dict[str, StateSpec]:
    """The states that nobody draws: ``failed_from_X`` for each working X, and ``cancelled``."""
    made = {
        failed_from(name): StateSpec(name=failed_from(name), phase=FAILED, generated=True, failed_from=name)
        for name, spec in states.items()
        if spec.is_working
    }
    if CANCELLED not in states:
        made[CANCELLED] = StateSpec(name=CANCELLED, phase=FINISHED, generated=True)
    return made


def method_callbacks(owner: type, states: dict[str, StateSpec], faults: list[str]) -> dict[str, dict[str, list[str]]]:
    """The methods ``on_enter_<state>`` and ``on_exit_<state>`` of a class, by state and moment."""
    found: dict[str, dict[str, list[str]]] = {}
    for attribute in dir(owner):
        for moment in ("on_enter", "on_exit"):
            if not attribute.startswith(moment + "_"):
                continue
            state = attribute.removeprefix(moment + "_")
            if state in states:
                found.setdefault(state, {})[moment] = as_list(attribute)
            else:
                faults.append(f"method {attribute!r}: there is no state {state!r}{did_you_mean(state, states)}")
    return found
