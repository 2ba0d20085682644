"""``schedule``: machines that start entities by themselves: list, pause, resume, run, backfill."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, cast

import click

from fsmflow import settings
from fsmflow.cli import completion, output
from fsmflow.cli.fields import FIELD, HELP, as_field, merged
from fsmflow.cli.listeners import sets_going
from fsmflow.cli.options import Group, actor_options, data_option, json_option, reason_option
from fsmflow.cli.overview import no_machines
from fsmflow.cli.person import sitting
from fsmflow.cli.places import check_machine
from fsmflow.decision.course import Note
from fsmflow.decision.inputs import Actor
from fsmflow.definition.operators import SCHEDULE
from fsmflow.definition.schedule import zone_of
from fsmflow.engine.runtime import current
from fsmflow.engine.teams import permit_whole, sees_whole
from fsmflow.engine.timetable import Timetable
from fsmflow.errors import shown
from fsmflow.machine import Machine
from fsmflow.objects import entities
from fsmflow.objects.plain import iso
from fsmflow.objects.schedules import object_of
from fsmflow.queries import resolve


@click.group(cls=Group)
def schedule() -> None:
    """Look at the schedules of machines, pause them, and start what they missed.

    \b
      fsmflow schedule list
      fsmflow schedule pause report --reason 'the printer is away'
      fsmflow schedule backfill report --from 2030-01-01 --to 2030-01-07 --dry-run
    """


@schedule.command("list")
@click.argument("machines", nargs=-1, metavar="[MACHINE]...", shell_complete=completion.machines)
@json_option
def list_(machines: tuple[str, ...], as_json: bool) -> int:
    """List schedules: the next tick on the clocks of its zone, the entity that was started last, and what is in the
    way. Of machines that are named, what happened to their schedules as well.

    \b
      fsmflow schedule list
      fsmflow schedule list report --json
    """
    click.get_current_context().with_resource(settings.looking())
    actor = sitting()
    for name in machines:
        check_machine(name)
        permit_whole(current(), current().machines.get(name), SCHEDULE, actor)
    tables = [_kind(name).timetable() for name in machines or _scheduled(actor)]
    if as_json:
        output.print_array(map(object_of, tables))
        return 0
    if not tables:
        if not current().machines.of_user():
            raise no_machines()
        output.note("no machine has a schedule; a class names one: schedule = '0 3 * * *'")
    columns = ("MACHINE", "SCHEDULE", "NEXT", "LAST", "DETAIL")
    output.print_table(
        columns, [(one.machine, str(one.schedule), _next(one), _last(one), _detail(one)) for one in tables]
    )
    for one in tables if machines else ():
        for note in one.notes:
            click.echo(output.clean(f"{output.moment(note.at)}  {one.machine} {_told(note)}"))
    return 0


@schedule.command()
@click.argument("machines", nargs=-1, metavar="MACHINE...", shell_complete=completion.machines, required=True)
@actor_options
@reason_option
@json_option
def pause(machines: tuple[str, ...], actor: Actor | None, reason: str | None, as_json: bool) -> int:
    """Start nothing at the ticks of MACHINE, until 'resume'. All workers heed it, and it outlives them. Entities that
    are there go on.

    \b
      fsmflow schedule pause report --actor alice --reason 'the printer is away'
    """
    tables = [_kind(name).pause_schedule(actor=actor, reason=reason) for name in machines]
    return _tell(tables, as_json=as_json)


@schedule.command()
@click.argument("machines", nargs=-1, metavar="MACHINE...", shell_complete=completion.machines, required=True)
@actor_options
@reason_option
@json_option
def resume(machines: tuple[str, ...], actor: Actor | None, reason: str | None, as_json: bool) -> int:
    """Go on with the next tick of MACHINE. Ticks that have passed meanwhile start nothing; it is told how 'backfill'
    makes up for them.

    \b
      fsmflow schedule resume report
    """
    before = [_kind(name).timetable() for name in machines]
    tables = [_kind(name).resume_schedule(actor=actor, reason=reason) for name in machines]
    for one in before:
        if one.paused is not None and one.schedule.following(one.paused.at) <= current().now():
            since = iso(one.paused.at)
            output.note(f"what has passed meanwhile: fsmflow schedule backfill {one.machine} --from {since} --dry-run")
    return _tell(tables, as_json=as_json)


@schedule.command(epilog=HELP)
@click.argument("machine", shell_complete=completion.machines)
@click.argument("fields", nargs=-1, type=as_field, metavar=f"[{FIELD}]...")
@data_option
@actor_options
@json_option
@sets_going
def run(
    machine: str, fields: tuple[tuple[str, Any], ...], data: dict[str, Any] | None, actor: Actor | None, as_json: bool
) -> int:
    """Start an entity of MACHINE now, besides those of the ticks; its id begins with 'by-hand-'. It is started while
    the schedule is paused, too, and refused where overlap= lets no two run.

    \b
      fsmflow schedule run report --actor alice
    """
    started = _kind(machine).run_schedule(merged(data, fields), actor=actor)
    if as_json:
        output.print_json(entities.entity(current(), resolve(current(), started.address, actor), actor))
    else:
        click.echo(f"{started.address}  {started.state}")
    return 0


@schedule.command()
@click.argument("machine", shell_complete=completion.machines)
@click.option("--from", "begin", required=True, metavar="MOMENT", help="The first tick: a day, or a day and a time.")
@click.option("--to", "end", metavar="MOMENT", help="The last tick; now, if it is not given.")
@click.option("--dry-run", is_flag=True, help="Say what would be started, and start nothing.")
@actor_options
@json_option
@sets_going
def backfill(machine: str, begin: str, end: str | None, dry_run: bool, actor: Actor | None, as_json: bool) -> int:
    """Start the entities of ticks that are past and have none. Run again, it starts nothing twice.

    A MOMENT is 2030-01-31 or 2030-01-31T02:30, on the clocks of the schedule's zone, or in UTC with a 'Z' at its end. A
    day is meant as a whole. Where overlap= lets no two run, each is waited for before the next one is started.

    \b
      fsmflow schedule backfill report --from 2030-01-01 --to 2030-01-07 --dry-run
    """
    kind = _kind(machine)
    table = kind.timetable()
    zone = zone_of(table.schedule.zone)
    span = [None if text is None else _moment(text, zone) for text in (begin, end)]
    would = "would be started" if dry_run else "started"

    def told(address: str) -> None:
        if not as_json:
            click.echo(address)

    if table.blocker is not None and not dry_run:
        output.note(f"waits until {table.blocker} is finished")
    addresses = kind.backfill_schedule(cast(Any, span[0]), span[1], dry_run=dry_run, actor=actor, progress=told)
    if as_json:
        output.print_json({"machine": machine, "addresses": addresses, "dry_run": dry_run})
        return 0
    for address in addresses if dry_run else ():
        click.echo(address)
    click.echo(f"{len(addresses):,} {would}")
    return 0


def _moment(text: str, zone: Any) -> date | datetime:
    """A day, or a moment. Raises BadParameter."""
    try:
        if len(text) == len("2030-01-31"):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write a day, 2030-01-31, or a day and a time, 2030-01-31T02:30"
        raise click.BadParameter(f"{shown(text)} is no moment; {hint}") from error
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=zone)


def _scheduled(actor: Actor) -> list[str]:
    """The machines that have a schedule, and all of which is there for an actor."""
    every = {name: one for name, one in current().machines.of_user().items() if one.wide.schedule is not None}
    return sorted(name for name, definition in every.items() if sees_whole(current(), definition, actor))


def _kind(name: str) -> type[Machine]:
    check_machine(name)
    return cast(type[Machine], current().machines.get(name).owner)


def _next(table: Timetable) -> str:
    return "paused" if table.next_at is None else f"{table.next_at:%Y-%m-%d %H:%M %Z}"


def _last(table: Timetable) -> str:
    return "-" if table.last is None else table.last.partition(":")[2]


def _detail(table: Timetable) -> str:
    """What is worth knowing of it, the most urgent first."""
    facts = []
    if table.paused is not None:
        facts.append(f"{_told(table.paused)} since {output.moment(table.paused.at)} UTC")
    if table.overdue is not None:
        facts.append(f"the tick of {table.overdue:%Y-%m-%d %H:%M %Z} is overdue: does a worker run?")
    if table.waits is not None:
        facts.append(f"the tick of {table.waits:%Y-%m-%d %H:%M %Z} waits for {table.blocker or 'a worker'}")
    elif table.blocker is not None:
        facts.append(f"{table.blocker} is not finished, and holds back the next one")
    if not facts and table.last is not None:
        facts.append(f"the last one is {f'in {table.last_state}' if table.last_state else 'deleted'}")
    return "; ".join(facts)


def _told(note: Note) -> str:
    parts = [note.what, note.about or "", f"by {note.by}" if note.by else "", f"({note.reason})" if note.reason else ""]
    return output.one_line(" ".join(part for part in parts if part))


def _tell(tables: list[Timetable], *, as_json: bool) -> int:
    if as_json:
        output.print_array(map(object_of, tables))
        return 0
    for one in tables:
        click.echo(output.clean(f"{one.machine}  {_detail(one) if one.paused else f'next: {_next(one)}'}"))
    return 0
