"""What a test plans to go wrong: attempts that fail, and attempts whose worker is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fsmflow.definition.model import Bound, Definition, StateSpec
from fsmflow.definition.subject import Subject
from fsmflow.engine.registry import Registry
from fsmflow.errors import FsmflowError, UnknownMachine, did_you_mean, shown
from fsmflow.running.jobview import JobView
from fsmflow.settings import MachineSource
from fsmflow.values import dataclass


class SandboxError(FsmflowError):
    """A sandbox was asked for what it cannot do, or it found that what it runs never ends."""


class Killed(BaseException):
    """Raised in place of the settlement of an attempt whose worker is dead by plan: what follows is not done."""


@dataclass
class _Plan:
    """What the next ``times`` attempts of a name meet: an error, or, without one, the death of their worker."""

    name: str
    times: int
    error: BaseException | type[BaseException] | None = None
    after_job: bool = False


class Faults:
    """The plans, in the order in which they were made. Any thread may run what meets them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: list[_Plan] = []
        self._killed: set[str] = set()

    def fail(self, name: str, error: BaseException | type[BaseException], times: int) -> None:
        """The next ``times`` attempts raise ``error`` and run no job."""
        is_error = isinstance(error, BaseException) or (isinstance(error, type) and issubclass(error, BaseException))
        if not is_error:
            raise SandboxError(f"fail({name!r}, {shown(error)}): give the exception that the job is to raise")
        self._add(_Plan(name, times, error=error))

    def crash(self, name: str, times: int, *, after_job: bool) -> None:
        """The next ``times`` attempts are lost: before their job has begun, or ``after_job``."""
        self._add(_Plan(name, times, after_job=after_job))

    def _add(self, plan: _Plan) -> None:
        if isinstance(plan.times, bool) or not isinstance(plan.times, int) or plan.times < 1:
            raise SandboxError(f"times={shown(plan.times)}; it is a whole number from 1")
        with self._lock:
            self._plans.append(plan)

    def is_killed(self, owner: str) -> bool:
        """Whether the worker that holds this claim is dead by plan."""
        return owner in self._killed

    def wrap(self, job: Bound, names: tuple[str, ...]) -> Bound:
        """The job as it runs in the sandbox: it meets what is planned for one of its names."""

        def run(machine: Subject[JobView], *more: Any) -> Any:
            plan = self._take(names)
            if plan is None:
                return job(machine, *more)
            if plan.error is not None:
                # One error may be raised many times, and would collect the tracebacks of all.
                raise plan.error.with_traceback(None) if isinstance(plan.error, BaseException) else plan.error
            self._killed.add(machine._view.claim.owner)
            return job(machine, *more) if plan.after_job else None

        return run

    def _take(self, names: tuple[str, ...]) -> _Plan | None:
        with self._lock:
            found = next((plan for plan in self._plans if plan.name in names), None)
            if found is not None:
                found.times -= 1
                if not found.times:
                    self._plans.remove(found)
            return found


class FaultyRegistry(Registry):
    """The machines, whose jobs meet what is planned for them."""

    def __init__(self, sources: Iterable[MachineSource], faults: Faults) -> None:
        super().__init__(sources)
        self._faults = faults
        self._wrapped: dict[str, Definition] = {}
        #: The machine that was asked for and is not there, if any.
        self.missing: UnknownMachine | None = None

    def get(self, name: str) -> Definition:
        """The machine of this name, its jobs wrapped. Raises UnknownMachine, and remembers it."""
        wrapped = self._wrapped.get(name)
        if wrapped is None:
            try:
                found = super().get(name)
            except UnknownMachine as error:
                self.missing = error
                raise
            wrapped = self._wrapped[name] = _wrapped(found, self._faults)
        return wrapped

    def check_name(self, name: str) -> None:
        """Raise SandboxError where no state has a job of this name, and no state of this name has a job."""
        specs = [spec for definition in self.all().values() for spec in definition.states.values()]
        known = {known for spec in specs if spec.is_working for known in (spec.name, *_job_names(spec))}
        if name in known:
            return
        if any(spec.name == name for spec in specs):
            raise SandboxError(f"state {name!r} has no job that could fail; jobs are run by: {_listed(known)}")
        hint = did_you_mean(name, known)
        raise SandboxError(f"there is no job and no state {shown(name)}{hint}; those with a job are: {_listed(known)}")


def _wrapped(definition: Definition, faults: Faults) -> Definition:
    branches = {state: _wrapped_branch(branch, faults) for state, branch in definition.branches.items()}
    return replace(definition, states=_wrapped_states(definition, faults), branches=branches)


def _wrapped_states(definition: Definition, faults: Faults, *more: str) -> dict[str, StateSpec]:
    def wrapped(spec: StateSpec) -> StateSpec:
        if spec.job is None:
            return spec
        return replace(spec, job=faults.wrap(spec.job, (spec.name, *_job_names(spec), *more)))

    return {name: wrapped(spec) for name, spec in definition.states.items()}


def _wrapped_branch(branch: Definition, faults: Faults) -> Definition:
    # Side by side each branch runs another job, and only that is meant by its name, or by that of the branch.
    named = {name: replace(own, states=_wrapped_states(own, faults, name)) for name, own in branch.branches.items()}
    return replace(branch, states=_wrapped_states(branch, faults), branches=named)


def _job_names(spec: StateSpec) -> tuple[str, ...]:
    """What the jobs of a state may be called: a dotted path also by its last part."""
    named = spec.fan.named if spec.fan is not None else ()
    jobs = [name for branch in named for name in (branch.name, branch.job_name) if branch.job is not None]
    written = [*jobs, *([spec.job_name] if spec.job_name and not jobs else [])]
    return tuple(dict.fromkeys(name for full in written for name in (full, full.rpartition(".")[2])))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
