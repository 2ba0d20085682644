"""Drains as objects, and how many processes are left on each host."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fsmflow.drains import Drain
from fsmflow.engine.runtime import Runtime
from fsmflow.objects.plain import iso


def object_of(drain: Drain, there: Counter[str] | None) -> dict[str, Any]:
    """A drain, and how many of the processes that are ``there`` are left on its host."""
    return {**vars(drain), "at": iso(drain.at), "processes": None if there is None else there[drain.host]}


def processes(runtime: Runtime) -> Counter[str] | None:
    """How many listen or end what they run, by host; None where Redis does not tell."""
    try:
        return Counter(each.host for each in runtime.doorbell.listeners())
    except runtime.doorbell.errors:
        return None
