"""Queues with a Redis server of their own: ``FSMFLOW_REDIS_URL_SLOW``, or ``configure(queues={"slow": ...})``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fsmflow.errors import ConfigurationError, shown

_PREFIX = "FSMFLOW_REDIS_URL_"
_VARIABLE = re.compile(rf"{_PREFIX}[A-Z0-9_]+")


def variable_of(queue: str) -> str:
    """The variable that says where a queue is: FSMFLOW_REDIS_URL_SLOW_MAIL for ``slow-mail``. What is no letter of
    ASCII and no digit is written as ``_``, so that some queues share a variable."""
    return _PREFIX + re.sub("[^A-Z0-9]", "_", queue.upper())


def is_variable(name: str) -> bool:
    """Whether a variable of the environment says where a queue is."""
    return _VARIABLE.fullmatch(name) is not None


def meant_by(name: str) -> str | None:
    """The variable that was meant by one that is no such variable as it is written; None where it was none."""
    written = name.upper()
    return written if written != name and is_variable(written) else None


def in_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Each variable that says where a queue is, with its URL. An empty one counts as not set."""
    return {name: environment[name] for name in sorted(environment) if is_variable(name) and environment[name]}


def read_queues(value: Any, what: str) -> dict[str, str]:
    """Queues, or such variables, each with the URL of its server. Raises ConfigurationError, without any URL."""
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f'{what} is {type(value).__name__}; it takes a dict of queues and URLs, as in {{"slow": "redis://b"}}'
        )
    for name, url in value.items():
        if not isinstance(name, str) or not name.strip() or "," in name or not name.isprintable():
            raise ConfigurationError(f"{what} names {shown(name)}; it takes names of queues, as in slow")
        if not isinstance(url, str) or not url.strip():
            raise ConfigurationError(f"{what} has no URL for {name!r}; it takes one as in redis://host:6379/0")
    return dict(value)


def where(queues: Mapping[str, str], queue: str) -> str | None:
    """The URL of the server that a queue has for itself; None for that of all others. A name as it is goes before the
    variable."""
    return queues.get(queue) or queues.get(variable_of(queue))


def unused(queues: Mapping[str, str], known: Mapping[str, Any] | list[str]) -> list[str]:
    """What is said of queues and is said of none of these."""
    used = {*known, *map(variable_of, known)}
    return [name for name in queues if name not in used]
