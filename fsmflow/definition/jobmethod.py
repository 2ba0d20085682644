"""A method that is a job: workers run it, and who calls it on a handle, as if it were a trigger, is told so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fsmflow.definition.model import Bound, Definition
from fsmflow.definition.names import ENGINE_TRIGGERS, TIMEOUT, UNDO


class JobMethod:
    """Stands in the class for a method that is the job of ``states``. The class, a job and a callback get the method as
    it was written; a handle gets what raises TransitionNotAllowed when it is called, and what to fire instead."""

    def __init__(self, name: str, written: Any, states: tuple[str, ...]) -> None:
        self.written = written
        self._name = name
        self._states = states

    def __get__(self, machine: Any, owner: type | None = None) -> Any:
        refusal = None if machine is None else machine._view.job_refusal(self._name, self._states)
        if refusal is None:
            bind = getattr(type(self.written), "__get__", None)
            return self.written if bind is None else bind(self.written, machine, owner)

        def refuse(*arguments: Any, **options: Any) -> None:
            raise refusal

        return refuse() if isinstance(self.written, property) else refuse


def as_written(attribute: Any) -> Any:
    """An attribute of a class as its author wrote it."""
    return attribute.written if isinstance(attribute, JobMethod) else attribute


def guard_jobs(owner: type, base: type, definition: Definition) -> None:
    """Put a ``JobMethod`` before each method of a class that is a job of its states; ``base`` has none."""
    states = _states_by_job(definition)
    classes = [kind for kind in owner.__mro__ if kind is not object and not issubclass(base, kind)]
    for name in {name for kind in classes for name in vars(kind)}:
        found = next(vars(kind)[name] for kind in classes if name in vars(kind))
        written = as_written(found)
        jobs_of = states.get(id(_function(written)), ())
        if jobs_of:
            setattr(owner, name, JobMethod(name, written, jobs_of))
        elif found is not written:
            setattr(owner, name, written)  # the job of a class above, and none of this one


def _states_by_job(definition: Definition) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for spec in definition.states.values():
        named = spec.fan.named if spec.fan is not None else ()
        beside = [branch.job for branch in named if branch.job is not None]
        for job in (*([spec.job] if spec.job is not None else []), *beside):
            for function in _functions_of(job):
                found[id(function)] = (*found.get(id(function), ()), spec.name)
    return found


def _functions_of(job: Bound) -> Iterator[Any]:
    """A job as it was bound, and what it calls where it is a wrapper."""
    yield job
    if (inner := getattr(job, "__wrapped__", None)) is not None:
        yield inner


def _function(attribute: Any) -> Any:
    if isinstance(attribute, property):
        return attribute.fget
    return attribute.__func__ if isinstance(attribute, staticmethod | classmethod) else attribute


def triggers_to(definition: Definition, states: tuple[str, ...], source: str) -> tuple[str, ...]:
    """The triggers that lead to one of ``states``: those that start at ``source``, else those of the user anywhere,
    else ``undo``."""
    leading = [
        spec
        for spec in definition.transitions
        if spec.dest in states and spec.source != spec.dest and spec.trigger not in {*ENGINE_TRIGGERS, TIMEOUT}
    ]
    here = [spec for spec in leading if spec.source == source]
    anywhere = [spec for spec in leading if not spec.generated] or [spec for spec in leading if spec.trigger == UNDO]
    return tuple(dict.fromkeys(spec.trigger for spec in here or anywhere))
