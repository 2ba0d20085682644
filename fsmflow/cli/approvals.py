"""The command ``link``: a link by which somebody without an account decides one thing, once."""

from __future__ import annotations

from typing import Any

import click

from fsmflow import clock, log
from fsmflow.cli import completion, output
from fsmflow.cli.bulk import handle
from fsmflow.cli.fields import FIELD, HELP, as_field, merged
from fsmflow.cli.options import actor_options, as_milliseconds, data_option, json_option
from fsmflow.cli.places import make_nothing
from fsmflow.decision.inputs import Actor
from fsmflow.decision.permission import Gate
from fsmflow.definition.operators import REVOKE_LINKS
from fsmflow.engine import approvals
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import NotPermitted
from fsmflow.queries import resolve


@click.command(epilog=HELP)
@click.argument("address", required=False, shell_complete=completion.addresses)
@click.argument("name", metavar="TRIGGER", required=False, shell_complete=completion.triggers)
@click.argument("fields", nargs=-1, type=as_field, metavar=f"[{FIELD}]...")
@data_option
@click.option("--for", "person", metavar="PERSON", help="Who is to decide; kept in the history as who did.")
@click.option(
    "--within", type=as_milliseconds, default="3d", metavar="DURATION", help="For how long it holds: 2h, 1w; else 3d."
)
@click.option("--base-url", metavar="URL", help="Where people reach the web, if not at FSMFLOW_WEB_URL.")
@click.option("--revoke-all", is_flag=True, help="Make all links void that there are.")
@actor_options
@json_option
def link(
    address: str | None,
    name: str | None,
    fields: tuple[tuple[str, Any], ...],
    data: dict[str, Any] | None,
    person: str | None,
    within: int,
    base_url: str | None,
    revoke_all: bool,
    actor: Actor | None,
    as_json: bool,
) -> int:
    """Make a link by which PERSON fires TRIGGER on the entity at ADDRESS, once, from a page with a button.

    The link is the permission: whoever has it is taken for that person. It holds only while the entity stands where it
    does now. Nobody makes one for what he may not do himself. What follows the trigger is the event's payload.

    \b
      fsmflow link order:1042 approve --for manager@example.org --role manager
      fsmflow link order:1042 approve --for manager@example.org --within 2h
      fsmflow link --revoke-all
    """
    make_nothing()
    if revoke_all and address is None:
        return _revoke(actor, as_json=as_json)
    if revoke_all or address is None or name is None or person is None:
        raise click.UsageError("say which entity, which trigger and for whom: ADDRESS TRIGGER --for PERSON")
    found = resolve(runtime := current(), address, actor)
    entity = handle(runtime.machines.get(found.machine), found)
    given: dict[str, Any] = {"within": within / 1000, "base_url": base_url, "actor": actor}
    url = entity.approval_link(name, merged(data, fields), for_=person, **given)
    if as_json:
        until = clock.iso(clock.to_datetime(runtime.now() + within))
        output.print_json({"address": entity.address, "trigger": name, "for": person, "until": until, "url": url})
        return 0
    click.echo(url)
    output.note(
        f"whoever has it is taken for {output.one_line(person)}; it can be used once, within {output.duration(within)}"
    )
    return 0


def _revoke(actor: Actor | None, *, as_json: bool) -> int:
    runtime = current()
    _permit(runtime, actor)
    approvals.revoke(runtime)
    if as_json:
        output.print_json({"revoked": True})
    else:
        click.echo("all links that there were are void")
    return 0


def _permit(runtime: Runtime, actor: Actor | None) -> None:
    permissions = runtime.settings.permissions
    if permissions is None or not permissions.closes:
        return
    refusal: NotPermitted | None = Gate(permissions=permissions).of_installation(REVOKE_LINKS, actor)
    if refusal is not None:
        log.permission_refused(refusal)
        raise refusal
