"""On which Redis servers queues are, as it may be shown, and what is said there of queues that nobody has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fsmflow import clock, settings
from fsmflow.cli.places import redis_of, without_password
from fsmflow.definition.model import Definition
from fsmflow.definition.names import DELIVERIES, OPERATIONS
from fsmflow.definition.priority import queue_below
from fsmflow.dispatch.client import REDIS_ERRORS
from fsmflow.dispatch.doorbell import Doorbell
from fsmflow.errors import did_you_mean
from fsmflow.queries import queues_of
from fsmflow.settings import Settings
from fsmflow.settings.queues import is_variable, unused, variable_of, where
from fsmflow.store.sentence import first_line
from fsmflow.values import replace

NONE: Final = "none"


def servers_in_force(chosen: Settings) -> str:
    """The queues with a server of their own, as the settings name them: ``slow on redis://b``."""
    return "; ".join(f"{name} on {without_password(url)}" for name, url in chosen.queues.items()) or NONE


def source_of_servers(chosen: Settings) -> str:
    """Where that comes from: the variables, ``configure()``, or the default."""
    if chosen.queues != settings.from_environment().queues:
        return "configure()"
    return ", ".join(chosen.queues) or "default"


def all_servers(chosen: Settings) -> str:
    """The Redis of all queues, and those of some."""
    return f"{redis_of(chosen)}{f'; {servers_in_force(chosen)}' if chosen.queues else ''}"


def server_of(chosen: Settings, queue: str) -> str | None:
    """The server that a queue has for itself; None for that of all others."""
    url = where(chosen.queues, queue_below(queue))
    return None if url is None else without_password(url)


def strange_queues(chosen: Settings, known: Mapping[str, Definition]) -> list[str]:
    """What has a server of its own and is no queue that a machine names, in words."""
    names = [*dict.fromkeys(map(queue_below, queues_of(known.values()))), OPERATIONS, DELIVERIES]
    told = []
    for name in unused(chosen.queues, names) if known else ():
        near = did_you_mean(name, map(variable_of, names) if is_variable(name) else names)
        told.append(f"{name}: no machine here names a queue that is meant by it{near}")
    return told


def answers_of(chosen: Settings) -> list[dict[str, Any]]:
    """What each server says that some queues have for themselves."""
    by_url: dict[str, list[str]] = {}
    for name, url in chosen.queues.items():
        by_url.setdefault(url, []).append(name)
    return [
        {"queues": names, "url": without_password(url), **answer_of(replace(chosen, redis_url=url))}
        for url, names in by_url.items()
    ]


def answer_of(chosen: Settings) -> dict[str, Any]:
    """Which server answers, and takes jobs, or why none does."""
    doorbell = Doorbell(chosen, "", clock.local_now)
    try:
        version = doorbell.version()
        doorbell.check_writes()
        return {"answers": True, "version": version, "error": None}
    except REDIS_ERRORS as error:
        return {"answers": False, "version": None, "error": first_line(error)}
    finally:
        doorbell.forget()
