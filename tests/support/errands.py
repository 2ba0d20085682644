"""Tasks of Django's, and what they have done."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from fsmflow.django.task_library import library
from tests.support.mounts import in_django

in_django()
task: Callable[[Any], Any] = import_module(library).task
with_context: Callable[[Any], Any] = import_module(library).task(takes_context=True)
done: list[str] = []


class Refused(Exception):
    """As a library of somebody's raises it."""


@task
def fetch(what: str, *, often: int = 1) -> dict[str, Any]:
    done.append(what)
    return {"fetched": [what] * often}


@with_context
async def try_it(context: Any, least: int) -> int:
    if context.attempt < least:
        raise Refused(f"attempt {context.attempt} of {context.task_result.id}")
    return int(context.attempt)


@task
def return_nothing_that_is_json() -> object:
    return object()
