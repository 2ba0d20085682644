"""What ``manage.py check`` says of fsmflow: the database it is to work on, and the findings of ``fsmflow check``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.management import find_commands, load_command_class
from django.db import connections

from fsmflow import settings as settings_of
from fsmflow.cli.places import strange_channels, strange_permissions
from fsmflow.definition.advice import advice, refused
from fsmflow.django.host import LABEL
from fsmflow.django.management.commands.flush import Command
from fsmflow.django.settings import NAME, alias
from fsmflow.engine.registry import Registry
from fsmflow.errors import FsmflowError
from fsmflow.store.alias import open_alias

_FLUSH: Final = f"{Command.__module__}.{Command.__name__}"
#: How long a lock is waited for, by default, and what says otherwise.
_WAITS: Final = {
    "postgresql": ("for ever", '"options": "-c lock_timeout=5s"'),
    "mysql": ("50 s", '"init_command": "SET SESSION innodb_lock_wait_timeout = 5"'),
}


@register  # type: ignore[untyped-decorator]
def check_database(**_: Any) -> list[CheckMessage]:
    """That fsmflow can work on the alias that it is given, and how Django begins there."""
    name = alias()
    try:
        open_alias(f"django://{name}")
    except FsmflowError as error:
        return [Error(str(error), hint=f"settings.{NAME}['DATABASE'] is an alias of DATABASES.", id="fsmflow.E001")]
    connection = connections[name]
    mode = connection.settings_dict["OPTIONS"].get("transaction_mode") or ""
    if connection.vendor != "sqlite" or mode.upper() in ("IMMEDIATE", "EXCLUSIVE"):
        return []
    return [
        Warning(
            f"transaction.atomic() on {name!r} begins without a lock, so one that reads first is refused ('database is "
            f"locked') where others have written since.",
            hint=f"Write DATABASES[{name!r}]['OPTIONS']['transaction_mode'] = 'IMMEDIATE' (Django 5.1 or newer).",
            id="fsmflow.W001",
        )
    ]


@register(deploy=True)  # type: ignore[untyped-decorator]
def check_locks(**_: Any) -> list[CheckMessage]:
    """How long a trigger inside ``transaction.atomic()`` waits for a lock of somebody else's."""
    name = alias()
    if name not in connections:
        return []
    connection = connections[name]
    waits = _WAITS.get(connection.vendor)
    if waits is None or "lock" in str(connection.settings_dict["OPTIONS"]):
        return []
    told = f"A trigger inside transaction.atomic() on {name!r} waits for a lock {waits[0]}, as the database has it."
    return [Info(told, hint=f"Write DATABASES[{name!r}]['OPTIONS'] = {{{waits[1]}}}.", id="fsmflow.I001")]


@register  # type: ignore[untyped-decorator]
def check_flush(**_: Any) -> list[CheckMessage]:
    """That ``flush`` takes the entities away where another app has a command of that name: Django runs the first."""
    theirs = [each for each in apps.get_app_configs() if "flush" in find_commands(str(Path(each.path, "management")))]
    others = [each.name for each in theirs if each.label != LABEL]
    if not others or (theirs[0].label != LABEL and isinstance(load_command_class(theirs[0].name, "flush"), Command)):
        return []
    told = f"'manage.py flush' is a command of {others[0]!r} and of fsmflow, and Django runs one of them alone."
    return [
        Warning(
            told, hint=f"Have that of {others[0]!r} inherit from {_FLUSH}, and list its app first.", id="fsmflow.W005"
        )
    ]


@register  # type: ignore[untyped-decorator]
def check_machines(**_: Any) -> list[CheckMessage]:
    """What ``fsmflow check`` finds in the machines; no database and no Redis is asked."""
    chosen = settings_of.current()
    try:
        machines = Registry(chosen.machines)
        return [*_found(chosen, machines)]
    except FsmflowError as error:
        return [Error(str(error), id="fsmflow.E002")]


def _found(chosen: Any, machines: Registry) -> Iterator[CheckMessage]:
    own = machines.of_user()
    for definition in own.values():
        for line in (*refused(definition, machines.all()), *advice(definition)):
            yield Warning(f"machine {definition.name}: {line}", id="fsmflow.W002")
    for line in strange_permissions(chosen, machines.all()):
        yield Warning(f"permissions: {line}", id="fsmflow.W003")
    for line in strange_channels(chosen, own):
        yield Warning(f"channel {line}", id="fsmflow.W004")
