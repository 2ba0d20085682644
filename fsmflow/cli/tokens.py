"""``tokens``: what lets programs in over HTTP, in the name of somebody."""

from __future__ import annotations

from typing import Any, Final

import click

from fsmflow.cli import output
from fsmflow.cli.options import Group, as_milliseconds, json_option
from fsmflow.cli.person import sitting
from fsmflow.cli.places import make_nothing
from fsmflow.decision.user import Token
from fsmflow.engine import tokens as engine
from fsmflow.engine.runtime import current
from fsmflow.objects.plain import iso

_DAYS: Final = "90d"


@click.group(cls=Group)
def tokens() -> None:
    """Make and revoke API tokens: each lets a program in, in somebody's name.

    A program that sends one acts as its owner, until the token ends.
    One's own need no permission. Where the installation has permissions, those of others take the permission 'tokens'.

    \b
      fsmflow tokens make --note 'nightly import'
      fsmflow tokens list
      fsmflow tokens revoke 5f2c7a9b01de
    """


@tokens.command()
@click.option("--for", "owner", metavar="NAME", help="Whom it acts as; the system's user, if not given.")
@click.option(
    "--role", "roles", metavar="ROLE", multiple=True, help="Only this role of its owner; repeatable. All, if not given."
)
@click.option("--read-only", "reads", is_flag=True, help="It looks, and changes nothing: GET alone.")
@click.option(
    "--lasts", "lasts_ms", type=as_milliseconds, metavar="DURATION", default=_DAYS, help=f"{_DAYS}, if not given."
)
@click.option("--note", help="What it is for.")
@json_option
def make(owner: str | None, roles: tuple[str, ...], reads: bool, lasts_ms: int, note: str | None, as_json: bool) -> int:
    """Make a token, and print it this once: it is not stored, and cannot be shown again.

    Programs send it as 'Authorization: Bearer ...'. It has at most what its owner has at that moment. Who is disabled
    is let in by no token.

    \b
      fsmflow tokens make --for importer --role clerk --lasts 30d --note 'nightly import'
    """
    make_nothing()
    actor = sitting()
    token, secret = engine.make(
        current(), owner or actor.login, actor, lasts_ms=lasts_ms, roles=roles or None, reads=reads, note=note
    )
    if as_json:
        output.print_json({**_object(token), "secret": secret})
        return 0
    click.echo(secret)
    output.note(
        f"this is token {token.id} of {token.owner}, until {output.moment(token.until)} UTC. It is not shown again; "
        f"'fsmflow tokens revoke {token.id}' ends it"
    )
    return 0


@tokens.command("list")
@click.option("--all", "every", is_flag=True, help="Those too that were revoked or have ended of late.")
@json_option
def list_(every: bool, as_json: bool) -> int:
    """List tokens: whose, for what, until when, and when each was used last, to a minute or two.

    \b
      fsmflow tokens list
    """
    make_nothing()
    runtime = current()
    now = runtime.now()
    found = [token for token in engine.listed(runtime, sitting()) if every or token.stands(now)]
    if as_json:
        output.print_array(map(_object, found))
        return 0
    if not found:
        output.note("there is no token; 'fsmflow tokens make' makes one")
    columns = ("TOKEN", "OWNER", "ROLES", "UNTIL", "LAST USED", "DETAIL")
    output.print_table(columns, [_row(token, now) for token in found])
    return 0


@tokens.command()
@click.argument("token")
@json_option
def revoke(token: str, as_json: bool) -> int:
    """Have TOKEN, by its id, let nobody in any more, from now on.

    \b
      fsmflow tokens revoke 5f2c7a9b01de
    """
    make_nothing()
    found = engine.revoke(current(), token, sitting())
    if as_json:
        output.print_json({"id": found.id, "revoked": True})
    else:
        click.echo(output.one_line(f"token {found.id} of {found.owner} lets nobody in any more"))
    return 0


def _row(token: Token, now: int) -> tuple[str, ...]:
    used = "-" if token.used_at is None else output.moment(token.used_at)
    roles = "all" if token.roles is None else ", ".join(sorted(token.roles)) or "none"
    ended = "" if token.stands(now) else "revoked" if token.revoked_at is not None else "ended"
    detail = [*filter(None, (ended, "read only" if token.reads else "", output.one_line(token.note or "")))]
    return (token.id, token.owner, roles, output.moment(token.until), used, "; ".join(detail))


def _object(token: Token) -> dict[str, Any]:
    """A token without its digest."""
    moments = {
        name: None if at is None else iso(at)
        for name, at in (("used_at", token.used_at), ("revoked_at", token.revoked_at))
    }
    return {
        "id": token.id,
        "owner": token.owner,
        "roles": None if token.roles is None else sorted(token.roles),
        "read_only": token.reads,
        "note": token.note,
        "made_at": iso(token.made_at),
        "made_by": token.made_by,
        "until": iso(token.until),
        "revoked_by": token.revoked_by,
        **moments,
    }
