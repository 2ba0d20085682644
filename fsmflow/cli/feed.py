"""``feed``: what happens to entities, line by line, for other programs; and the feeds that are stored."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any, cast

import click

from fsmflow import feeds
from fsmflow.cli import completion, output
from fsmflow.cli.options import MANY, Command, Group, json_option, viewer_options
from fsmflow.cli.person import permit_all_teams
from fsmflow.cli.places import looked_in, make_nothing
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.inputs import Actor
from fsmflow.engine.runtime import current
from fsmflow.feeds import Feed, FeedEntry, FeedState, Start
from fsmflow.objects.feeds import line_object, state_object
from fsmflow.scope import scope

_start = click.Choice(["now", "beginning"])


class _Feeds(Group):
    """Takes a word that is no command of its own for the name of a feed that is to be read."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["read", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Feeds, subcommand_metavar="[NAME | COMMAND] ...")
def feed() -> None:
    """Tell what happens to entities, line by line, from where NAME stopped reading.

    Every line is told at least once, however long a transaction is open, and those of one entity in their order. A line
    counts as read once it is written. Without NAME nothing is stored. 'fsmflow feed read --help' has the options.

    \b
      fsmflow feed billing --machine order --state paid --follow --json
      fsmflow feed --from beginning --limit 20
      fsmflow feed list
      fsmflow feed rewind billing --from beginning
      fsmflow feed forget billing
    """


_NARROWING = (
    click.option(
        "--machine",
        multiple=True,
        metavar="MACHINE",
        shell_complete=completion.machines,
        help="Of this one; repeatable.",
    ),
    click.option(
        "--state",
        "states",
        multiple=True,
        metavar="GLOB",
        shell_complete=completion.states,
        help="What leads to this state.",
    ),
    click.option(
        "--trigger",
        "triggers",
        multiple=True,
        metavar="GLOB",
        shell_complete=completion.triggers,
        help="What this trigger fired.",
    ),
    click.option(
        "--kind", "kinds", multiple=True, type=click.Choice([kind.value for kind in HistoryKind]), help="Of this kind."
    ),
    click.option("--branches", is_flag=True, help="Of branches and children too."),
)


def _narrowed(command: Command) -> Command:
    """The options that say which lines are told."""
    for option in reversed(_NARROWING):
        command = option(command)
    return command


@feed.command()
@click.argument("name", required=False)
@click.option("--follow", is_flag=True, help="Wait for what comes, until stopped.")
@click.option(
    "--from",
    "start",
    type=_start,
    help="Where a feed begins that is new, or has no name: 'now' with a NAME or --follow, else the 'beginning'.",
)
@_narrowed
@click.option("--limit", type=click.IntRange(min=1, max=MANY), metavar="N", help="End after so many.")
@viewer_options
@json_option
def read(
    name: str | None,
    follow: bool,
    start: str | None,
    limit: int | None,
    actor: Actor | None,
    as_json: bool,
    **narrowing: Any,
) -> int:
    """Tell lines from where NAME stopped reading; 'read' may be left out. With --json one object a line.

    A feed with a NAME is for whoever may see all teams. One program reads a feed at a time; a second one waits with
    --follow, and is refused without. SIGTERM ends it after the line that is being written.

    \b
      fsmflow feed billing --machine order --state paid --follow --json
      fsmflow feed --follow
    """
    make_nothing()
    if name is not None:
        permit_all_teams("feed", actor)
    begins = start or ("now" if name is not None or follow else "beginning")
    given: dict[str, Any] = {word: value or None for word, value in narrowing.items()}
    found = feeds.feed(name, follow=follow, start=cast("Start", begins), actor=actor, **given)
    count = 0
    with _ended_by_sigterm(found):
        for entry in _first(found, limit):
            click.echo(output.to_json(line_object(entry)) if as_json else _line(entry))
            count += 1
    if not count and not follow:
        output.note(f"nothing new in {looked_in(current().settings)}")
    return 0


def _first(found: Feed, limit: int | None) -> Iterator[FeedEntry]:
    """Up to so many; the last one has been read too, once it is written."""
    for count, entry in enumerate(found, 1):
        if count == limit:
            found.stop()
        yield entry


@scope
def _ended_by_sigterm(found: Feed) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        found.stop()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _line(found: FeedEntry) -> str:
    entry = found.entry
    what = (entry.trigger or "") if entry.kind is HistoryKind.TRANSITION else f"{entry.kind} {entry.trigger or ''}"
    way = entry.dest if entry.source in (None, entry.dest) else f"{entry.source} -> {entry.dest}"
    who = f" by {entry.actor}" if entry.actor else ""
    told = output.one_line(f"{found.address} {what.strip()}: {way}{who}")
    return f"{entry.at:%Y-%m-%d %H:%M:%S}  {told}"


@feed.command("list")
@json_option
def list_(as_json: bool) -> int:
    """List feeds: who reads each, when it was read last, about how many lines it is behind and since when, what it has
    told, and what was deleted before it had read it.

    \b
      fsmflow feed list
    """
    permit_all_teams("feed")
    make_nothing()
    found = feeds.feeds()
    if as_json:
        output.print_array(map(state_object, found))
    elif not output.print_table(("NAME", "READER", "READ (UTC)", "BEHIND", "TOLD", "DETAIL"), map(_row, found)):
        output.note(f"there is no feed in {looked_in(current().settings)}")
    return 0


def _row(found: FeedState) -> tuple[str, ...]:
    oldest = "" if found.oldest_at is None else f", since {found.oldest_at:%Y-%m-%d %H:%M:%S}"
    details = (
        found.wanted,
        f"{found.missing:,} numbers may still be committed" if found.missing else "",
        f"{found.missed:,} lines were deleted unread" if found.missed else "",
    )
    return (
        found.name,
        output.one_line(found.reader or ""),
        "" if found.read_at is None else f"{found.read_at:%Y-%m-%d %H:%M:%S}",
        f"{found.behind:,}{oldest}",
        f"{found.told:,}",
        output.one_line("; ".join(filter(None, details))),
    )


@feed.command()
@click.argument("name")
@click.option("--from", "start", type=_start, required=True, help="Where it goes on.")
def rewind(name: str, start: str) -> int:
    """Let the feed NAME go on from the beginning of all that is kept, or from now on. Who reads it now is refused.

    \b
      fsmflow feed rewind billing --from beginning
    """
    permit_all_teams("feed")
    make_nothing()
    feeds.rewind(name, cast("Start", start))
    where = "now on" if start == "now" else "the beginning of all that is kept"
    click.echo(f"feed {name} goes on from {where}")
    return 0


@feed.command()
@click.argument("name")
def forget(name: str) -> int:
    """Delete the feed NAME. Who reads under that name later begins another one.

    \b
      fsmflow feed forget billing
    """
    permit_all_teams("feed")
    make_nothing()
    feeds.forget(name)
    click.echo(f"feed {name} is forgotten")
    return 0
