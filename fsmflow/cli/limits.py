"""``limits``: how limits are used, who has permits of them, and how many wait."""

from __future__ import annotations

import click

from fsmflow import settings
from fsmflow.cli import output
from fsmflow.cli.options import json_option
from fsmflow.cli.person import sitting
from fsmflow.engine.limits import holders_of, in_use, told
from fsmflow.engine.runtime import current
from fsmflow.objects.limits import object_of
from fsmflow.store.usage import Holder, Used


@click.command()
@click.argument("name", required=False)
@json_option
def limits(name: str | None, as_json: bool) -> int:
    """Show how limits are used: who has permits, and how many wait in line. Those that were met of late; with NAME
    that one, and who has its permits.

    \b
      fsmflow limits
      fsmflow limits gateway
    """
    click.get_current_context().with_resource(settings.looking())
    runtime, who = current(), sitting()
    found = in_use(runtime, who, name=name)
    holders = holders_of(runtime, who, name=name) if found and (as_json or name is not None) else []
    if as_json:
        output.print_array(object_of(each, holders) for each in found)
        return 0
    for each in found:
        click.echo(output.one_line(_line(each)))
    for holder in holders:
        click.echo(output.one_line(_holder(holder)))
    if not found:
        what = "no limit" if name is None else f"no limit {name!r}"
        output.note(f"{what} was met of late; a state has some by limits=[Limit(...)]")
    return 0


def _line(used: Used) -> str:
    facts = [f"{used.held:,} have a permit"] if used.running is not None else []
    facts += [f"{used.started:,} began within a minute"] if used.per_minute is not None else []
    since = "" if used.since is None else f", the first since {output.moment(used.since)} UTC"
    facts.append(f"{used.waiting:,} wait{since}")
    room = "" if used.room_at is None else f"; room again at {output.moment(used.room_at)} UTC"
    return f"{told(used)}: {', '.join(facts)}{room}"


def _holder(holder: Holder) -> str:
    return f"  {holder.address} has a permit since {output.moment(holder.at)} UTC"
