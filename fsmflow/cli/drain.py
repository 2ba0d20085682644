"""``drain``: have the workers of a host take nothing new, end what they run, and work again."""

from __future__ import annotations

from collections import Counter

import click

from fsmflow import clock, settings
from fsmflow.cli import output
from fsmflow.cli.options import actor_options, as_milliseconds, json_option, reason_option
from fsmflow.cli.places import make_nothing
from fsmflow.decision.inputs import Actor
from fsmflow.engine import drains
from fsmflow.engine.runtime import Runtime, current
from fsmflow.objects.drains import object_of, processes

_LOOK_S = 0.25


@click.command()
@click.argument("host", required=False)
@click.option("--undo", is_flag=True, help="Have them work again.")
@click.option(
    "--wait",
    "wait_ms",
    type=as_milliseconds,
    metavar="TIME",
    help="Wait until none of its processes is left, so long at most: 90s, 10m. The exit status is 1 where one is.",
)
@actor_options
@reason_option
@json_option
def drain(
    host: str | None, undo: bool, wait_ms: int | None, actor: Actor | None, reason: str | None, as_json: bool
) -> int:
    """Have the workers of HOST take nothing new and end what they run, as before a new release. It lasts until --undo,
    also for workers that are started there meanwhile. 'fsmflow info' has the names of hosts.

    Without HOST it shows what drains, and how many processes are left there.

    \b
      fsmflow drain web1 --wait 10m --reason 'release 2.4.1'
      fsmflow drain web1 --undo
      fsmflow drain
    """
    if host is None:
        if undo or wait_ms is not None:
            raise click.UsageError("name the HOST; 'fsmflow drain' alone shows those that drain")
        click.get_current_context().with_resource(settings.looking())
        return _show(current(), as_json=as_json)
    make_nothing()
    runtime = current()
    if undo:
        return _undone(runtime, host, actor, as_json=as_json)
    made = drains.drain(runtime, host, actor=actor, reason=reason)
    there = processes(runtime)
    if there is not None and not there[host]:
        output.note(f"no worker process is on {host!r} now; hosts with some: {', '.join(sorted(there)) or 'none'}")
    there = _there_after(runtime, host, wait_ms)
    if as_json:
        output.print_json(object_of(made, there))
    else:
        click.echo(output.one_line(f"{made}; {_told(host, there)}"))
    return 1 if wait_ms is not None and (there is None or there[host]) else 0


def _undone(runtime: Runtime, host: str, actor: Actor | None, *, as_json: bool) -> int:
    gone = drains.undo(runtime, host, actor=actor)
    if as_json:
        output.print_json(object_of(gone, processes(runtime)))
    else:
        click.echo(output.one_line(f"host {host} drains no more; its workers are put to work again"))
    return 0


def _show(runtime: Runtime, *, as_json: bool) -> int:
    found, there = drains.drains(runtime).values(), processes(runtime)
    if as_json:
        output.print_array(object_of(each, there) for each in found)
        return 0
    for each in found:
        click.echo(output.one_line(f"{each}; {_told(each.host, there)}"))
    if not found:
        output.note("no host drains; 'fsmflow drain --help' says how that is done")
    return 0


def _there_after(runtime: Runtime, host: str, wait_ms: int | None) -> Counter[str] | None:
    """Which processes there are, at once or as soon as none of the host is left."""
    until = clock.monotonic() + (wait_ms or 0) / 1000
    while ((there := processes(runtime)) is None or there[host]) and clock.monotonic() < until:
        clock.pause(_LOOK_S)
    return there


def _told(host: str, there: Counter[str] | None) -> str:
    if there is None:
        return "Redis does not answer, and how many processes are left there is not known"
    left = there[host]
    return "no process is left there" if not left else f"{left} process{'es are' if left > 1 else ' is'} left there"
