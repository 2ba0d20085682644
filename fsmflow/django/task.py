"""The machine of Django's tasks: an entity for each task that was enqueued."""

from __future__ import annotations

import re
from collections.abc import Coroutine
from datetime import datetime, timedelta
from functools import cache
from inspect import iscoroutine
from typing import Any, ClassVar, Final, cast

from fsmflow.decision.history import HistoryEntry
from fsmflow.definition.names import CANCELLED, FAILED, FINISHED
from fsmflow.definition.retry import Retry
from fsmflow.definition.state import State
from fsmflow.django.task_library import TaskContext, TaskResultStatus, normalize_json, signals, task_backends
from fsmflow.django.task_result import RUNNING, SUCCESSFUL, result_of, task_of
from fsmflow.errors import ConfigurationError, DefinitionError, did_you_mean
from fsmflow.machine import Machine

#: What OPTIONS may say of the state in which a task runs, and of the machine.
_OF_STATE: Final = ("retry", "timeout", "within", "heartbeat", "expect", "transactional", "at_most_once", "thread")
_OF_MACHINE: Final = ("name", "retention", "search", "redact", "tell", "alarms", "key_retention")
_OPTIONS: Final = (*_OF_STATE, *_OF_MACHINE)
#: For how long one is kept that has come to its end, where OPTIONS say nothing; what has failed is kept for good.
_KEPT: Final = timedelta(days=7)
#: The backend that a task has which names none.
DEFAULT: Final = "default"
ENQUEUE: Final = "enqueue"
_TRANSITIONS: Final = (
    (ENQUEUE, "new", "deferred", "is_early"),
    (ENQUEUE, "new", RUNNING),
    ("done", "deferred", RUNNING),
    ("done", RUNNING, SUCCESSFUL),
)


class TaskMachine(Machine):
    """What is the same for the tasks of all backends."""

    #: Of the backend: its alias, and the queues that workers listen to by themselves.
    alias: ClassVar[str]
    queues: ClassVar[tuple[str, ...]]

    def is_early(self) -> bool:
        return self.data.get("run_after") is not None

    def due_at(self) -> datetime:
        return datetime.fromisoformat(self.data["run_after"])

    def queue_name(self) -> str:
        return str(self.data["queue"])

    def call(self) -> Any:
        """Call the function of the task, or await it. Whoever listens to signals can make no attempt fail."""
        task, lines = task_of(self.data), self.history
        result = result_of(self._view.snapshot, lines, task)
        object.__setattr__(result, "status", TaskResultStatus.RUNNING)
        signals.task_started.send_robust(type(task_backends[self.alias]), task_result=result)
        context = (TaskContext(task_result=result),) if task.takes_context else ()
        returned = task.func(*context, *result.args, **result.kwargs)
        return _awaited(returned) if iscoroutine(returned) else _returned(returned)

    def on_transition(self, entry: HistoryEntry) -> None:
        """After the commit that ends it."""
        if self.phase in (FAILED, FINISHED):
            result = result_of(self._view.snapshot, self.history)
            signals.task_finished.send_robust(type(task_backends[self.alias]), task_result=result)


@cache
def machine_of(alias: str) -> type[TaskMachine]:
    """The machine of a backend, by its alias in TASKS. Raises ConfigurationError for OPTIONS that no machine takes."""
    backend = task_backends[alias]
    options = dict(backend.options)
    for key in options:
        if key not in _OPTIONS:
            near = did_you_mean(str(key), _OPTIONS) or f"; it takes {', '.join(_OPTIONS)}"
            raise ConfigurationError(f"TASKS[{alias!r}]['OPTIONS'] has {key!r}, which means nothing{near}")
    of_state = {"retry": Retry(max=0), **{key: options.pop(key) for key in _OF_STATE if key in options}}
    declared = {
        "__doc__": f"A task of Django's, enqueued by the backend {alias!r}.",
        "__module__": __name__,
        "name": "django_task" if alias == DEFAULT else f"django_task_{re.sub(r'[^a-z0-9]+', '_', alias.lower())}",
        "search": ("task",),
        "retention": {SUCCESSFUL: _KEPT, CANCELLED: _KEPT},
        "initial": "new",
        "states": _states(of_state),
        "transitions": _TRANSITIONS,
        **options,
        "alias": alias,
        "queues": tuple(sorted(backend.queues)),
    }
    try:
        return cast(type[TaskMachine], type("DjangoTask", (TaskMachine,), declared))
    except DefinitionError as error:
        raise ConfigurationError(f"TASKS[{alias!r}]['OPTIONS']: {error}") from error


def _returned(value: Any) -> dict[str, Any]:
    """Raises TypeError and ValueError for what is no JSON."""
    return {"return_value": normalize_json(value)}


async def _awaited(value: Coroutine[Any, Any, Any]) -> dict[str, Any]:
    return _returned(await value)


def _states(options: dict[str, Any]) -> list[State]:
    return [
        State("new"),
        State("deferred", delay="due_at"),
        State(RUNNING, job="call", queue="queue_name", **options),
        State(SUCCESSFUL, final=True),
        State(CANCELLED, final=True),
    ]
