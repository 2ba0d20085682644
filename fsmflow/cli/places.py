"""Where the data is and where the machines come from, as it may be shown: without passwords."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Final

import click

from fsmflow import settings
from fsmflow.cli import output
from fsmflow.definition.model import Definition
from fsmflow.definition.patterns import strange_patterns, strange_roles
from fsmflow.engine.registry import Registry
from fsmflow.engine.runtime import stand_in
from fsmflow.engine.signs import wanted
from fsmflow.errors import FsmflowError, did_you_mean
from fsmflow.redaction import hide_password
from fsmflow.settings import Settings
from fsmflow.settings.channels import channels_of

#: So many machines are told one by one.
_MANY: Final = 12
#: Commands that only look: they make no folder, no database and no server.
LOOKING: Final = frozenset(
    (
        *("list", "show", "explain", "history", "failures", "stats", "metrics", "alarms", "check", "verify", "draw"),
        *("info", "top", "waiting"),
    )
)
#: Commands that import the machines when they are ready to tell what is wrong with them.
BY_THEMSELVES: Final = frozenset({"check", "info", "worker"})


def database_of(chosen: Settings) -> str:
    """The database that the settings name."""
    if chosen.database is not None:
        return f"the database that was configured ({chosen.database.database})"
    if chosen.database_url is not None:
        return without_password(chosen.database_url)
    return f"sqlite:///{chosen.embedded_file}"


def looked_in(chosen: Settings) -> str:
    """The same, for who found nothing there; and whether it is there at all."""
    return f"{database_of(chosen)}{'' if is_there(chosen) else ', which is not there yet'}"


def is_there(chosen: Settings) -> bool:
    """Whether there is a database; that of a server is asked elsewhere."""
    return chosen.embedded_file is None or os.path.exists(chosen.embedded_file)


def _is_to_be_made() -> bool:
    """Whether there is no database yet, and the next one to open it makes it."""
    return stand_in() is None and not is_there(settings.current())


def check_machine(name: str) -> None:
    """Where the database is still to be made, raise UnknownMachine before it is."""
    if _is_to_be_made():
        Registry(settings.current().machines).get(name)


def make_nothing() -> None:
    """Where there is no database yet, there is no entity either that the command could act on: it only looks, is
    refused for that, and leaves none behind."""
    if _is_to_be_made():
        click.get_current_context().with_resource(settings.looking())


def tell_absence(chosen: Settings) -> None:
    """Note where there is no database yet: whoever reads that nothing is there may be in the wrong folder."""
    if not is_there(chosen):
        output.note(f"there is no database in {chosen.home.absolute()} yet: the first 'fsmflow start' makes it")


def redis_of(chosen: Settings) -> str:
    """The Redis that the settings name."""
    return without_password(chosen.redis_url or "the embedded server")


def without_password(url: str) -> str:
    """The URL as it may be shown. Parameters are left out, as they may hold a password too."""
    return hide_password(url).partition("?")[0]


def strange_permissions(chosen: Settings, known: Mapping[str, Definition]) -> list[str]:
    """What the permissions of the installation name and no machine has, in words."""
    permissions = chosen.permissions
    if permissions is None:
        return []
    told = list(strange_patterns(permissions.roles, known))
    # A function of the user's may go by roles that nothing else names.
    if known and permissions.permit is None:
        people = {name: person.roles for name, person in permissions.people.items()}
        told += strange_roles(people, permissions.roles, known)
    return told


def told_by(chosen: Settings, known: Mapping[str, Definition]) -> dict[str, list[str]]:
    """The channels that machines and alarms name, each with what it is told of: ``order.shipped by
    approve``."""
    found: dict[str, list[str]] = {}
    for definition in known.values():
        for state, channels in definition.wide.tell.items():
            for told in channels:
                found.setdefault(told.channel, []).append(f"{definition.name}.{state}{told.how}")
    for rule in wanted(chosen.alarms, known):
        of = "" if rule.machine is None else f" of {rule.machine}"
        for name in rule.alarm.channels:
            found.setdefault(name, []).append(f"alarm {rule.alarm.name}{of}")
    return found


def strange_channels(chosen: Settings, known: Mapping[str, Definition]) -> list[str]:
    """What machines and alarms tell channels that are not there, in words."""
    told = told_by(chosen, known)
    there = channels_of(chosen.channels) if told else {}
    return [
        f"{name!r} is told of {', '.join(of)}, and is not configured here{did_you_mean(name, there)}; "
        f"FSMFLOW_CHANNELS or configure(channels=...) says which there are"
        for name, of in told.items()
        if name not in there
    ]


def channels_in_force(chosen: Settings) -> str:
    """The channels by name, with their kinds."""
    return ", ".join(f"{name} ({channel.kind})" for name, channel in channels_of(chosen.channels).items())


def machines_of(definitions: Iterable[Definition]) -> str:
    """The machines, module by module: ``order, refund (shop.orders); parcel (shop.parcels)``."""
    by_module: dict[str, list[str]] = {}
    found = list(definitions)
    for definition in found[:_MANY]:
        by_module.setdefault(definition.owner.__module__, []).append(definition.name)
    told = "; ".join(f"{', '.join(names)} ({module})" for module, names in by_module.items())
    return f"{told}; and {len(found) - _MANY:,} more" if len(found) > _MANY else told


def begin(context: click.Context) -> None:
    """What goes before a command, whichever it is."""
    if logging.lastResort is not None:
        logging.lastResort.addFilter(_is_not_told_anyway)
    name = context.invoked_subcommand
    if name in LOOKING:
        context.with_resource(settings.looking())
    if name not in BY_THEMSELVES:
        let_machines_configure(strictly=name == "init")


def _is_not_told_anyway(record: logging.LogRecord) -> bool:
    """Whether a line of the log that no handler takes says more than the error that the command ends with."""
    return not record.getMessage().startswith("permission.refused:")


def let_machines_configure(*, strictly: bool = False) -> None:
    """Import the machines first: one of their modules may call ``configure(database=...)``, and another database would
    be looked at otherwise. What is wrong with them is told by the commands that need them; ``strictly`` at once, where
    no database is named elsewhere."""
    chosen = settings.current()
    try:
        Registry(chosen.machines).all()
    except FsmflowError:
        if strictly and chosen.database is None and chosen.database_url is None:
            raise
