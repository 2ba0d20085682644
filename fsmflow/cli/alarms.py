"""``alarms``: what somebody was told of and goes on, and what there is to be alarmed about right now."""

from __future__ import annotations

from typing import Any

import click

from fsmflow import clock
from fsmflow.cli import output
from fsmflow.cli.options import json_option, viewer_options
from fsmflow.cli.person import permit_all_teams
from fsmflow.cli.places import looked_in, strange_channels
from fsmflow.decision.inputs import Actor
from fsmflow.engine.runtime import current
from fsmflow.engine.signs import rules_of
from fsmflow.operations import alarms as raised_ones
from fsmflow.operations.alarms import Raised


@click.command()
@click.option(
    "--check", is_flag=True, help="Look right now, without a worker; the exit status is 1 where there is any."
)
@viewer_options
@json_option
def alarms(check: bool, actor: Actor | None, as_json: bool) -> int:
    """Show which alarms are raised: since when, what happened, and what to type next.

    Workers raise and end them, and tell of both in the log and where the alarm says. With --check nothing is raised or
    told: it looks by itself, for cron, or for the probe of a container.

    \b
      fsmflow alarms
      fsmflow alarms --check --json
    """
    permit_all_teams("alarms", actor)
    found = raised_ones.check() if check else raised_ones.raised()
    if as_json:
        output.print_array(map(_object, found))
    else:
        for one in found:
            _print(one)
        if not found:
            output.note(_nothing(check=check))
    runtime = current()
    for line in strange_channels(runtime.settings, runtime.machines.of_user()):
        output.note(f"channel {line}")
    return int(check and bool(found))


def _nothing(*, check: bool) -> str:
    runtime = current()
    if not rules_of(runtime):
        return "no machine has alarms = [...], and neither FSMFLOW_ALARMS nor configure(alarms=...) names any"
    return (
        f"{'there is nothing to be alarmed about' if check else 'no alarm is raised'} in {looked_in(runtime.settings)}"
    )


def _print(one: Raised) -> None:
    since = "" if one.since is None else f", since {one.since:%Y-%m-%d %H:%M:%S} UTC"
    silent = f", silent until 'fsmflow resume {one.address}'" if one.silent else ""
    tell = f", told to {', '.join(one.tell)}" if one.tell else ""
    output.print_line(output.clean(f"{one.address}{since}{tell}{silent}"), indent=4)
    output.print_line(f"    {output.clean(one.text)}", indent=6)
    output.print_line("    ", indent=6, command=output.clean(one.todo))


def _object(one: Raised) -> dict[str, Any]:
    return {**vars(one), "since": one.since and clock.iso(one.since)}
