"""The command ``waiting``: what waits for somebody's decision."""

from __future__ import annotations

from typing import Any

import click

from fsmflow import clock
from fsmflow.cli import completion, output
from fsmflow.cli.options import MANY, json_option, viewer_options
from fsmflow.cli.person import sitting
from fsmflow.cli.places import looked_in
from fsmflow.decision.inputs import Actor
from fsmflow.engine.desk import Waiting, waiting_count, waiting_for
from fsmflow.engine.runtime import Runtime, current


@click.command()
@click.option("--machine", metavar="MACHINE", shell_complete=completion.machines, help="Those of this machine.")
@click.option("--anyone", is_flag=True, help="What takes no role as well, in states where nothing runs.")
@click.option("--after", metavar="CURSOR", help="Those that follow on a page, as its last line says.")
@click.option("--limit", type=click.IntRange(min=1, max=MANY), default=50, help="At most so many; 50 if not given.")
@viewer_options
@json_option
def waiting(
    machine: str | None, anyone: bool, after: str | None, limit: int, actor: Actor | None, as_json: bool
) -> int:
    """Show what waits for you: entities with a trigger that takes a role which you have, the next deadline first.

    \b
      fsmflow waiting
      fsmflow waiting --actor ann --role manager
      fsmflow waiting --machine order --json
    """
    runtime, who = current(), actor or sitting()
    page = waiting_for(runtime, who, machine=machine, anyone=anyone, after=after, limit=limit)
    if as_json:
        output.print_array(map(_object, page.found))
    elif not output.print_table(
        ("ADDRESS", "STATE", "FOR", "UNTIL (UTC)", "MAY"), (_row(runtime, each) for each in page.found)
    ):
        roles = ", ".join(sorted(who.roles)) or "none"
        output.note(f"nothing waits for {output.one_line(who.name)} (roles: {roles}) in {looked_in(runtime.settings)}")
    if page.more:
        most = waiting_count(runtime, who)
        output.note(f"there are more, up to {most:,} in all: --after {page.found[-1].cursor} shows the next")
    for name in page.cut:
        output.note(f"of {name} only those were looked at that were started first")
    return 0


def _row(runtime: Runtime, found: Waiting) -> tuple[str, ...]:
    snapshot = found.snapshot
    return (
        snapshot.address,
        snapshot.state,
        output.duration(runtime.now() - snapshot.entered_at),
        "" if found.deadline is None else output.moment(found.deadline),
        ", ".join(offer.trigger for offer in found.offers),
    )


def _object(found: Waiting) -> dict[str, Any]:
    snapshot = found.snapshot
    return {
        "address": snapshot.address,
        "state": snapshot.state,
        "epoch": snapshot.epoch,
        "since": _iso(snapshot.entered_at),
        "deadline": None if found.deadline is None else _iso(found.deadline),
        "triggers": [offer.trigger for offer in found.offers],
        "cursor": found.cursor,
    }


def _iso(moment: int) -> str:
    return clock.iso(clock.to_datetime(moment))
