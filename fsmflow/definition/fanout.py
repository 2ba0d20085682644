"""Checks and compiles what a state says of its branches: ``jobs``, ``each``, ``machine``, ``limit`` ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fsmflow.definition.bind import Binder, as_list, ref_name
from fsmflow.definition.guards import build_machine
from fsmflow.definition.model import Bound, Definition, Fan, StateSpec, TransitionSpec, Wide
from fsmflow.definition.names import (
    CANCEL,
    CANCELLED,
    DONE,
    FAIL,
    FAILED,
    FINISHED,
    RETRY,
    WORKING,
    failed_from,
    name_fault,
)
from fsmflow.definition.parse import plain_name
from fsmflow.definition.state import State
from fsmflow.definition.subject import BranchView, Subject
from fsmflow.errors import shown

BRANCH_FAILURES = ("wait", "stop")


class FanCompiler:
    """Compiles the fan-out of one state after the other. ``fault(state, sentence)`` is told what is wrong."""

    def __init__(self, binder: Binder, fault: Callable[[str, str], None]) -> None:
        self._binder = binder
        self._fault = fault

    def compile(self, state: State) -> Fan | None:
        """The fan-out of a state, None where it has none."""
        if state.jobs is None and state.each is None and state.machine is None:
            self._check_unused(state)
            return None
        self._check_together(state)
        name = str(state.name)
        if name == DONE:
            self._fault(
                name, "a state that fans out cannot be called 'done', as its branches end in a state of that name"
            )
        self._check_outcomes(state)
        each = self._each(state)
        return Fan(
            jobs=self._jobs(state) if state.jobs is not None else (),
            each=each,
            machine=self._machine(state),
            limit=self._limit(state),
            stops=self._stops(state),
        )

    def _check_unused(self, state: State) -> None:
        for parameter, given in (
            ("limit", state.limit is not None),
            ("branch_failure", state.branch_failure != "wait"),
        ):
            if given:
                self._fault(
                    str(state.name), f"{parameter}= belongs to jobs=, each= or machine=, and it has none of them"
                )

    def _check_together(self, state: State) -> None:
        name = str(state.name)
        given = [part for part in ("job", "jobs", "machine") if getattr(state, part) is not None]
        if len(given) > 1:
            self._fault(name, f"has {'= and '.join(given)}=; which of them does the work?")
        if state.jobs is not None and state.each is not None:
            self._fault(name, "has jobs= and each=; each= goes with job= or machine=")
        if given == [] and state.each is not None:
            self._fault(name, "has each=, but neither job= nor machine= says what is done with each item")
        if state.wait is not False:
            self._fault(
                name, "wait=True goes with job= alone; a state that fans out leaves when its branches have ended"
            )

    def _check_outcomes(self, state: State) -> None:
        """What a job returns is not known here, but what it says that it does."""
        jobs = state.jobs.values() if isinstance(state.jobs, Mapping) else as_list(state.jobs or state.job)
        for ref in jobs:
            if self._binder.may_return_outcome(ref):
                self._fault(
                    str(state.name),
                    f"job {ref_name(ref)!r} says that it returns an Outcome, and a branch has none: return a value, "
                    f"and let a guard of 'done' or 'branch_done' decide by it, as self.branches shows it",
                )

    def _jobs(self, state: State) -> tuple[tuple[str, Bound], ...]:
        refs = as_list(state.jobs)
        if not refs:
            self._fault(str(state.name), "jobs= is an empty list; which jobs should run side by side?")
        bound = [
            (ref_name(ref), self._binder.callable(ref, "job", f"state {state.name!r}", may_be_async=True))
            for ref in refs
        ]
        return tuple((name, job) for name, job in bound if job is not None)

    def _each(self, state: State) -> str | Bound | None:
        each = state.each
        if each is None:
            return None
        key = plain_name(each)
        if isinstance(key, str) and "." not in key and not self._binder.has_method(key):
            if not key:
                self._fault(str(state.name), "each= is empty; it is a key of data, or a method")
            return key
        return self._binder.callable(each, "each", f"state {state.name!r}", may_yield=True)

    def _machine(self, state: State) -> str | None:
        machine = state.machine
        if isinstance(machine, type):
            machine = vars(machine).get("name", machine)
        if machine is None:
            return None
        fault = name_fault(plain_name(machine))
        if fault:
            self._fault(str(state.name), f"machine= {fault}; it is the name of a machine")
            return None
        return str(plain_name(machine))

    def _limit(self, state: State) -> int | None:
        limit = state.limit
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            self._fault(str(state.name), f"limit={shown(limit)}; it is a whole number from 1: so many branches at once")
            return None
        return limit

    def _stops(self, state: State) -> bool:
        if state.branch_failure not in BRANCH_FAILURES:
            wanted = " or ".join(map(repr, BRANCH_FAILURES))
            self._fault(str(state.name), f"branch_failure={shown(state.branch_failure)}; it is {wanted}")
        return state.branch_failure == "stop"


def branch_definitions(name: str, owner: type, wide: Wide, states: Mapping[str, StateSpec]) -> dict[str, Definition]:
    """The small machine that each branch runs, by the state that fans out into job branches."""
    return {
        spec.name: _branch_definition(name, owner, wide, spec)
        for spec in states.values()
        if spec.fan is not None and spec.fan.machine is None
    }


def _branch_definition(name: str, owner: type, wide: Wide, parent: StateSpec) -> Definition:
    specs = _branch_states(parent)
    states = {spec.name: spec for spec in specs}
    rests = failed_from(parent.name)
    ways = [
        (DONE, parent.name, DONE),
        (FAIL, parent.name, rests),
        (RETRY, rests, parent.name),
        (CANCEL, parent.name, CANCELLED),
        (CANCEL, rests, CANCELLED),
    ]
    transitions = [
        TransitionSpec(trigger=trigger, source=source, dest=dest, generated=True) for trigger, source, dest in ways
    ]
    outgoing = {item: tuple(spec.trigger for spec in transitions if spec.source == item) for item in states}
    nothing: dict[str, Any] = {item: ([], []) for item in states}
    return Definition(
        name=name,
        owner=owner,
        initial=parent.name,
        version=wide.version,
        wide=Wide(version=wide.version, redact=wide.redact),
        summary=f"a branch of {parent.name!r}",
        states=states,
        transitions=tuple(transitions),
        machine=build_machine(name, parent.name, specs, nothing, transitions),
        outgoing=outgoing,
    )


def _branch_states(parent: StateSpec) -> tuple[StateSpec, ...]:
    work = replace(
        parent,
        phase=WORKING,
        job=_branch_job(parent.fan or Fan(), parent.job),
        fan=None,
        timer=None,
        undo=None,
        undoes=None,
        generated=True,
        undo_on_failure=False,
        undo_on_cancel=False,
        defer=frozenset(),
        kept_for={},
        ignore=frozenset(),
    )
    return (
        work,
        StateSpec(name=failed_from(parent.name), phase=FAILED, generated=True, failed_from=parent.name),
        StateSpec(name=DONE, phase=FINISHED, generated=True),
        StateSpec(name=CANCELLED, phase=FINISHED, generated=True),
    )


def _branch_job(fan: Fan, job: Bound | None) -> Bound | None:
    if fan.jobs:
        return _side_by_side(fan.jobs)
    if job is None or fan.undoes:
        return job
    return lambda machine: job(machine, machine.item)  # type: ignore[call-arg]


def _side_by_side(jobs: tuple[tuple[str, Bound], ...]) -> Bound:
    def run(machine: Subject[BranchView]) -> Any:
        _, job = jobs[machine._view.index]
        return job(machine)

    return run
