"""Which database, which Redis, which machines: from ``configure()`` or from the environment, at first use."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from fsmflow.errors import ConfigurationError

DATABASE_URL = "FSMFLOW_DATABASE_URL"
REDIS_URL = "FSMFLOW_REDIS_URL"
MACHINES = "FSMFLOW_MACHINES"
HOME = "FSMFLOW_HOME"

MachineSource = str | ModuleType | type


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one process works with. Where a URL is None, the embedded server stands in."""

    database_url: str | None = field(default=None, repr=False)
    database: Any = None
    redis_url: str | None = field(default=None, repr=False)
    machines: tuple[MachineSource, ...] = ("machines",)
    home: Path = Path(".fsmflow")


class _Chosen:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.settings: Settings | None = None


_chosen = _Chosen()


def configure(
    *,
    database_url: str | None = None,
    database: Any = None,
    redis_url: str | None = None,
    machines: Iterable[MachineSource] | None = None,
    home: str | os.PathLike[str] | None = None,
) -> None:
    """Choose the database, Redis, machines and home of this process; what is not given comes from the environment.

    ``database`` is a peewee Database of yours: calls inside its ``atomic()`` then join that transaction. Opens
    nothing. May be called again: the next use works with the new settings. Raises ConfigurationError.
    """
    if database is not None and database_url is not None:
        raise ConfigurationError("configure() takes database= or database_url=, not both")
    if isinstance(machines, str):
        machines = _names(machines)
    chosen = from_environment()
    if database is not None or database_url is not None:
        chosen = replace(chosen, database=database, database_url=database_url)
    if redis_url is not None:
        chosen = replace(chosen, redis_url=redis_url)
    if machines is not None:
        chosen = replace(chosen, machines=tuple(machines))
    if home is not None:
        chosen = replace(chosen, home=Path(home))
    with _chosen.lock:
        _chosen.settings = chosen


def current() -> Settings:
    """The settings in force: those configured, else those of the environment as it is at the first call."""
    with _chosen.lock:
        if _chosen.settings is None:
            _chosen.settings = from_environment()
        return _chosen.settings


def chosen() -> Settings | None:
    """The settings in force; None where none have been asked for yet."""
    with _chosen.lock:
        return _chosen.settings


def choose(settings: Settings | None) -> None:
    """Put back what ``chosen`` said."""
    with _chosen.lock:
        _chosen.settings = settings


def from_environment() -> Settings:
    """The settings that the environment asks for. An empty variable counts as not set."""
    machines = _names(os.environ.get(MACHINES, ""))
    return Settings(
        database_url=os.environ.get(DATABASE_URL) or None,
        redis_url=os.environ.get(REDIS_URL) or None,
        machines=machines or ("machines",),
        home=Path(os.environ.get(HOME) or ".fsmflow"),
    )


def to_environment(settings: Settings) -> dict[str, str]:
    """The variables that give another process of this host the same settings.

    A Database object cannot be handed over: the module that configured it does so again where it is imported.
    Raises ConfigurationError for machines of the main script.
    """
    variables = {HOME: str(settings.home.absolute())}
    if settings.database_url:
        variables[DATABASE_URL] = settings.database_url
    if settings.redis_url:
        variables[REDIS_URL] = settings.redis_url
    variables[MACHINES] = ",".join(_module_name(source) for source in settings.machines)
    return variables


def _module_name(source: MachineSource) -> str:
    name = source if isinstance(source, str) else source.__name__ if isinstance(source, ModuleType) else None
    name = name or getattr(source, "__module__", "__main__")
    if name == "__main__":
        raise ConfigurationError(
            f"{source!r} is defined in the main script, which worker processes cannot import; "
            f"move it to a module and name that in FSMFLOW_MACHINES"
        )
    return str(name)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
