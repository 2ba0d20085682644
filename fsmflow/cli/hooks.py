"""The command ``hooks``: which webhooks of others fire what; what came and led to nothing, tried again or dropped."""

from __future__ import annotations

import json
from typing import Any

import click

from fsmflow import clock, settings
from fsmflow.cli import output
from fsmflow.cli.options import Group, actor_options, json_option, viewer_options
from fsmflow.cli.overview import machines
from fsmflow.cli.places import make_nothing
from fsmflow.decision.arrival import Arrival
from fsmflow.decision.inputs import Actor
from fsmflow.engine import hooks as arrivals
from fsmflow.engine.runtime import current


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def hooks(context: click.Context, as_json: bool) -> int:
    """Show which webhooks of others fire which triggers, and what came and led to nothing.

    \b
      fsmflow hooks
      fsmflow hooks list
      fsmflow hooks replay d15468a0
    """
    if context.invoked_subcommand is not None:
        return 0
    context.with_resource(settings.looking())
    found = [
        {
            "name": hook.name,
            "machine": definition.name,
            "trigger": hook.trigger,
            "verify": type(hook.verify).__name__,
            "path": f"/hooks/{hook.name}",
        }
        for definition in machines().of_user().values()
        for hook in definition.wide.hooks
    ]
    if as_json:
        output.print_array(found)
        return 0
    rows = [tuple(each[name] for name in ("name", "machine", "trigger", "verify", "path")) for each in found]
    output.print_table(("NAME", "MACHINE", "FIRES", "VERIFIED AS", "PATH"), rows)
    if not found:
        output.note("no machine has hooks; a class names them: hooks = [Hook('stripe', ...)]")
    return 0


@hooks.command("list")
@click.option("--hook", metavar="NAME", help="What came to this hook alone.")
@viewer_options
@json_option
def list_(hook: str | None, actor: Actor | None, as_json: bool) -> int:
    """List what came, was verified and led to nothing, the latest first. It is kept for 30 days, 1,000 at most.

    \b
      fsmflow hooks list
      fsmflow hooks list --hook stripe --json
    """
    click.get_current_context().with_resource(settings.looking())
    found = arrivals.kept(current(), actor, hook)
    if as_json:
        output.print_array(map(_object, found))
        return 0
    columns = ("ID", "HOOK", "EVENT", "FOR", "TRIES", "LAST (UTC)", "WHY")
    output.print_table(columns, [_row(one) for one in found])
    if not found:
        output.note("nothing is kept: all that came and was verified led to something")
    return 0


@hooks.command()
@click.argument("id_", metavar="ID")
@viewer_options
@json_option
def show(id_: str, actor: Actor | None, as_json: bool) -> int:
    """Show one of them, by enough of its id, with its body. What its machine redacts was not kept.

    \b
      fsmflow hooks show d15468a0
    """
    click.get_current_context().with_resource(settings.looking())
    found = arrivals.find(current(), id_, actor)
    told = {**_object(found), "body": None if found.body is None else json.loads(found.body)}
    if as_json:
        output.print_json(told)
        return 0
    for name, value in told.items():
        if name != "body" and value is not None:
            click.echo(f"{name + ':':12}{output.one_line(str(value))}")
    click.echo(output.clean(json.dumps(told["body"], indent=2, ensure_ascii=True)))
    return 0


@hooks.command()
@click.argument("id_", metavar="ID")
@actor_options
@json_option
def replay(id_: str, actor: Actor | None, as_json: bool) -> int:
    """Fire one of them once more, with the same key, by the code and the state of now. It is forgotten then.

    \b
      fsmflow hooks replay d15468a0
    """
    make_nothing()
    entry = arrivals.replay(current(), id_, actor)
    if as_json:
        output.print_json(
            {"trigger": entry.trigger, "kind": entry.kind, "state": entry.dest, "repeated": entry.repeated}
        )
    else:
        click.echo(f"{entry.trigger}: {entry.source} -> {entry.dest}" if entry.kind.enters else f"{entry.kind}")
    return 0


@hooks.command()
@click.argument("id_", metavar="ID")
@actor_options
@json_option
def drop(id_: str, actor: Actor | None, as_json: bool) -> int:
    """Forget one of them.

    \b
      fsmflow hooks drop d15468a0
    """
    make_nothing()
    found = arrivals.drop(current(), id_, actor)
    if as_json:
        output.print_json(_object(found))
    else:
        click.echo(f"forgotten: {found.id}, for hook {output.one_line(found.hook)}")
    return 0


def _row(found: Arrival) -> tuple[str, ...]:
    moment = output.moment(found.last_at)
    event, target = (output.one_line(text or "-") for text in (found.event, found.address))
    return found.id, found.hook, event, target, str(found.tries), moment, output.one_line(found.why)


def _object(found: Arrival) -> dict[str, Any]:
    names = ("id", "hook", "machine", "trigger", "address", "event", "key", "tries", "why")
    times = {name: clock.iso(clock.to_datetime(getattr(found, name))) for name in ("at", "last_at")}
    return {**{name: getattr(found, name) for name in names}, **times}
