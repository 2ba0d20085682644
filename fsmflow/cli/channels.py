"""The command ``channels``: where messages to people and other systems go; a try of one, and a fresh secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from fsmflow import clock, settings
from fsmflow.channels import new_secret
from fsmflow.channels.kinds import Channel, Webhook
from fsmflow.channels.message import Message
from fsmflow.channels.sender import send
from fsmflow.cli import output
from fsmflow.cli.options import Group, json_option
from fsmflow.cli.overview import machines
from fsmflow.cli.places import told_by
from fsmflow.decision.notice import message_id
from fsmflow.errors import FsmflowError, text_of
from fsmflow.settings.channels import channel_of, channels_of


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def channels(context: click.Context, as_json: bool) -> int:
    """Show where messages to people and other systems go, and try a channel.

    What is shown of a channel is where it leads and what it is told of, and nothing that is secret.

    \b
      fsmflow channels
      fsmflow channels test ops
      fsmflow channels secret
    """
    if context.invoked_subcommand is not None:
        return 0
    context.with_resource(settings.looking())
    found = list(_found())
    if as_json:
        output.print_array(found)
        return 0
    rows = [(each["name"], each["kind"] or "-", each["place"] or "-", _detail(each)) for each in found]
    output.print_table(("NAME", "KIND", "WHERE", "TOLD OF"), rows)
    if any(each["kind"] is None for each in found):
        output.note("FSMFLOW_CHANNELS or configure(channels=...) says which channels there are")
    return 0


def _found() -> Iterator[dict[str, Any]]:
    """Each channel, and each that a machine or an alarm names and nobody has configured."""
    chosen = settings.current()
    there, told = channels_of(chosen.channels), told_by(chosen, machines().of_user())
    for name in [*there, *(name for name in told if name not in there)]:
        channel = there.get(name)
        yield {
            "name": name,
            "kind": None if channel is None else channel.kind,
            "place": None if channel is None else channel.place,
            "told_of": told.get(name, []),
            "lacks": [] if channel is None else channel.lacks,
            "private": isinstance(channel, Webhook) and channel.allow_private,
        }


def _detail(found: dict[str, Any]) -> str:
    parts = [", ".join(found["told_of"])]
    parts += ["not configured here"] if found["kind"] is None else []
    parts += ["private addresses allowed"] if found["private"] else []
    parts += [f"{name} is not set here" for name in found["lacks"]]
    return "; ".join(filter(None, parts)) or "-"


@channels.command("test")
@click.argument("name", metavar="NAME")
@json_option
def test_(name: str, as_json: bool) -> int:
    """Send one message of type fsmflow.test to the channel NAME, now and from here, and print what is answered.

    \b
      fsmflow channels test ops
    """
    channel = channel_of(settings.current().channels, name)
    try:
        answered, fault = _try(name, channel), None
    except FsmflowError as error:
        if not as_json:
            raise
        answered, fault = None, text_of(error)
    if as_json:
        output.print_json({"name": name, "kind": channel.kind, "answered": answered, "error": fault})
    else:
        click.echo(output.one_line(f"taken: {answered}"))
    return int(fault is not None)


def _try(name: str, channel: Channel) -> str:
    """What was answered. Raises what ``send`` raises."""
    now = clock.to_datetime(clock.local_now())
    said = {"text": f"a message to try the channel {name!r}, sent by 'fsmflow channels test'"}
    message = Message(
        id=message_id("fsmflow.test", name, new_secret()), type="fsmflow.test", timestamp=clock.iso(now), data=said
    )
    return send(channel, message)


@channels.command()
def secret() -> int:
    """Make a fresh secret for a webhook: for Webhook(secret=...) here, and for whoever receives.

    \b
      fsmflow channels secret
    """
    click.echo(new_secret())
    return 0
