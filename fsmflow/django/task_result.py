"""What an entity of a task is to Django: the task, and a ``TaskResult`` of it."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils.module_loading import import_string

from fsmflow import clock
from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.definition.names import FAILED, FINISHED
from fsmflow.django.task_library import Task, TaskError, TaskException, TaskResult, TaskResultStatus
from fsmflow.errors import ConfigurationError

#: The state in which a task runs, and the one in which it has.
RUNNING: Final = "running"
SUCCESSFUL: Final = "successful"


def task_of(data: Mapping[str, Any]) -> Any:
    """The task that was enqueued, as it was then. Raises ConfigurationError where the code has none by that path."""
    path = data["task"]
    try:
        found = import_string(path)
    except ImportError as error:
        raise ConfigurationError(f"the task {path!r} cannot be imported: {error}") from error
    if not isinstance(found, Task):
        raise ConfigurationError(f"{path!r} was a task as it was enqueued, and is none now")
    run_after = data.get("run_after")
    due = None if run_after is None else datetime.fromisoformat(run_after)
    try:
        return found.using(queue_name=data["queue"], run_after=due, backend=data["backend"])
    except TaskException:  # what is enqueued is run, whatever may be enqueued by now
        return found


def result_of(snapshot: Snapshot, lines: Sequence[HistoryEntry], task: Any = None) -> Any:
    """A ``TaskResult``. ``lines``: its history. Each attempt counts as a worker: which one it was, the log tells.

    When an attempt began is known once it has ended; of one that runs, when it was handed to the workers.
    """
    data, ended = snapshot.data, [entry for entry in lines if entry.attempt is not None]
    began = [entry.at - timedelta(seconds=entry.duration or 0) for entry in ended]
    status = _status(snapshot)
    if status == TaskResultStatus.RUNNING and snapshot.work is not None:
        began.append(clock.to_datetime(snapshot.work.rung_at or snapshot.entered_at))
    over = status in (TaskResultStatus.FAILED, TaskResultStatus.SUCCESSFUL)
    result = TaskResult(
        task=task_of(data) if task is None else task,
        id=snapshot.entity_id,
        status=status,
        enqueued_at=clock.to_datetime(snapshot.created_at),
        started_at=began[0] if began else None,
        last_attempted_at=began[-1] if began else None,
        finished_at=clock.to_datetime(snapshot.entered_at) if over else None,
        args=data["args"],
        kwargs=data["kwargs"],
        backend=data["backend"],
        errors=[_error(entry.failure) for entry in ended if entry.failure is not None],
        worker_ids=[f"attempt {number}" for number in range(1, len(began) + 1)],
    )
    object.__setattr__(result, "_return_value", data.get("return_value"))
    return result


def _status(snapshot: Snapshot) -> Any:
    if snapshot.phase == FAILED:
        return TaskResultStatus.FAILED
    if snapshot.phase == FINISHED:
        return TaskResultStatus.SUCCESSFUL if snapshot.state == SUCCESSFUL else TaskResultStatus.FAILED
    is_claimed = snapshot.state == RUNNING and snapshot.work is not None and snapshot.work.owner is not None
    return TaskResultStatus.RUNNING if is_claimed else TaskResultStatus.READY


def _error(failure: Failure) -> Any:
    """Its class with the module, which only the traceback has."""
    name = failure.error_type
    found = re.findall(rf"^([\w.]+\.{re.escape(name)})(?::|$)", failure.traceback, re.MULTILINE)
    path = found[-1] if found else f"builtins.{name}" if hasattr(builtins, name) else name
    return TaskError(exception_class_path=path, traceback=failure.traceback)
