"""A backend for the tasks of Django.

TASKS = {"default": {"BACKEND": "fsmflow.django.tasks.FsmflowBackend"}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.utils import timezone

from fsmflow.django.host import LABEL
from fsmflow.django.task import ENQUEUE, machine_of
from fsmflow.django.task_library import (
    BaseTaskBackend,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
)
from fsmflow.django.task_result import result_of
from fsmflow.engine.runtime import current
from fsmflow.errors import DataError, EntityNotFound
from fsmflow.ids import uuid7

_NO_APP: Final = "the backend {!r} of TASKS is fsmflow's, and 'fsmflow.django' is not in INSTALLED_APPS"


class FsmflowBackend(BaseTaskBackend):  # type: ignore[misc]
    """Each task is an entity: what ``transaction.atomic()`` encloses is one with it, and it is run after the commit.

    What is enqueued is run at least once, whoever dies. OPTIONS are those of a state and of a machine: ``retry``,
    ``timeout``, ``at_most_once``, ``transactional``, ``retention`` and others.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True

    #: The machine of the tasks of an alias. Raises ConfigurationError for OPTIONS that mean nothing.
    machine_of = staticmethod(machine_of)

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """In the transaction that is open, or one of its own. Raises InvalidTask, TypeError and ValueError for what is
        no JSON, and what ``start`` raises."""
        self.validate_task(task)
        run_after = task.run_after
        if run_after is not None and timezone.is_naive(run_after):
            run_after = timezone.make_aware(run_after)
        result = TaskResult(
            task=task,
            id=str(uuid7(current().now())),
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        data = {
            "task": task.module_path,
            "args": result.args,
            "kwargs": result.kwargs,
            "queue": task.queue_name,
            "backend": self.alias,
            "run_after": None if run_after is None else run_after.isoformat(),
        }
        machine_of(self.alias).start_or_trigger(result.id, ENQUEUE, data=data)
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """As it is now. Raises TaskResultDoesNotExist; ConfigurationError where its code is not there any more."""
        try:
            found = machine_of(self.alias).get(result_id)
            return result_of(found._view.snapshot, found.history)
        except (EntityNotFound, DataError):
            raise TaskResultDoesNotExist(result_id) from None

    def check(self, **_: Any) -> Iterable[CheckMessage]:
        """That the app is there, which knows its machine."""
        if apps.is_installed("fsmflow.django"):
            return []
        return [Error(_NO_APP.format(self.alias), hint="Add it, and run 'migrate'.", id=f"{LABEL}.E003")]
