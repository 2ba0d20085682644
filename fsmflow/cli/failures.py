"""``failures``: groups of what failed for one reason; one of them whole; and what people say of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import click

from fsmflow import failures as groups
from fsmflow.cli import completion, output
from fsmflow.cli.options import MANY, Group, actor_options, json_option, viewer_options
from fsmflow.cli.person import acting, told_of_teams
from fsmflow.cli.places import looked_in, make_nothing
from fsmflow.decision.group import Life
from fsmflow.decision.inputs import Actor
from fsmflow.engine.runtime import current
from fsmflow.engine.selection import Selection, select
from fsmflow.errors import shown
from fsmflow.failures import FailureGroup, Part
from fsmflow.objects.failures import command_of, parts_of, stuck_object, whole
from fsmflow.queries import StuckGroup, stuck_groups

#: So many kinds of causes are told of a group, and so many entities of one that is shown whole.
_CAUSES = 3
_EXAMPLES = 5


class _Failures(Group):
    """Takes a word that is no command of its own for the id of a group that is to be shown."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args[0] in self.commands else "show"
        return name, self.commands[name], args[1:] if args[0] in self.commands else args


@click.group(cls=_Failures, invoke_without_command=True, subcommand_metavar="[GROUP | COMMAND ...]")
@click.option("--machine", metavar="MACHINE", shell_complete=completion.machines, help="Those of this machine.")
@click.option("--all", "every", is_flag=True, help="Also what is resolved or ignored, and what nothing rests in now.")
@viewer_options
@json_option
@click.pass_context
def failures(context: click.Context, machine: str | None, every: bool, actor: Actor | None, as_json: bool) -> int:
    """Show what has failed, group by group, and how to retry it; or one GROUP, by enough of its id.

    What is due and cannot go on is told after that, with why, how often it was tried, and when that is tried next.

    A parent whose branches failed counts once, with what they failed with as its cause; to retry the parent is enough.
    Branches whose parent still waits for others are told at the end.

    \b
      fsmflow failures
      fsmflow failures --machine order --json
      fsmflow failures d15468
      fsmflow failures resolve d15468 --release 2.4.1
    """
    if context.invoked_subcommand is not None:
        return 0
    found, stuck = groups.groups(machine, every=True, actor=actor), stuck_groups(current(), machine, actor)
    told = [group for group in found if every or group.is_due]
    if as_json:
        output.print_array([*(each for group in told for each in parts_of(group)), *map(stuck_object, stuck)])
        return 0
    if not told and not stuck:
        what = "nothing that failed waits for somebody" if found else "nothing has failed"
        output.note(f"{what} in {looked_in(current().settings)}{told_of_teams(current(), actor)}")
    for group in told:
        _print_group(group, f"; 'fsmflow failures {group.short}' shows it")
    for one in stuck:
        _print_stuck(one)
    _tell_of_hidden([group for group in found if group.parts and group not in told])
    return 0


def _tell_of_hidden(hidden: list[FailureGroup]) -> None:
    if hidden:
        count = sum(group.count for group in hidden)
        entities = "1 entity rests" if count == 1 else f"{count:,} entities rest"
        which = "a failure group that is" if len(hidden) == 1 else f"{len(hidden):,} failure groups that are"
        output.note(f"{entities} in {which} resolved or ignored: --all shows what")


def _print_group(group: FailureGroup, more: str = "") -> None:
    causes = list(_causes(group))
    for number, part in enumerate(group.parts):
        _print_part(group, part, [] if number else causes)
    if not group.parts:
        head = f"0 x {group.machine}:{group.state}  {group.error_type}: {group.message}"
        output.print_line(output.cut(head, 200), indent=4)
    said = _said(group)
    for line in (*([said] if said else []), f"{_seen(group)}{more}"):
        output.print_line(f"    {output.cut(line, 300)}", indent=6)


def _print_part(group: FailureGroup, part: Part, causes: Iterable[str]) -> None:
    branches = f" (branch {part.branch})" if part.branch else " (branches)" if part.of_branches else ""
    head = f"{part.count:,} x {part.machine}:{part.state}{branches}  {part.error_type}: {part.message}"
    output.print_line(output.cut(head, 200), indent=4)
    for line in causes:
        output.print_line(f"    {output.cut(line, 196)}", indent=6)
    span = f"first {_told(part.first_at)} UTC, last {_told(part.last_at)} UTC"
    output.print_line(f"    {span}, for example {part.example}", indent=6)
    why = output.clean(f"{part.remedy.why}: ") if part.remedy.why else ""
    output.print_line(f"    {why}", indent=6, command=output.clean(command_of(group, part)))


def _seen(group: FailureGroup) -> str:
    """How often it came about."""
    times = "once" if group.seen == 1 else f"{group.seen:,} times"
    begin = f" since release {group.first_release}" if group.first_release else ""
    return f"group {group.short}: seen {times}{begin}"


def _said(group: FailureGroup) -> str:
    """What was said of a group, by whom and when; empty where nothing was."""
    facts = []
    if group.life is not Life.OPEN and group.life_at is not None:
        by = f" by {group.life_by}" if group.life_by else ""
        if group.life is Life.IGNORED:
            ends = [f"until {_told(group.until)} UTC" if group.until else ""]
            ends.append(f"until it was seen {group.most:,} times" if group.most else "")
            what = " or ".join(filter(None, ends))
            facts.append(f"ignored{by}{f' {what}' if what else ''}")
        else:
            release = f" in release {group.life_release}" if group.life_release else ""
            again = ", and came again" if group.life is Life.REOPENED else ""
            facts.append(f"resolved{by}{release} at {_told(group.life_at)} UTC{again}")
    if group.note:
        at = f" at {_told(group.noted_at)} UTC" if group.noted_at else ""
        facts.append(f"note{f' by {group.noted_by}' if group.noted_by else ''}{at}: {group.note}")
    if group.link:
        facts.append(group.link)
    return "; ".join(facts)


def _causes(group: FailureGroup) -> Iterator[str]:
    """What the branches failed with, the most frequent first."""
    for cause in group.causes[:_CAUSES]:
        # Of many the messages need not be the same.
        such = f"{cause.count:,} branches with {cause.error_type}, such as {cause.example}"
        yield f"cause: {f'{cause.example} with {cause.error_type}' if cause.count == 1 else such}: {cause.message}"
    if len(group.causes) > _CAUSES:
        yield f"... and {len(group.causes) - _CAUSES:,} more kinds; 'fsmflow failures --json' has all"


def _print_stuck(found: StuckGroup) -> None:
    head = f"{found.told_count} x {found.machine}:{found.state} stuck: {found.stuck}"
    output.print_line(output.cut(head, 300), indent=4)
    command = f"fsmflow explain {shlex.quote(found.example)}"
    output.print_line(f"    for example {found.example}: ", indent=6, command=command)


@failures.command()
@click.argument("group")
@viewer_options
@json_option
@click.pass_context
def show(context: click.Context, group: str, actor: Actor | None, as_json: bool) -> int:
    """Show one GROUP whole: how many rest in it now and how often it was seen, the releases, a sample with its
    traceback, the causes, what was said of it, and what to type. 'show' may be left out.

    \b
      fsmflow failures show d15468
      fsmflow failures d15468 --json
    """
    above = context.parent.params if context.parent is not None else {}
    if above.get("actor_name") or above.get("roles"):
        actor = acting(above["actor_name"], above["roles"])
    found = groups.group(group, actor=actor)
    selection = Selection(group=found.id)
    resting = [snapshot.address for snapshot in select(current(), selection, limit=_EXAMPLES, actor=actor)]
    if as_json or above.get("as_json"):
        output.print_json({**whole(found), "examples": resting})
        return 0
    _print_group(found)
    shown_ones = (
        ("life", str(found.life)),
        ("first seen", f"{_told(found.first_at)} UTC"),
        ("last seen", f"{_told(found.last_at)} UTC"),
        ("releases", ", ".join(f"{name or 'not known'} ({count:,})" for name, count in found.releases.items())),
        ("raised in", found.origin or ""),
        ("rest in it", ", ".join([*resting, *(["..."] if found.count > len(resting) else [])])),
        ("sample", found.sample or "deleted"),
    )
    for name, value in shown_ones:
        if value:
            output.print_line(f"{name + ':':12}{output.one_line(value)}", indent=12)
    click.echo(output.clean(found.traceback or f"{found.error_type}: {found.message}").rstrip())
    return 0


def _saying(command: Callable[..., FailureGroup]) -> Callable[..., int]:
    """A command that says something of a group: with ``--actor`` and ``--json``; it prints what the group is then."""

    def wrapped(as_json: bool, **options: Any) -> int:
        make_nothing()
        found = command(**options)
        if as_json:
            output.print_json(whole(found))
        else:
            said = "; ".join(filter(None, ["open" if found.life is Life.OPEN else "", _said(found)]))
            click.echo(output.one_line(f"{found.short}  {found.machine}:{found.state}  {said}"))
        return 0

    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    return actor_options(json_option(wrapped))


@failures.command()
@click.argument("group")
@click.option("--release", metavar="NAME", help="The release that mends it, as FSMFLOW_RELEASE names it.")
@_saying
def resolve(group: str, release: str | None, actor: Actor | None) -> FailureGroup:
    """Say that GROUP is mended. If it comes again, it is reopened.

    With --release, failures of workers that still run an older release are counted, and do not reopen it. What rests in
    the group stays where it is: retry it.

    \b
      fsmflow failures resolve d15468
      fsmflow failures resolve d15468 --release 2.4.1 --actor alice
    """
    return groups.resolve(group, release=release, actor=actor)


@failures.command()
@click.argument("group")
@click.option("--until", metavar="MOMENT", help="A day, 2030-12-24, or a moment, 2030-12-24T18:00, in UTC.")
@click.option("--count", type=click.IntRange(min=1, max=MANY), metavar="N", help="Until it was seen N times more.")
@_saying
def ignore(group: str, until: str | None, count: int | None, actor: Actor | None) -> FailureGroup:
    """Show GROUP no more: until a moment, or until it was seen so many times more, whichever comes first; without both
    for ever.

    \b
      fsmflow failures ignore d15468 --until 2030-12-24
      fsmflow failures ignore d15468 --count 100
    """
    return groups.ignore(group, until=None if until is None else _moment(until), count=count, actor=actor)


@failures.command()
@click.argument("group")
@_saying
def reopen(group: str, actor: Actor | None) -> FailureGroup:
    """Take back that GROUP is resolved or ignored.

    \b
      fsmflow failures reopen d15468
    """
    return groups.reopen(group, actor=actor)


@failures.command()
@click.argument("group")
@click.argument("text", required=False)
@click.option("--link", metavar="URL", help="Where more is written of it; empty takes it away.")
@_saying
def note(group: str, text: str | None, link: str | None, actor: Actor | None) -> FailureGroup:
    """Write TEXT to GROUP, in the place of the note that is there. An empty TEXT takes that away.

    \b
      fsmflow failures note d15468 "the bank is asked" --link https://tickets.example.com/17
    """
    return groups.note(group, text, link=link, actor=actor)


@failures.command()
@click.argument("group")
@click.argument("into")
@actor_options
@json_option
def merge(group: str, into: str, actor: Actor | None, as_json: bool) -> int:
    """Say that GROUP is the same as INTO: all that was seen of it, and will be, belongs to that from now on.

    \b
      fsmflow failures merge 77ab90 d15468
    """
    make_nothing()
    found = groups.merge(group, into, actor=actor)
    if as_json:
        output.print_json(whole(found))
    else:
        output.print_line(output.one_line(_seen(found)), indent=4)
    return 0


def _moment(text: str) -> datetime:
    """A day or a moment, in UTC where it has no zone. Raises BadParameter."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write a day, 2030-12-24, or a day and a time, 2030-12-24T18:00"
        raise click.BadParameter(f"{shown(text)} is no moment; {hint}", param_hint="--until") from error
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
