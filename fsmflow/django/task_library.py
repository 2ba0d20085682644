"""The Tasks framework: Django's own where it has one, from Django 6 on; else that of the package ``django-tasks``."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import django

from fsmflow.errors import ConfigurationError

_THEIRS: Final = "django_tasks"
_OWN: Final = "django.tasks"


def _found() -> tuple[str, Any]:
    """Its name, and what reads values as JSON. Raises ConfigurationError where there is none."""
    if find_spec(_OWN) is not None:
        return _OWN, import_module("django.utils.json").normalize_json
    if find_spec(_THEIRS) is not None:
        return _THEIRS, import_module(f"{_THEIRS}.utils").normalize_json
    raise ConfigurationError(
        f"Django {django.get_version()} has no tasks, and the package that brings them is not there: 'pip install "
        f"django-tasks', or Django 6"
    )


library, normalize_json = _found()
_base, _backend = import_module(f"{library}.base"), import_module(f"{library}.backends.base")
_exceptions = import_module(f"{library}.exceptions")

task_backends: Final[Any] = import_module(library).task_backends
signals: Final[Any] = import_module(f"{library}.signals")
Task: Any = _base.Task
TaskContext: Any = _base.TaskContext
TaskError: Any = _base.TaskError
TaskResult: Any = _base.TaskResult
TaskResultStatus: Any = _base.TaskResultStatus
BaseTaskBackend: Any = _backend.BaseTaskBackend
TaskException: Any = _exceptions.TaskException
TaskResultDoesNotExist: Any = _exceptions.TaskResultDoesNotExist
