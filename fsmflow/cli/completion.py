"""What a shell completes: the names of machines, states and triggers, from the machines that are found here.

Nothing is read from the database, and nothing is told: where the machines cannot be imported, nothing is completed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fsmflow.definition.model import Definition


def machines(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The machines."""
    return _fitting((definition.name for definition in _definitions()), incomplete)


def addresses(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """How the addresses of each machine begin; the ids are for who knows them. States too, where one follows."""
    found = _fitting((f"{definition.name}:" for definition in _definitions()), incomplete)
    # Of words of any number, click takes each one that is being typed for another of them.
    is_followed = any(other.name == "state" for other in context.command.params) and context.params.get("state")
    return found + states(context, parameter, incomplete) if is_followed else found


def states(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The states of the machine that is meant, else of all."""
    return _fitting((state for definition in _meant(context) for state in definition.states), incomplete)


def triggers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The triggers that somebody can fire, of the machine that is meant, else of all."""
    engine = import_module("fsmflow.definition.names").ENGINE_TRIGGERS
    every = (spec.trigger for definition in _meant(context) for spec in definition.transitions)
    return _fitting((trigger for trigger in every if trigger not in engine), incomplete)


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _meant(context: click.Context) -> Iterator[Definition]:
    """By what stands on the line before: a machine, or an address of one."""
    given = context.params
    words = [given.get("machine"), given.get("address"), given.get("state"), *(given.get("addresses") or ())]
    names = {word.partition(":")[0] for word in words if isinstance(word, str)}
    every = _definitions()
    return (
        definition for definition in every if definition.name in names or names.isdisjoint(one.name for one in every)
    )


def _definitions() -> list[Definition]:
    settings = import_module("fsmflow.settings").current()
    try:
        return list(import_module("fsmflow.engine.registry").Registry(settings.machines).of_user().values())
    except import_module("fsmflow.errors").FsmflowError:
        return []
