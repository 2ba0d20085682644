"""The machines of this app: one for each backend of TASKS that is fsmflow's. They are found as those of any app."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.utils.module_loading import import_string

#: Under which names they stand here.
_names: Final[list[str]] = []


def read_tasks() -> list[type[Any]]:
    """Make them anew, as TASKS is now. Where no backend is fsmflow's, no tasks are imported. Raises
    ConfigurationError."""
    makers = {}
    for name, given in getattr(settings, "TASKS", {}).items():
        try:
            makers[name] = getattr(import_string(given["BACKEND"]), "machine_of", None)
        except (ImportError, KeyError):
            continue  # Django tells of it
    ours = {name: make for name, make in makers.items() if make is not None}
    for make in ours.values():
        make.cache_clear()
    found = {f"backend {name}": make(name) for name, make in ours.items()}
    for name in _names:
        del globals()[name]
    globals().update(found)
    _names[:] = found
    return list(found.values())
