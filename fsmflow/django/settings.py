"""``settings.FSMFLOW``: what an installation of fsmflow goes by in a project of Django.

FSMFLOW = {"DATABASE": "default", "REDIS_URL": "redis://localhost/0"}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import module_has_submodule

from fsmflow import settings as settings_of
from fsmflow.django import machines
from fsmflow.django.host import LABEL
from fsmflow.errors import ConfigurationError, did_you_mean, shown
from fsmflow.settings import alarms, channels, permissions

#: The name of it there.
NAME: Final = "FSMFLOW"
#: The alias of the database, and what is called as fsmflow's own settings are.
KEYS: Final = (
    *("DATABASE", "REDIS_URL", "MACHINES", "HOME", "RELEASE", "MAX_JOBS", "MAX_MEMORY", "PERMISSIONS", "CHANNELS"),
    *("ALARMS", "SEARCH_TIMEOUT", "WEB_URL", "USERS", "ASYNC_THREADS", "RUN_ON", "QUEUE_LIMITS", "QUEUES", "SCHEMA"),
)
#: What may be a file of TOML too.
_FILES: Final[Mapping[str, Callable[[str], Any]]] = {
    "permissions": permissions.read_file,
    "channels": channels.read_file,
    "alarms": alarms.read_file,
}
#: Where a process finds the apps: a worker imports it first.
_SETUP: Final = "fsmflow.django.setup"
_MACHINES: Final = "machines"


def configure() -> None:
    """Work with what the project's settings say now; what they do not say comes from the environment. Opens nothing.
    Raises ConfigurationError."""
    given = read()
    options = {key.lower(): value for key, value in given.items() if key not in ("DATABASE", "RELEASE")}
    files: dict[str, Any] = {
        name: read_file(str(options.pop(name))) for name, read_file in _FILES.items() if _is_file(options, name)
    }
    options.setdefault("machines", found_machines())
    settings_of.configure(database_url=f"django://{alias()}", **options)
    if "RELEASE" in given:
        files["release"] = str(given["RELEASE"])
    chosen = settings_of.current()
    if machines.read_tasks():
        files["machines"] = (*chosen.machines, machines.__name__)
    settings_of.choose(replace(chosen, setup=_SETUP, **files))


def read() -> dict[str, Any]:
    """``settings.FSMFLOW`` as it is. Raises ConfigurationError for what means nothing there."""
    given = getattr(settings, NAME, {})
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"settings.{NAME} is {shown(given)}; it is a dict, as {{'DATABASE': 'default'}}")
    for key in given:
        if key == "DATABASE_URL":
            raise ConfigurationError(
                f"settings.{NAME} has a DATABASE_URL; the database is one of DATABASES, and DATABASE is its alias"
            )
        if key not in KEYS:
            near = did_you_mean(str(key).upper().removeprefix("FSMFLOW_"), KEYS) or f"; it takes {', '.join(KEYS)}"
            raise ConfigurationError(f"settings.{NAME} has {shown(key)}, which means nothing{near}")
    return dict(given)


def alias() -> str:
    """Which of DATABASES fsmflow works on."""
    return str(read().get("DATABASE", "default"))


def found_machines() -> list[str]:
    """The modules and packages ``machines`` of the apps, in their order. Imports none of them."""
    return [
        f"{config.name}.{_MACHINES}"
        for config in apps.get_app_configs()
        if config.module is not None and config.label != LABEL and module_has_submodule(config.module, _MACHINES)
    ]


def _is_file(options: Mapping[str, Any], name: str) -> bool:
    return isinstance(options.get(name), (str, Path))
