"""The states of a machine as the choices of a field."""

from __future__ import annotations

from typing import Protocol, cast

from django.db.models import TextChoices
from django.utils.module_loading import import_string

from fsmflow.engine.registry import definition_of
from fsmflow.errors import ConfigurationError, shown


class Choices(Protocol):
    """What a ``TextChoices`` is to whoever names a field's choices."""

    choices: list[tuple[str, str]]
    values: list[str]
    labels: list[str]


def state_choices(machine: type | str) -> Choices:
    """A ``TextChoices`` of all states of a machine, those that fsmflow makes among them.

    A model that its machine imports names the machine by its path, in a function that Django 5.0 or newer calls:
    ``choices=statuses``, with ``def statuses(): return state_choices("shop.machines.OrderMachine").choices``.
    Raises ConfigurationError.
    """
    kind = import_string(machine) if isinstance(machine, str) else machine
    definition = definition_of(kind)
    if definition is None:
        raise ConfigurationError(f"{shown(machine)} is no machine with states")
    members = [(name.upper(), (name, name.replace("_", " ").capitalize())) for name in definition.states]
    return cast(Choices, TextChoices(f"{kind.__name__}State", members))
