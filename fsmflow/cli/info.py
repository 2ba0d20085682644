"""The command ``info``: what this installation works with, where that comes from, what answers, and who listens."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from fsmflow import __version__, release, settings
from fsmflow.cli import output
from fsmflow.cli.options import json_option
from fsmflow.cli.overview import machines
from fsmflow.cli.places import channels_in_force, database_of, is_there, redis_of, strange_channels, strange_permissions
from fsmflow.cli.servers import (
    answer_of,
    answers_of,
    server_of,
    servers_in_force,
    source_of_servers,
    strange_queues,
)
from fsmflow.definition.model import Definition
from fsmflow.dispatch.client import REDIS_ERRORS
from fsmflow.dispatch.listeners import Listener
from fsmflow.engine.drains import drains
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import ConfigurationError, FsmflowError
from fsmflow.objects.plain import iso
from fsmflow.observers import watching
from fsmflow.queries import queues_of
from fsmflow.release import Release
from fsmflow.settings import Settings
from fsmflow.store.partitions import FACT as PARTITIONS
from fsmflow.store.schema import SCHEMA_VERSION
from fsmflow.store.sentence import first_line


@click.command()
@json_option
def info(as_json: bool) -> int:
    """Show what is in force here. Settings and where they come from, what answers, machines, queues, worker processes.

    It changes nothing, makes nothing and starts nothing. What does not answer is told, and the rest is shown all the
    same.

    \b
      fsmflow info
      fsmflow info --json
    """
    found = _found()
    if as_json:
        output.print_json(found)
    else:
        _print(found)
    return 0


def _found() -> dict[str, Any]:
    """All of it, as JSON has it."""
    settings.tells_itself()
    known, wrong = _machines()
    chosen = settings.current()
    release.note(chosen)
    runtime, trouble = _runtime()
    listeners, unheard = _listeners(runtime)
    here = release.look(chosen) if runtime is None else runtime.release
    queues = queues_of(known.values())
    return {
        "fsmflow": __version__,
        "python": platform.python_version(),
        "settings": list(_settings(chosen, here)),
        "misspelt": settings.misspelt(),
        "strange_permissions": strange_permissions(chosen, known),
        "strange_channels": strange_channels(chosen, known),
        "strange_queues": strange_queues(chosen, known),
        "release": {"name": here.name, "source": here.source},
        "telemetry": [observer.name for observer in watching if observer.is_on],
        "database": _database(runtime, trouble),
        "redis": answer_of(chosen),
        "redis_of_queues": answers_of(chosen),
        "machines": [_machine(definition) for definition in known.values()],
        "fault": wrong,
        "drains": [] if runtime is None else [str(each) for each in drains(runtime).values()],
        "queues": [_queue(name, runtime, listeners, unheard) for name in queues],
        "workers": [
            {
                "host": each.host,
                "pid": each.pid,
                "since": iso(each.since),
                "queues": list(each.queues),
                "release": each.release,
                "same_code": (each.release, each.source) == (here.name, here.source),
            }
            for each in listeners
        ],
    }


def _machines() -> tuple[Mapping[str, Definition], str | None]:
    """The machines, or why there are none."""
    try:
        found = machines().of_user()
    except FsmflowError as error:
        return {}, str(error)
    return found, None if found else f"none: {_absence()}"


def _absence() -> str:
    """Why no machine was found, though nothing is wrong: all modules that are there have been imported."""
    names = [name for name in settings.current().machines if isinstance(name, str)]
    lacking = next((name for name in names if name not in sys.modules), None)
    if lacking is not None:
        return f"there is no module {lacking!r} here"
    return f"there is no machine in {', '.join(map(repr, names)) or 'what was configured'}"


def _runtime() -> tuple[Runtime | None, str | None]:
    """What the database has, or why it cannot be asked."""
    try:
        return current(), None
    except ConfigurationError as error:
        return None, str(error)


def _listeners(runtime: Runtime | None) -> tuple[list[Listener], str | None]:
    """The worker processes, or why that is not known."""
    if runtime is None:
        return [], "the database does not answer"
    try:
        return runtime.doorbell.listeners(), None
    except REDIS_ERRORS as error:
        return [], first_line(error)


def _settings(chosen: Settings, here: Release) -> Iterable[dict[str, str]]:
    """Each setting with its value, and where that comes from."""
    shown = {
        settings.DATABASE_URL: ("database", database_of(chosen)),
        settings.SCHEMA: ("schema", chosen.schema or "none"),
        settings.REDIS_URL: ("Redis", redis_of(chosen)),
        settings.MACHINES: ("machines", ", ".join(map(str, chosen.machines))),
        settings.HOME: ("home", str(chosen.home.absolute())),
        settings.MAX_JOBS: ("max jobs", "no limit" if chosen.max_jobs is None else f"{chosen.max_jobs:,}"),
        settings.MAX_MEMORY: ("max memory", _size(chosen.max_memory)),
        settings.SEARCH_TIMEOUT: ("search timeout", f"{chosen.search_timeout:,} s"),
        settings.ASYNC_THREADS: ("async threads", f"{chosen.async_threads:,}"),
        settings.RUN_ON: ("run on", "on" if chosen.run_on else "off"),
        settings.QUEUE_LIMITS: ("queue limits", "; ".join(map(str, chosen.queue_limits.values())) or "none"),
        settings.WEB_URL: ("web", chosen.web_url or "not known"),
        settings.CHANNELS: ("channels", channels_in_force(chosen)),
        settings.PERMISSIONS: ("permissions", "none" if chosen.permissions is None else chosen.permissions.source),
        settings.USERS: ("users", chosen.users or "in the database"),
        settings.ALARMS: ("alarms", ", ".join(alarm.name for alarm in chosen.alarms) or "none"),
    }
    for variable, (name, value) in shown.items():
        yield {"name": name, "value": value, "from": settings.source_of(variable)}
    yield {"name": "Redis of queues", "value": servers_in_force(chosen), "from": source_of_servers(chosen)}
    source = settings.RELEASE if chosen.release else "its source" if here.is_digest else "its commit"
    yield {"name": "release", "value": here.name or "not known", "from": source if here.name else ""}


def _size(count: int | None) -> str:
    return "no limit" if count is None else f"{count:,} bytes"


def _database(runtime: Runtime | None, trouble: str | None) -> dict[str, Any]:
    if runtime is None:
        return {"answers": False, "version": None, "schema": None, "partitions": None, "may_lose": [], "error": trouble}
    there = is_there(runtime.settings)
    why = None if there else "it is not there yet: the first 'fsmflow start' makes it"
    version = runtime.store.link.version() if there else None
    schema, loses = SCHEMA_VERSION if there else None, runtime.store.link.may_lose() if there else []
    parts = runtime.store.meta.get([PARTITIONS]).get(PARTITIONS) if there else None
    return {
        "answers": there,
        "version": version,
        "schema": schema,
        "partitions": None if parts is None else int(parts),
        "may_lose": loses,
        "error": why,
    }


def _machine(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "module": definition.owner.__module__,
        "version": definition.version,
        "states": len(definition.states),
        "queues": queues_of([definition]),
    }


def _queue(name: str, runtime: Runtime | None, listeners: list[Listener], unheard: str | None) -> dict[str, Any]:
    processes = sum(name in each.queues for each in listeners)
    in_rq = None if runtime is None or not is_there(runtime.settings) else runtime.doorbell.rq_queue(name)
    server = server_of(settings.current(), name)
    return {"name": name, "in_rq": in_rq, "redis": server, "processes": None if unheard else processes}


def _print(found: dict[str, Any]) -> None:
    click.echo(f"fsmflow {found['fsmflow']}, Python {found['python']}")
    click.echo()
    output.print_table(
        ("SETTING", "VALUE", "FROM"), [(each["name"], each["value"], each["from"]) for each in found["settings"]]
    )
    if found["telemetry"]:
        click.echo(f"telemetry: {', '.join(found['telemetry'])}")
    for wrong, meant in found["misspelt"].items():
        click.echo(settings.unread(wrong, meant))
    strange = {"permissions: ": "strange_permissions", "channel ": "strange_channels", "": "strange_queues"}
    for line in (f"{whose}{line}" for whose, name in strange.items() for line in found[name]):
        click.echo(output.one_line(line))
    click.echo()
    for name in ("database", "redis"):
        click.echo(f"{name:10}{_answer(found[name])}")
    for each in found["redis_of_queues"]:
        click.echo(f"{'':10}of {', '.join(each['queues'])}: {_answer(each)}")
    for sentence in found["database"]["may_lose"]:
        click.echo(f"{'':10}{sentence}")
    if found["fault"] is not None:
        click.echo(f"{'machines':10}{output.clean(found['fault'])}")
    _print_who(found)


def _answer(server: dict[str, Any]) -> str:
    if not server["answers"]:
        return output.one_line(server["error"])
    schema = f", with the tables of schema {server['schema']}" if server.get("schema") else ""
    parts = f", work and history in {server['partitions']} parts" if server.get("partitions") else ""
    return f"{server['version'] or 'it'} answers{schema}{parts}"


def _print_who(found: dict[str, Any]) -> None:
    tables = (
        (
            ("MACHINE", "VERSION", "STATES", "QUEUES", "MODULE"),
            [
                (each["name"], str(each["version"]), str(each["states"]), ", ".join(each["queues"]), each["module"])
                for each in found["machines"]
            ],
        ),
        (
            ("QUEUE", "LISTENS", "IN RQ"),
            [(each["name"], _listens(each["processes"]), each["in_rq"] or "") for each in found["queues"]],
        ),
        (
            ("HOST", "PID", "SINCE (UTC)", "RELEASE", "QUEUES"),
            [_worker_row(each) for each in found["workers"]],
        ),
    )
    for columns, rows in tables:
        if rows:
            click.echo()
            output.print_table(columns, rows)
    for line in found["drains"]:
        click.echo(output.one_line(f"{line}: its workers take nothing new; 'fsmflow drain HOST --undo' ends that"))


def _worker_row(worker: dict[str, Any]) -> tuple[str, ...]:
    since = worker["since"][:19].replace("T", " ")
    return worker["host"], str(worker["pid"]), since, _code(worker), ", ".join(worker["queues"])


def _listens(processes: int | None) -> str:
    return "not known" if processes is None else {0: "nobody", 1: "1 process"}.get(processes, f"{processes} processes")


def _code(worker: dict[str, Any]) -> str:
    return f"{worker['release'] or 'not known'}{'' if worker['same_code'] else ' (not this code)'}"
