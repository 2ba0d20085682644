"""Checks the states of a machine one by one, and compiles each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsmflow.definition.bind import Binder, as_list, ref_name
from fsmflow.definition.fanout import FanCompiler
from fsmflow.definition.limits import read_limits
from fsmflow.definition.model import Bound, Fan, StateSpec, Timer, is_queue, most_of
from fsmflow.definition.names import (
    CANCELLED,
    DONE,
    ENGINE_TRIGGERS,
    FAILED_PREFIX,
    FINISHED,
    PHASES,
    TIMEOUT,
    UNDO,
    UNDOING_PREFIX,
    UNDONE,
    WAITING,
    WORKING,
    name_fault,
)
from fsmflow.definition.parse import plain_name
from fsmflow.definition.priority import NORMAL, PRIORITIES
from fsmflow.definition.retry import Retry, as_seconds, is_duration, retry_faults
from fsmflow.definition.state import DEFAULT_LIMIT, UNSET, State
from fsmflow.errors import did_you_mean, shown

MIN_LIMIT_S = 0.001
MIN_SILENCE_S = 1.0
MAX_TRANSACTION_S = 60
_FLAGS = ("wait", "transactional", "at_most_once", "thread", "final")
#: What a state may have beside its timeout and its flags; a final one has none of it.
_OPTIONAL = (
    *("job", "retry", "within", "heartbeat", "delay", "expect", "queue", "priority", "limits"),
    *("undo", "on_failure", "on_cancel", "defer"),
)
#: What only a state with a job may have.
_OF_JOBS = frozenset(
    {
        *("retry", "within", "heartbeat", "queue", "priority", "limits", "undo", "on_failure", "wait"),
        *("transactional", "at_most_once", "thread"),
    }
)


class StateCompiler:
    """Compiles declared states one by one; collects a fault for each thing that is wrong."""

    def __init__(self, binder: Binder, faults: list[str]) -> None:
        self._binder = binder
        self._faults = faults
        self._fans = FanCompiler(binder, self._fault)
        self._seen: set[str] = set()

    def compile(self, state: State) -> StateSpec | None:
        """The compiled state, or None where it has no usable name."""
        if not self._name_is_usable(state.name):
            return None
        name, fan = str(state.name), self._fans.compile(state)
        phase = FINISHED if state.final is True else WORKING if fan or state.job is not None else WAITING
        self._check_flags(state)
        if name in (CANCELLED, UNDONE) and phase != FINISHED:
            self._fault(name, f"{name!r} keeps its meaning and can only be declared with final=True")
        self._check_belongs(state, phase, fan)
        rests = state.wait is True or (fan is not None and fan.has_children)
        undo = None if state.undo is None else self._undo(state, state.undo)
        timer = self._timer(state) if phase == WAITING or rests or state.within is not None else None
        return StateSpec(
            name=name,
            phase=phase,
            job=None if state.job is None else self._job(state, state.job, "job"),
            job_name=_job_name(state, fan),
            retry=self._retry(state),
            limit_ms=self._limit(state, rests=rests) if phase == WORKING else None,
            limits_attempts=phase == WORKING and not rests and state.within is None and _is_given(state.timeout),
            heartbeat_ms=self._heartbeat(state),
            timer=timer,
            expect_ms=self._expect(state, timer),
            queue=self._queue(state),
            limits=read_limits(state.limits, f"state {name!r}: ", self._faults),
            priority=self._priority(state),
            waits=state.wait is True,
            fan=fan,
            undo=undo,
            undo_name=ref_name(state.undo) if state.undo is not None else "",
            undo_on_failure=self._undoes(state, "on_failure"),
            undo_on_cancel=self._undoes(state, "on_cancel"),
            transactional=state.transactional is True,
            at_most_once=state.at_most_once is True,
            thread=state.thread is True,
            defer=self._triggers(state, "defer"),
            kept_for=self._kept_for(state),
            ignore=self._triggers(state, "ignore"),
        )

    def _job(self, state: State, ref: Any, role: str) -> Bound | None:
        takes_item = role == "job" and state.each is not None
        return self._binder.callable(ref, role, f"state {state.name!r}", may_be_async=True, takes_item=takes_item)

    def _undo(self, state: State, ref: Any) -> Bound | None:
        """The compensation. Where the job takes an item, it may take that too."""
        where = f"state {state.name!r}"
        if state.each is None or state.job is None or not self._binder.takes_item(ref):
            return self._job(state, ref, "undo")
        undo = self._binder.callable(ref, "undo", where, may_be_async=True, takes_item=True)
        return undo and _with_item(undo)

    def _check_flags(self, state: State) -> None:
        for flag in _FLAGS:
            if not isinstance(getattr(state, flag), bool):
                self._fault(str(state.name), f"{flag}={shown(getattr(state, flag))}; it is True or False")

    def _undoes(self, state: State, parameter: str) -> bool:
        value = getattr(state, parameter)
        if value not in (None, UNDO):
            self._fault(str(state.name), f"{parameter}={shown(value)}; it is 'undo', or left out")
        return bool(value == UNDO)

    def _triggers(self, state: State, parameter: str) -> frozenset[str]:
        names = [plain_name(name) for name in _names_in(getattr(state, parameter))]
        for name in names:
            fault = name_fault(name)
            if fault is None and name in (*ENGINE_TRIGGERS, TIMEOUT):
                fault = f"{name!r} is fired by fsmflow itself, which never comes too early"
            if fault:
                self._fault(str(state.name), f"{parameter}= {fault}")
        return frozenset(name for name in names if isinstance(name, str))

    def _kept_for(self, state: State) -> dict[str, int]:
        if not isinstance(state.defer, Mapping):
            return {}
        limits = {str(plain_name(name)): limit for name, limit in state.defer.items() if limit is not None}
        for name, limit in limits.items():
            if not is_duration(limit, least=MIN_LIMIT_S):
                self._fault(
                    str(state.name),
                    f"defer= keeps {name!r} for {shown(limit)}; that is seconds or a timedelta, or None for any time",
                )
        return {
            name: round(as_seconds(limit) * 1000)
            for name, limit in limits.items()
            if is_duration(limit, least=MIN_LIMIT_S)
        }

    @staticmethod
    def _is_job(state: State, ref: Any) -> bool:
        """Whether a name is that of a job of this state. To ask it for a queue would run it."""
        return any(plain_name(ref) == plain_name(job) for job in (state.job, state.undo, *as_list(state.jobs)))

    def callbacks(self, state: State, moment: str) -> tuple[Any, ...]:
        """The bound callbacks ``on_enter`` or ``on_exit``, without the methods named after the state."""
        return self._binder.callbacks(getattr(state, moment), moment, f"state {state.name!r}")

    def _fault(self, name: str, sentence: str) -> None:
        self._faults.append(f"state {name!r}: {sentence}")

    def _name_is_usable(self, name: object) -> bool:
        """Whether it can be told from others. One that is refused is compiled all the same: that what names it is
        unknown, or leads nowhere, would follow from that fault alone."""
        fault = name_fault(name)
        if fault is None and str(name).startswith((FAILED_PREFIX, UNDOING_PREFIX)):
            fault = f"{name!r} begins like the states that fsmflow makes itself; choose another name"
        if fault is None and name in PHASES:
            fault = f"{name!r} is the name of a phase, so that wait({name!r}) could mean either; choose another name"
        if fault is None and name == UNDO:
            fault = f"{name!r} as a dest means that all is undone; choose another name for the state"
        if fault is None and name in self._seen:
            fault = f"state {name!r} is declared twice"
        if fault is not None:
            self._faults.append(f"states: {fault}")
        is_usable = isinstance(name, str) and name != UNDO and name not in self._seen
        if isinstance(name, str):
            self._seen.add(name)
        return is_usable

    def _check_belongs(self, state: State, phase: str, fan: Fan | None) -> None:
        given = {name for name in _OPTIONAL if getattr(state, name) is not None}
        given |= {flag for flag in ("wait", "transactional", "at_most_once", "thread") if getattr(state, flag) is True}
        if state.timeout is not UNSET:
            given.add("timeout")
        wrong = {FINISHED: {*_OPTIONAL, *_OF_JOBS, "timeout"}, WORKING: {"delay"}, WAITING: _OF_JOBS}
        reasons = {FINISHED: "a final state does nothing", WORKING: "it has a job", WAITING: "it has no job"}
        for parameter in sorted(given & wrong[phase]):
            self._fault(str(state.name), f"{parameter}= does not belong here: {reasons[phase]}")
        if fan is not None and fan.has_children:
            for parameter in sorted(given & {"transactional", "at_most_once", "thread", "heartbeat", "limits"}):
                self._fault(str(state.name), f"{parameter}= does not belong here: the children have jobs of their own")
        if phase == WAITING and state.delay is not None and state.timeout not in (UNSET, None):
            self._fault(str(state.name), "has both timeout= and delay=; which of them should fire?")
        if phase == WORKING:
            self._check_limits(state, rests=state.wait is True or (fan is not None and fan.machine is not None))
        both = self._triggers_of(state.defer) & self._triggers_of(state.ignore)
        for trigger in sorted(both):
            self._fault(str(state.name), f"{shown(trigger)} is in defer= and in ignore=; which of them is meant?")

    def _check_limits(self, state: State, *, rests: bool) -> None:
        if rests and state.within is not None and _is_given(state.timeout):
            self._fault(
                str(state.name), "has both within= and timeout=, which here both say how long it may last; give one"
            )
        for flag in ("transactional", "at_most_once"):
            if state.thread is True and getattr(state, flag) is True:
                self._fault(str(state.name), f"thread= does not belong here: with {flag}= nothing runs beside the job")
        if state.heartbeat is not None and state.transactional is True:
            self._fault(
                str(state.name),
                "heartbeat= does not belong here: a transactional job gives no sign before its commit",
            )

    def _heartbeat(self, state: State) -> int | None:
        silence = state.heartbeat
        if silence is None:
            return None
        if not is_duration(silence, least=MIN_SILENCE_S):
            self._fault(
                str(state.name),
                f"heartbeat={shown(silence)}; it is seconds or a timedelta of at least {MIN_SILENCE_S:g} s: for so "
                f"long the job may be silent",
            )
            return None
        return round(as_seconds(silence) * 1000)

    def _expect(self, state: State, timer: Timer | None) -> int | None:
        if state.expect is None:
            return None
        if not is_duration(state.expect, least=MIN_LIMIT_S):
            self._fault(
                str(state.name),
                f"expect={shown(state.expect)}; it is seconds or a timedelta above 0: how long a stay is expected to "
                f"last",
            )
            return None
        expected = round(as_seconds(state.expect) * 1000)
        if timer is not None and is_duration(timer.after) and round(as_seconds(timer.after) * 1000) <= expected:  # type: ignore[arg-type]
            self._fault(
                str(state.name),
                f"expect={shown(state.expect)} says nothing: {timer.parameter}= ends a stay before it is overdue",
            )
        return expected

    @staticmethod
    def _triggers_of(value: Any) -> set[str]:
        return {name for name in map(plain_name, _names_in(value)) if isinstance(name, str)}

    def _retry(self, state: State) -> Retry | None:
        if state.retry is None:
            return None
        faults = retry_faults(state.retry)
        for fault in faults:
            self._fault(str(state.name), fault)
        return None if faults else state.retry

    def _limit(self, state: State, *, rests: bool) -> int | None:
        """The limit of an attempt. Where the entity ``rests`` in the state, ``timeout`` limits its stay instead."""
        most = MAX_TRANSACTION_S if state.transactional is True else None
        limit = (most or DEFAULT_LIMIT) if state.timeout is UNSET or rests else state.timeout
        if most and (limit is None or (is_duration(limit) and as_seconds(limit) > most)):  # type: ignore[arg-type]
            self._fault(str(state.name), f"timeout={shown(limit)}; of a transactional job it is {most} s at most")
            return most * 1000
        if limit is None:
            return None
        if not is_duration(limit, least=MIN_LIMIT_S):
            self._fault(
                str(state.name), f"timeout={shown(limit)}; of a job it is seconds or a timedelta above 0, or None"
            )
            return None
        return max(1, round(as_seconds(limit) * 1000))  # type: ignore[arg-type]

    def _timer(self, state: State) -> Timer | None:
        parameter = "delay" if state.delay is not None else "within" if state.within is not None else "timeout"
        trigger, bounds = DONE if parameter == "delay" else TIMEOUT, parameter == "within"
        after = getattr(state, parameter)
        if after is None or after is UNSET:
            return None
        if isinstance(after, str) or callable(after):
            bound = self._binder.callable(after, parameter, f"state {state.name!r}")
            return Timer(trigger=trigger, after=0 if bound is None else bound, bounds=bounds)
        if not is_duration(after):
            expected = "it is seconds or a timedelta from 0, or a method that returns one"
            self._fault(str(state.name), f"{parameter}={shown(after)}; {expected}")
            after = 0
        # A wrong one stands for a timer still: what it fires is wanted either way.
        return Timer(trigger=trigger, after=after, bounds=bounds)

    def _queue(self, state: State) -> Any:
        queue = state.queue
        if queue is None:
            return "default"
        if callable(queue) or (isinstance(queue, str) and self._binder.has_method(queue)):
            if self._is_job(state, queue):
                self._fault(
                    str(state.name),
                    f"queue={shown(ref_name(queue))} names its job; a queue and a method that is "
                    f"asked for one need names of their own",
                )
                return "default"
            return self._binder.callable(queue, "queue", f"state {state.name!r}") or "default"
        most = most_of(state.priority)
        if not is_queue(queue, most):
            wanted = f"it is a name of 1 to {most} characters without a comma"
            self._fault(str(state.name), f"queue={shown(queue)}; {wanted}")
            return "default"
        return queue

    def _priority(self, state: State) -> Any:
        priority = state.priority
        if priority is None or priority in PRIORITIES:
            return priority or NORMAL
        if callable(priority) or (isinstance(priority, str) and self._binder.has_method(priority)):
            return self._binder.callable(priority, "priority", f"state {state.name!r}") or NORMAL
        wanted = f"it is one of {', '.join(PRIORITIES)}, or a method that returns one"
        self._fault(str(state.name), f"priority={shown(priority)}; {wanted}")
        return NORMAL


def _names_in(value: Any) -> list[Any]:
    """The names of one, several or no triggers; those of a mapping that says more about each."""
    return list(value) if isinstance(value, Mapping) else as_list(value)


def _is_given(timeout: Any) -> bool:
    return timeout is not UNSET and timeout is not None


def _with_item(undo: Any) -> Bound:
    """An undo that takes what its branch was for."""

    def call(machine: Any) -> Any:
        return undo(machine, machine.undoing.item)

    call.__wrapped__ = undo  # type: ignore[attr-defined]
    return call


def _job_name(state: State, fan: Fan | None) -> str:
    if fan is not None and fan.named:
        return ", ".join(branch.job_name for branch in fan.named if branch.job_name)
    return ref_name(state.job) if state.job is not None else ""


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
                faults.append(
                    f"method {shown(attribute)}: there is no state {shown(state)}{did_you_mean(state, states)}"
                )
    return found
