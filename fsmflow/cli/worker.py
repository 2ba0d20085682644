"""Commands that run things: init, worker, reconcile."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping

import click

from fsmflow import __version__, log, settings
from fsmflow.cli import output
from fsmflow.cli.options import json_option
from fsmflow.cli.overview import POOLED, machines, no_machines
from fsmflow.cli.places import database_of, let_machines_configure, machines_of, redis_of
from fsmflow.cli.queues import MOST_AT_ONCE, Queues, read_queues
from fsmflow.cli.servers import all_servers, strange_queues
from fsmflow.definition.model import Definition
from fsmflow.definition.names import DELIVERIES, OPERATIONS
from fsmflow.definition.priority import queue_below
from fsmflow.engine.holds import in_force
from fsmflow.engine.intake import bring_in_all
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import ConfigurationError, did_you_mean
from fsmflow.log import lines
from fsmflow.log import queues as log_of_queues
from fsmflow.queries import queues_of, trouble_with_redis, with_priorities
from fsmflow.running import reload
from fsmflow.running.first_process import step_aside
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.supervisor import Supervisor, crews_of
from fsmflow.running.wear import Endurance
from fsmflow.settings.amounts import count_of, size_of
from fsmflow.store.partitions import MOST
from fsmflow.store.store import create_store

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@click.command()
@click.option("--views", is_flag=True, help="Make views for those who look with SQL, too, and keep them up.")
@click.option(
    "--partitions",
    metavar="N",
    type=click.IntRange(2, MOST),
    help="Make the tables of work and of history in so many parts, on PostgreSQL.  [default: in one piece]",
)
@json_option
def init(views: bool, partitions: int | None, as_json: bool) -> int:
    """Create the tables in the database, or upgrade them. Safe to be run again at any time.

    Needed once where FSMFLOW_DATABASE_URL is set, and after an upgrade; the embedded SQLite database does it by itself.
    What machines newly declare by 'search' is brought in for the entities that are there; a worker does that too, in
    the background.

    \b
      fsmflow init
      fsmflow init --views
      fsmflow init --partitions 8
    """
    chosen = settings.current()
    create_store(chosen, views=views, partitions=partitions).link.forget_connection()
    bring_in_all(current())
    database, redis = database_of(chosen), redis_of(chosen)
    servers = all_servers(chosen)
    problem, pooled = trouble_with_redis(current()), current().store.link.is_pooled
    if as_json:
        answers = {"url": redis, "answers": problem is None, "error": problem and problem.why}
        output.print_json({"database": database, "pooled": pooled, "redis": answers})
        return 0
    click.echo(f"the tables of fsmflow are ready in {database}")
    if pooled:
        click.echo(POOLED)
    if problem is None:
        click.echo(f"Redis answers ({servers})")
    else:
        click.echo(f"Redis {problem.does} ({servers}): {problem.why}; jobs wait in the database until it does")
    return 0


@click.command()
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(min=1),
    default=lambda: _usable_cpus(),
    help="How many processes run jobs, one at a time each; so many for each Redis server.  [default: the number of "
    "usable CPUs]",
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(min=0, max=MOST_AT_ONCE),
    default=0,
    help="How many async jobs run beside each other in each process.  [default: what --queues says, or none]",
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(min=0, max=1_000),
    default=0,
    help="How many jobs of states with thread=True run beside each other in each process.  [default: none]",
)
@click.option(
    "--queues",
    metavar="A,B",
    help="Listen on these, the first one first; as A=3,B=1 each in its turn; as A:50,B:2 with at most so many jobs of "
    "each beside each other in each process; both: A:50=3,B:2=1.  [default: all that the machines name]",
)
@click.option("--burst", is_flag=True, help="End once nothing is due.")
@click.option("--max-jobs", metavar="N", help="Replace a worker process after at most so many jobs.  [default: never]")
@click.option(
    "--max-memory", metavar="SIZE", help="Replace a worker process that uses more, as 500MB or 2GB.  [default: never]"
)
@click.option("--log-level", type=click.Choice(_LOG_LEVELS, case_sensitive=False), default="INFO", show_default=True)
@click.option(
    "--log",
    "form",
    type=click.Choice(lines.FORMS),
    default=lines.TEXT,
    show_default=True,
    help="How log lines are written: json is one object a line, with address, state and attempt as fields.",
)
@click.option(reload.OPTION, "reloads", is_flag=True, help="Start anew when the code changes. For development.")
def worker(
    processes: int,
    concurrency: int,
    threads: int,
    queues: str | None,
    burst: bool,
    max_jobs: str | None,
    max_memory: str | None,
    log_level: str,
    form: str,
    reloads: bool,
) -> int:
    """Run jobs until stopped, and look after timers, retries and lost work.

    Ctrl-C or SIGTERM: the running jobs end, and no more are taken. A second one stops at once.

    \b
      fsmflow worker
      fsmflow worker --processes 4 --threads 8 --queues default:50=3,slow:2=1
      fsmflow worker --max-jobs 1000 --max-memory 500MB
    """
    step_aside()
    wanted = read_queues(queues, concurrency, threads)
    lines.configure(log_level.upper(), form)
    if reloads:
        return reload.Reload(settings.current()).run()
    let_machines_configure()
    runtime = _ready(burst=burst)
    listens = _listens(runtime, wanted.names)
    _tell_start(runtime, listens, processes)
    return Supervisor(
        runtime,
        processes=processes,
        queues=_all(listens),
        burst=burst,
        log_options=_options(log_level.upper(), form, wanted),
        endurance=_endurance(max_jobs, max_memory).or_else(runtime.settings),
        concurrency=wanted.concurrency,
        threads=threads,
    ).run()


def _ready(*, burst: bool) -> Runtime:
    """What the worker processes will work with. What would keep all of them from working is told once, here. Raises
    ConfigurationError."""
    if not machines().of_user():
        raise no_machines()
    runtime = current()
    runtime.doorbell.check()
    problem = trouble_with_redis(runtime)
    if burst and problem is not None:
        raise ConfigurationError(f"Redis {problem.does}: {problem.why}; without it a burst would never end")
    return runtime


def _tell_start(runtime: Runtime, queues: list[str], processes: int) -> None:
    """The first lines: who this is, and what it works with."""
    definitions = runtime.machines.of_user()
    chosen, release = runtime.settings, runtime.release.name
    crews = crews_of(runtime, _all(queues), processes)
    total = sum(crew.count for crew in crews)
    count = "1 worker process" if total == 1 else f"{total} worker processes"
    embedded = chosen.database is None and chosen.database_url is None
    log.starting(
        f"fsmflow {__version__}, {count}",
        {
            "database": f"{database_of(chosen)}{' (embedded)' if embedded else ''}",
            "Redis": all_servers(chosen),
            "machines": machines_of(definitions.values()),
            "queues": ", ".join(queues),
            **({"workers": "; ".join(map(str, crews))} if len(crews) > 1 else {}),
            "release": release or "not known",
        },
    )
    for hold in in_force(runtime).holds:
        log.hold_in_force(str(hold))
    _tell_queues_of_nobody(definitions, queues)
    for line in strange_queues(chosen, definitions):
        log_of_queues.server_unused(line)
    others = Reasons(runtime).others_on(queues)
    if others is not None:
        log.others_listen(others)


def _all(queues: list[str]) -> list[str]:
    """Those, and what every worker listens on."""
    return list(dict.fromkeys((OPERATIONS, *queues, DELIVERIES)))


def _tell_queues_of_nobody(definitions: Mapping[str, Definition], queues: list[str]) -> None:
    """Of queues that were asked for and that no state names. They are listened on all the same, as entities of
    another release may wait there, and as a function may choose any."""
    named = queues_of(definitions.values())
    known = list(dict.fromkeys((*named, *map(queue_below, named))))
    for name in queues:
        if name not in known and (known or name != "default"):
            log_of_queues.of_nobody(name, did_you_mean(name, known), known)


def _options(log_level: str, form: str, queues: Queues) -> list[str]:
    """What each worker process is told besides; messages have a turn of their own where queues have."""
    turns = ["--shares", json.dumps({**queues.shares, DELIVERIES: 1})] if queues.shares else []
    rooms = ["--limits", json.dumps(queues.limits)] if queues.limits else []
    return ["--log-level", log_level, "--log", form, *turns, *rooms]


def _endurance(max_jobs: str | None, max_memory: str | None) -> Endurance:
    return Endurance(
        max_jobs=None if max_jobs is None else count_of(max_jobs, "--max-jobs"),
        max_memory=None if max_memory is None else size_of(max_memory, "--max-memory"),
    )


def _listens(runtime: Runtime, wanted: list[str]) -> list[str]:
    """The queues that a worker listens on. Where a job has got a priority, others of it may wait without one yet."""
    definitions = runtime.machines.of_user().values()
    named = list(dict.fromkeys(map(queue_below, queues_of(definitions))))
    return with_priorities(wanted or named or ["default"], definitions)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@click.command()
@json_option
def reconcile(as_json: bool) -> int:
    """Look once after all that is due. Timers fire, lost jobs are dispatched again, dead attempts end.

    A running 'fsmflow worker' does this all the time by itself.

    \b
      fsmflow reconcile
    """
    runtime = current()
    runtime.machines.all()
    problem = trouble_with_redis(runtime)
    if problem is not None:
        lines.logger.setLevel(logging.ERROR)  # said below, and without the promise to try again
    # No queues: to name them would announce, for half a minute, workers that are not there.
    count = Maintenance(runtime, ()).sweep(in_turn=False)
    if as_json:
        output.print_json({"rows": count, "redis": {"answers": problem is None, "error": problem and problem.why}})
    else:
        click.echo(f"looked after {count:,} due row{'' if count == 1 else 's'}")
    if problem is not None:
        where = "" if len(runtime.doorbell.servers) == 1 else " that wait there"
        output.error(f"Redis {problem.does}: {problem.why}. Timers were looked after, jobs{where} were not")
        return 1
    return 0
