"""``repair``: one action done to many entities with care: start, show, stop, resume, list."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

import click

from fsmflow.cli import completion, output
from fsmflow.cli.bar import BAR_ROOM, Bar, can_show
from fsmflow.cli.fields import FIELD, HELP, as_field, merged
from fsmflow.cli.listeners import sets_going
from fsmflow.cli.options import (
    MANY,
    Group,
    Wanted,
    actor_options,
    json_option,
    reason_option,
    target_options_beside_data,
)
from fsmflow.cli.person import sitting
from fsmflow.cli.places import make_nothing
from fsmflow.cli.repairs import member_line, outcome_of, preview_of, progress_of, table_of, told_of_listeners
from fsmflow.decision.inputs import Actor
from fsmflow.decision.member import Fate
from fsmflow.definition.names import CANCELLED, FAILED, FINISHED, RETRY
from fsmflow.engine.runtime import current
from fsmflow.objects.repairs import object_of
from fsmflow.operations import repairs
from fsmflow.operations.plan import AT_ONCE, REPAIRS, TRIGGER, Plan, share_of
from fsmflow.operations.repair import Repair
from fsmflow.queries import resolve

#: States in which it waits for a person.
_RESTS = ("previewed", "stopped")
_LOOK_S = 0.3


class _Repairs(Group):
    """What begins with no command of its own starts a repair."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Repairs)
def repair() -> None:
    """Do one action to many entities with care: see first, try it on a few, then the rest at a rate, stop if it fails.

    'start' may be left out. A repair goes on by itself, whatever becomes of this terminal: it is an entity of the
    machine 'repair', whose jobs every 'fsmflow worker' runs.

    \b
      fsmflow repair --machine order --error 'Timeout*' --canary 1 --rate 20/s --stop-after 3%
      fsmflow repair --machine order --state failed_from_charging --set card=tok_2 --dry-run
      fsmflow repair show 20300101-4f2a9c
      fsmflow repair stop 20300101-4f2a9c --reason 'the bank called'
      fsmflow repair resume 20300101-4f2a9c
    """


_care_options: tuple[Callable[..., Any], ...] = (
    click.option(
        "--action", type=click.Choice(REPAIRS), default=RETRY, show_default=True, help="What is done to each of them."
    ),
    click.option("--canary", type=click.IntRange(0, MANY), default=0, metavar="N", help="Try so many first."),
    click.option("--rate", metavar="N/s", help="Ask at most so many a second, minute (m) or hour (h): 20/s."),
    click.option(
        "--at-once",
        type=click.IntRange(1, MANY),
        default=AT_ONCE,
        metavar="N",
        show_default=True,
        help="At most so many under way.",
    ),
    click.option("--stop-after", metavar="N%", help="Stop once more of those that settled have failed again: 3%."),
    click.option("--set", "fields", type=as_field, multiple=True, metavar=FIELD, help="Data, or payload, to bring."),
    click.option("--new-key", is_flag=True, help="A retry with a new idempotency key: it counts as another step."),
    click.option("--to", metavar="STATE", help="Where 'rewind' and 'force' lead.", shell_complete=completion.states),
    click.option("--event", metavar="EVENT", help="What 'drop' takes away: a number of 'show', or a trigger."),
    click.option("--trigger", "fired", metavar="TRIGGER", help="What the action 'trigger' fires."),
    click.option("--id", "id_", metavar="ID", help="A name for this very repair: none is started twice under it."),
    click.option("--yes", "-y", is_flag=True, help="Do not ask: go on after the preview."),
    click.option("--detach", is_flag=True, help="Do not wait for its end."),
)


def _with_care(command: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(_care_options):
        command = option(command)
    return command


@repair.command(epilog=HELP)
@target_options_beside_data
@_with_care
@actor_options
@reason_option
@json_option
@sets_going
def start(wanted: Wanted, yes: bool, detach: bool, id_: str | None, as_json: bool, **given: Any) -> int:
    """Start a repair of the entities that are named or selected. Of a selection those are meant that the action is for.

    It is told what would be done to them, decided one by one, with nothing changed. What is confirmed goes on without
    this terminal, which only looks on: Ctrl-C ends the looking.

    \b
      fsmflow repair --machine order --error 'Timeout*' --canary 1 --rate 20/s --stop-after 3%
      fsmflow repair --machine order --state failed_from_packing --action skip --yes --detach
    """
    asks = not (yes or wanted.dry_run)
    if asks and not sys.stdin.isatty():
        raise click.UsageError("nobody is there to confirm it; say --yes, or --dry-run to see what would be done")
    make_nothing()
    there = id_ is not None and current().store.entities.load_existing("repair", id_) is not None
    made = repairs.begin(_plan(wanted, given), confirm=yes and not wanted.dry_run, id_=id_)
    if there:
        output.note(f"{made.address} was started before, and is in {made.state!r}: nothing is started again")
        if made.phase == FINISHED:
            return _tell(made, as_json=as_json)
    told_of_listeners(current())
    if detach and yes:
        return _tell(made, as_json=as_json)
    _follow(made, as_json=as_json, until=lambda: made.state != "previewing")
    if not as_json:
        for line in preview_of(made):
            click.echo(line)
    if made.state == "previewed" and not _confirm(made, given["actor"], asks=asks, dry_run=wanted.dry_run):
        return _tell(made, as_json=True) if as_json else 0
    return _tell(made, as_json=as_json) if detach else _see_it_end(made, as_json=as_json)


def _plan(wanted: Wanted, given: dict[str, Any]) -> Plan:
    """What is asked for. Raises DataError."""
    actor: Actor | None = given["actor"]
    brought = merged(None, given["fields"])
    is_trigger = given["action"] == TRIGGER or given["fired"] is not None
    return Plan(
        action=TRIGGER if is_trigger else given["action"],
        state=given["to"],
        event=given["event"],
        trigger=given["fired"],
        payload=brought if is_trigger else {},
        patch={} if is_trigger else brought,
        new_key=given["new_key"],
        addresses=tuple(resolve(current(), text, actor).address for text in wanted.addresses),
        selection=wanted.selection,
        limit=wanted.limit,
        canary=given["canary"],
        rate=given["rate"],
        at_once=given["at_once"],
        stop_after=None if given["stop_after"] is None else share_of(given["stop_after"]),
        **Plan.person(actor),
        reason=given["reason"],
    )


def _confirm(made: Repair, actor: Actor | None, *, asks: bool, dry_run: bool) -> bool:
    """Whether it goes on. Whoever says no has it cancelled; a dry run is left as it is, to be confirmed later."""
    if asks and made.report().pending and click.confirm("Go on?", err=True):
        repairs.resume(made, actor=actor)
        return True
    if asks:
        made.cancel(reason="it was not confirmed", actor=actor)
        output.note(f"{made.address} is cancelled; nothing was changed")
    elif dry_run:
        output.note(f"dry run: nothing was changed; to do it: fsmflow repair resume {made.entity_id}")
    return False


def _see_it_end(made: Repair, *, as_json: bool) -> int:
    """Look on until it is over, or waits for a person. The exit status: 0 where all it has asked have recovered."""
    _follow(made, as_json=as_json, until=lambda: made.state in _RESTS or made.phase in (FAILED, FINISHED))
    return _tell(made, as_json=as_json)


def _follow(made: Repair, *, as_json: bool, until: Callable[[], bool]) -> None:
    """Look on, with a bar where there is a terminal. Ctrl-C ends that, and nothing else."""
    done = 0
    total = made.report().members or None
    try:
        with Bar(made.state, total=total, shown=can_show(as_json=as_json)) as bar:
            while not until():
                current().idle(_LOOK_S)
                report = made.refresh().report()
                settled = report.members - report.pending - report.under_way if report.asked else report.members
                bar.tell(output.cut(f"{made.state}: {progress_of(report)}", BAR_ROOM))
                bar.advance(max(settled - done, 0))
                done = max(settled, done)
    except KeyboardInterrupt:
        output.note(f"it goes on without this terminal: fsmflow repair show {made.entity_id}")
        raise


def _tell(made: Repair, *, as_json: bool) -> int:
    """The result. The exit status: 1 where it is stopped or has failed, or not all have recovered."""
    report = made.refresh().report()
    if as_json:
        output.print_json(object_of(made))
    else:
        for line in outcome_of(made):
            click.echo(line)
    bad = report.failed_alike + report.failed_otherwise + report.refused
    return int(bool(bad) or made.state in ("stopped", CANCELLED) or made.phase == FAILED)


@repair.command()
@click.argument("id_", metavar="ID", shell_complete=completion.addresses)
@click.option("--members", "fate", type=click.Choice([fate.value for fate in Fate]), help="Those of whom this is true.")
@json_option
def show(id_: str, fate: str | None, as_json: bool) -> int:
    """Show a repair: what it does, to how many, and what became of them so far.

    \b
      fsmflow repair show 20300101-4f2a9c
      fsmflow repair show 20300101-4f2a9c --members failed_alike
    """
    make_nothing()
    found = repairs.get(id_, actor=sitting())
    if fate is not None:
        if as_json:
            output.print_array(vars(member) for member in found.members(fate))
        else:
            for member in found.members(fate):
                click.echo(member_line(member))
        return 0
    if as_json:
        output.print_json(object_of(found))
        return 0
    for line in (*preview_of(found), *outcome_of(found)):
        click.echo(line)
    return 0


@repair.command()
@click.argument("id_", metavar="ID", shell_complete=completion.addresses)
@click.option("--reason", required=True, help="Why; kept in the history.")
@actor_options
@json_option
def stop(id_: str, reason: str, actor: Actor | None, as_json: bool) -> int:
    """Ask no more of them, until 'resume'. What was asked goes on its way.

    \b
      fsmflow repair stop 20300101-4f2a9c --reason 'the bank called'
    """
    make_nothing()
    found = repairs.stop(repairs.get(id_, actor=actor), reason=reason, actor=actor)
    _tell(found, as_json=as_json)
    return 0


@repair.command()
@click.argument("id_", metavar="ID", shell_complete=completion.addresses)
@click.option("--follow", is_flag=True, help="Look on until it is over.")
@actor_options
@reason_option
@json_option
@sets_going
def resume(id_: str, follow: bool, actor: Actor | None, reason: str | None, as_json: bool) -> int:
    """Go on with a repair: one that waits to be confirmed, is stopped, is paused, or has failed itself.

    Where its canary was not passed, as many others are tried first. What has failed so far does not count any more.

    \b
      fsmflow repair resume 20300101-4f2a9c --follow
    """
    make_nothing()
    found = repairs.get(id_, actor=actor)
    if found.plan.by_hand and found.phase != FINISHED:
        # It was begun by a command that runs it itself.
        selection = import_module("fsmflow.cli.selection")
        return int(selection.carry_on(found, actor=actor, reason=reason, as_json=as_json))
    found = repairs.resume(found, actor=actor, reason=reason)
    if follow:
        return _see_it_end(found, as_json=as_json)
    _tell(found, as_json=as_json)
    return 0


@repair.command("list")
@click.option("--limit", type=click.IntRange(1, MANY), default=20, metavar="N", show_default=True, help="So many.")
@json_option
def list_(limit: int, as_json: bool) -> int:
    """List repairs, the newest first.

    \b
      fsmflow repair list
    """
    make_nothing()
    found = cast(Any, repairs.find(newest=True, limit=limit, actor=sitting()))
    if as_json:
        output.print_array(map(object_of, found))
        return 0
    if not table_of(found):
        output.note("nothing was repaired yet")
    return 0
