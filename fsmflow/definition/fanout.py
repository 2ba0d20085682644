"""Checks and compiles what a state says of its branches: ``jobs``, ``each``, ``machine``, ``only``, ``limit`` ..."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from fsmflow.definition.bind import Binder, as_list, ref_name
from fsmflow.definition.guards import build_machine
from fsmflow.definition.model import Bound, BranchSpec, Definition, Fan, StateSpec, TransitionSpec, Wide
from fsmflow.definition.names import (
    CANCEL,
    CANCELLED,
    DONE,
    FAIL,
    FAILED,
    FINISHED,
    RETRY,
    WORKING,
    branch_name_fault,
    failed_from,
    name_fault,
)
from fsmflow.definition.parse import plain_name
from fsmflow.definition.state import State
from fsmflow.errors import shown

BRANCH_FAILURES = ("wait", "stop")
#: Branches with names are written in one transaction: either all of a visit are there, or none.
MAX_NAMED: Final = 200


class FanCompiler:
    """Compiles the fan-out of one state after the other. ``fault(state, sentence)`` is told what is wrong."""

    def __init__(self, binder: Binder, fault: Callable[[str, str], None]) -> None:
        self._binder = binder
        self._fault = fault

    def compile(self, state: State) -> Fan | None:
        """The fan-out of a state, None where it has none."""
        if state.jobs is None and state.each is None and state.machine is None and state.machines is None:
            self._check_unused(state)
            return None
        self._check_together(state)
        name = str(state.name)
        if name == DONE:
            self._fault(
                name, "a state that fans out cannot be called 'done', as its branches end in a state of that name"
            )
        self._check_outcomes(state)
        each = self._source(state, "each", state.each)
        return Fan(
            named=(*self._jobs(state), *self._machines(state)),
            only=self._source(state, "only", state.only),
            each=each,
            machine=None if state.machine is None else self._machine(state, "machine=", state.machine),
            limit=self._limit(state),
            stops=self._stops(state),
        )

    def _check_unused(self, state: State) -> None:
        for parameter, given in (
            ("limit", state.limit is not None),
            ("branch_failure", state.branch_failure != "wait"),
        ):
            if given:
                kinds = "jobs=, each=, machine= or machines="
                self._fault(str(state.name), f"{parameter}= belongs to {kinds}, and it has none of them")
        if state.only is not None:
            self._fault(str(state.name), "only= belongs to jobs= or machines=, and it has none of them")

    def _check_together(self, state: State) -> None:
        name = str(state.name)
        given = [part for part in ("job", "jobs", "machine", "machines") if getattr(state, part) is not None]
        if len(given) > 1:
            self._fault(name, f"has {'= and '.join(given)}=; which of them does the work?")
        for part in ("jobs", "machines"):
            if getattr(state, part) is not None and state.each is not None:
                self._fault(name, f"has {part}= and each=; each= goes with job= or machine=")
        if state.only is not None and state.jobs is None and state.machines is None:
            self._fault(name, "only= picks among jobs= or machines=, and it has none of them")
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

    def _jobs(self, state: State) -> Iterable[BranchSpec]:
        for name, ref in self._named(state, "jobs", state.jobs, "which jobs should run side by side?"):
            job = self._binder.callable(ref, "job", f"state {state.name!r}", may_be_async=True)
            yield BranchSpec(name=name, job=job, job_name=ref_name(ref))

    def _machines(self, state: State) -> Iterable[BranchSpec]:
        for name, ref in self._named(state, "machines", state.machines, "of which machines are the children?"):
            yield BranchSpec(name=name, machine=self._machine(state, "machines=", ref))

    def _named(self, state: State, parameter: str, given: Any, question: str) -> list[tuple[str, Any]]:
        """The branches of ``jobs`` or ``machines`` by name: as it was given, or that of what they run."""
        if given is None:
            return []
        pairs = list(given.items()) if isinstance(given, Mapping) else _by_own_name(as_list(given))
        if not pairs:
            kind = "mapping" if isinstance(given, Mapping) else "list"
            self._fault(str(state.name), f"{parameter}= is an empty {kind}; {question}")
        if len(pairs) > MAX_NAMED:
            self._fault(str(state.name), f"{parameter}= has {len(pairs)} branches; {MAX_NAMED} are allowed")
        found: dict[str, Any] = {}
        for key, ref in pairs:
            name = plain_name(key)
            fault = branch_name_fault(name)
            if fault and not isinstance(given, Mapping):
                fault += f'. It was made of what it runs; give it another: {parameter}={{"name": ...}}'
            if name in found and fault is None:
                fault = f"two branches are called {name!r}"
            if fault:
                self._fault(str(state.name), f"{parameter}= {fault}")
            else:
                found[name] = ref
        return list(found.items())

    def _source(self, state: State, parameter: str, given: Any) -> str | Bound | None:
        """What ``each`` or ``only`` is read from: a key of data, or a method."""
        if given is None:
            return None
        key = plain_name(given)
        if isinstance(key, str) and "." not in key and not self._binder.has_method(key):
            if not key:
                self._fault(str(state.name), f"{parameter}= is empty; it is a key of data, or a method")
            return key
        return self._binder.callable(given, parameter, f"state {state.name!r}", may_yield=True)

    def _machine(self, state: State, parameter: str, machine: Any) -> str | None:
        name = plain_name(_machine_name(machine))
        fault = name_fault(name)
        if fault:
            self._fault(str(state.name), f"{parameter} {fault}; it is the name of a machine")
            return None
        return str(name)

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


def _machine_name(machine: Any) -> Any:
    return vars(machine).get("name", machine) if isinstance(machine, type) else machine


def _by_own_name(refs: list[Any]) -> list[tuple[str, Any]]:
    """Each reference by the name of what it is to; what comes again gets a number."""
    found: dict[str, Any] = {}
    for ref in refs:
        own = _own_name(ref)
        name, number = own, 1
        while name in found:
            number += 1
            name = f"{own}-{number}"
        found[name] = ref
    return list(found.items())


def _own_name(ref: Any) -> str:
    named = _machine_name(ref)
    return ref_name(ref if isinstance(named, type) else named).rpartition(".")[2]


def branch_definitions(name: str, owner: type, wide: Wide, states: Mapping[str, StateSpec]) -> dict[str, Definition]:
    """The small machine that each branch runs, by the state that fans out into job branches."""
    return {
        spec.name: _branch_definition(name, owner, wide, spec)
        for spec in states.values()
        if spec.fan is not None and not spec.fan.has_children
    }


def _branch_definition(name: str, owner: type, wide: Wide, parent: StateSpec) -> Definition:
    fan = parent.fan or Fan()
    specs = _branch_states(parent, None if fan.named else _branch_job(fan, parent.job))
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
    made = Definition(
        name=name,
        owner=owner,
        initial=parent.name,
        version=wide.version,
        wide=Wide(version=wide.version, redact=wide.redact, operators=wide.operators),
        summary=f"a branch of {parent.name!r}",
        states=states,
        transitions=tuple(transitions),
        machine=build_machine(name, parent.name, specs, nothing, transitions),
        outgoing=outgoing,
    )
    return replace(made, branches={branch.name: _named_definition(made, parent.name, branch) for branch in fan.named})


def _named_definition(made: Definition, state: str, branch: BranchSpec) -> Definition:
    spec = replace(made.states[state], job=branch.job, job_name=branch.job_name)
    return replace(made, summary=f"branch {branch.name!r} of {state!r}", states={**made.states, state: spec})


def _branch_states(parent: StateSpec, job: Bound | None) -> tuple[StateSpec, ...]:
    work = replace(
        parent,
        phase=WORKING,
        job=job,
        fan=None,
        timer=None,
        expect_ms=None,
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
    if job is None or fan.undoes:
        return job
    with_item: Callable[..., Any] = job

    async def awaited(machine: Any) -> Any:
        return await with_item(machine, machine.item)

    # It has to be known of it that it is to be awaited: it runs beside others then.
    return awaited if inspect.iscoroutinefunction(job) else lambda machine: with_item(machine, machine.item)
