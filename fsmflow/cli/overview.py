"""Commands that look at machines and at all entities together: stats, check. They change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from fsmflow import settings
from fsmflow.cli import hold, output
from fsmflow.cli.options import json_option, viewer_options
from fsmflow.cli.person import permit_all_teams
from fsmflow.cli.places import strange_channels, strange_permissions, tell_absence
from fsmflow.decision.expectation import expected_of
from fsmflow.decision.inputs import Actor
from fsmflow.definition.advice import advice, refused
from fsmflow.definition.model import Definition
from fsmflow.engine.headcount import Headcount
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.registry import Registry
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.survey import Finding, survey
from fsmflow.errors import ConfigurationError
from fsmflow.holds import current_holds, kept_back
from fsmflow.objects.counts import MANY_DUE, counted_at, demand_object, overdue, stats_object, stats_of
from fsmflow.queries import Listening, listening, queues_of
from fsmflow.store.counts import MANY

#: What is told where there is one.
POOLED = (
    "a pooler of connections stands in front of the database: fsmflow prepares no statements there, which a pooler of "
    "transactions would lose. Where yours keeps them (pool_mode = session; max_prepared_statements of PgBouncer 1.21), "
    "add prepare_threshold=5 to FSMFLOW_DATABASE_URL"
)


@click.command()
@click.option(
    "--queue",
    "queues",
    metavar="QUEUE",
    multiple=True,
    help="How much there is for workers of this queue, for what starts and ends them; repeatable.",
)
@viewer_options
@json_option
def stats(queues: tuple[str, ...], actor: Actor | None, as_json: bool) -> int:
    """Count entities by state; show since when the oldest is there, queues, and due work.

    More than 10,000 in a state are counted by workers, every few seconds; it is told how long ago that was.

    \b
      fsmflow stats
      fsmflow stats --queue default --json
    """
    runtime = current()
    if queues:
        permit_all_teams("stats --queue", actor)
        return _print_demand(demand_object(runtime, list(dict.fromkeys(queues))), as_json=as_json)
    found = stats_of(runtime, actor)
    if as_json:
        output.print_json(stats_object(runtime, found))
        return 0
    _print_counts(runtime, found.counts, found.now)
    _print_queues(runtime, found.queues, found.heard)
    if found.due is not None and found.active is not None:
        more = " or more" if found.due == MANY_DUE else ""
        click.echo(f"work due now: {found.due:,}{more}; due, dispatched or running: {found.active:,}")
    tell_absence(runtime.settings)
    if found.stuck:
        click.echo(f"stuck: something of {found.stuck:,} entities is due and cannot go on; see 'fsmflow failures'")
    for line in hold.lines(current_holds(actor=actor), kept_back(actor=actor)):
        click.echo(line)
    return 0


def _print_demand(found: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        output.print_json(found)
        return 0
    counts = f"{found['due']:,} due, {found['running']:,} running, {found['timers']:,} timers or messages due"
    click.echo(f"queue {', '.join(found['queues'])}: {counts}")
    click.echo(f"wanted: {found['wanted']:,}; next: {found['next_at'] or 'nothing'}")
    return 0


def _print_queues(runtime: Runtime, queues: Sequence[str], heard: Listening) -> None:
    for queue in queues:
        is_heard = heard.on(queue)
        if is_heard is not None:
            listens = "workers listen" if is_heard else "no worker listens"
            click.echo(f"queue {queue}: {listens} (in RQ: {runtime.doorbell.rq_queue(queue)})")
    if heard.error:
        on = f" on {', '.join(each for each in queues if heard.on(each) is None)}" if heard.silent else ""
        output.note(f"whether workers listen{on} is not known, as Redis does not answer: {heard.error}")


def _print_counts(runtime: Runtime, counts: Sequence[Headcount], now: int) -> None:
    rows = [(each.machine, each.state, f"{each.count:,}", _age(runtime, each, now)) for each in counts]
    output.print_table(("MACHINE", "STATE", "ENTITIES", "OLDEST"), rows)
    at = counted_at(counts)
    if at is not None:
        click.echo(f"numbers over {MANY:,} were counted {output.duration(max(0, now - at))} ago")


def _age(runtime: Runtime, each: Headcount, now: int) -> str:
    if each.since is None:
        return ""
    spec = overdue(runtime, each, now)
    told = "" if spec is None else f", overdue: {expected_of(spec)}"
    return f"{output.duration(max(0, now - each.since))}{told}"


@click.command()
@click.option("--database", "deployed", is_flag=True, help="Also what this code would meet in the database.")
@json_option
def check(deployed: bool, as_json: bool) -> int:
    """Check the machines. What is not wrong but worth a look is noted, and the exit status stays 0; a
    message that could never be taken for want of a role makes it 1.

    With --database the entities are counted too, in one pass over all of them: those that this code would strand, as it
    lacks their machine, their state, their job or a way out, make the exit status 1; what it would rename or upgrade is
    noted. Run it with the new code before that is deployed.

    \b
      fsmflow check
      fsmflow check --database
    """
    definitions = list(machines().of_user().values())
    if not definitions:
        raise no_machines()
    heard = _heard()
    notes = {definition.name: [*_refused(definition), *advice(definition)] for definition in definitions}
    of_workers = _of_workers(definitions, heard)
    skipped = None if heard.error is None else f"whether workers listen was not checked: {heard.error}"
    strange = strange_permissions(settings.current(), machines().all())
    untold = strange_channels(settings.current(), machines().of_user())
    findings = _survey() if deployed else None
    strands = any(finding.strands for finding in findings or ()) or any(map(_refused, definitions))
    if as_json:
        found = [
            {"machine": machine, "notes": [*lines, *(note for note, names in of_workers.items() if machine in names)]}
            for machine, lines in notes.items()
        ]
        more = {} if findings is None else {"database": [vars(finding) for finding in findings]}
        output.print_json({"machines": found, "skipped": skipped, "permissions": strange, "channels": untold, **more})
        return int(strands)
    _print_notes(notes, of_workers, strange)
    for line in untold:
        click.echo(f"channel {output.one_line(line)}")
    if findings is not None:
        _print_findings(findings)
    if skipped:
        output.note(skipped)
    return int(strands)


def _survey() -> list[Finding]:
    """What this code would meet in the database, of all teams. Raises NotPermitted."""
    permit_all_teams("check")
    return survey(current().store.census, machines().all())


def _of_workers(definitions: list[Definition], heard: Listening) -> dict[str, list[str]]:
    """That nobody listens on a queue, or that all who do have loaded other code, each with the machines whose jobs that
    is about. Nothing where it is not known who listens."""
    found: dict[str, list[str]] = {}
    if heard.error is not None:
        return found
    reasons = Reasons(current())
    for definition in definitions:
        queues = queues_of([definition])
        told = [f"no worker listens on queue {queue!r} now" for queue in queues if queue not in heard.queues]
        for note in filter(None, (*told, reasons.other_code_on(queues))):
            found.setdefault(note, []).append(definition.name)
    return found


def _print_notes(notes: dict[str, list[str]], of_workers: dict[str, list[str]], strange: list[str]) -> None:
    for machine, lines in notes.items():
        for line in lines or ["nothing to note"]:
            click.echo(f"machine {machine}: {output.one_line(line)}")
    for note, names in of_workers.items():
        click.echo(f"{output.one_line(note)} (jobs of {', '.join(names)})")
    for line in strange:
        click.echo(f"permissions: {output.one_line(line)}")


def _refused(definition: Definition) -> list[str]:
    return refused(definition, machines().all())


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        kind = "STRANDED" if finding.strands else "note"
        click.echo(f"database: {kind}: machine {finding.machine}: {output.one_line(finding.told)}")
    if not any(finding.strands for finding in findings):
        click.echo("database: every entity can go on with this code")
    if current().store.link.is_pooled:
        click.echo(f"database: note: {POOLED}")


def _heard() -> Listening:
    try:
        return listening(current())
    except ConfigurationError as error:
        return Listening(error=output.one_line(str(error)))


def machines() -> Registry:
    """The machines, which can be looked at where there is no database."""
    return Registry(settings.current().machines)


def no_machines() -> ConfigurationError:
    """The error where no machine is found at all."""
    names = ", ".join(str(source) for source in settings.current().machines)
    return ConfigurationError(
        f"no machines were found in {names}; set {settings.MACHINES} to the modules that have them, "
        f"or start in the folder that holds 'machines'"
    )
