"""``users``: who may log in on the web."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

import click

from fsmflow.cli import output
from fsmflow.cli.options import Group, json_option
from fsmflow.cli.person import sitting
from fsmflow.cli.places import make_nothing
from fsmflow.decision.inputs import Actor, checked_text
from fsmflow.decision.user import User
from fsmflow.definition.operators import USERS
from fsmflow.engine import users as engine
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import ConfigurationError
from fsmflow.objects.plain import iso


@click.group(cls=Group)
def users() -> None:
    """Say who may log in on the web. Passwords are asked for, or read from standard input, and are never an argument.

    Where the installation has permissions, all but one's own password takes the permission 'users'.

    \b
      fsmflow users add ann
      fsmflow users list
      fsmflow users disable ann
    """


@users.command()
@click.argument("name")
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="A role of the user; repeatable.")
@click.option("--team", "teams", metavar="TEAM", multiple=True, help="A team of the user; repeatable.")
@json_option
def add(name: str, roles: tuple[str, ...], teams: tuple[str, ...], as_json: bool) -> int:
    """Let NAME log in, with a password that is asked for.

    Where the installation has permissions, roles and teams stand there, under [people]. Else they are said here; who is
    given no team is in all of them.

    \b
      fsmflow users add ann
      fsmflow users add ann --role manager --team acme
    """
    piped = None if sys.stdin.isatty() else _piped()  # before a database is made
    runtime, actor = current(), sitting()
    engine.permit(runtime, USERS, actor)
    engine.check_roles(runtime, Actor(checked_text(name, "the name of a user"), roles, teams=teams))
    user = engine.add(runtime, name, _password(name, piped), actor, roles=roles, teams=teams)
    return _tell(runtime, user, "may log in", as_json=as_json)


@users.command("list")
@json_option
def list_(as_json: bool) -> int:
    """List who may log in, as whom, and who is disabled.

    \b
      fsmflow users list
    """
    make_nothing()
    runtime = current()
    engine.permit(runtime, USERS, sitting())
    found = engine.everybody(runtime)
    if as_json:
        output.print_array(_object(runtime, user) for user in found)
        return 0
    if not found:
        where = runtime.settings.users or "the database"
        output.note(f"there is no user in {where}; 'fsmflow users add NAME' makes one")
    output.print_table(("NAME", "ROLES", "TEAMS", "LAST LOGIN", "DETAIL"), [_row(runtime, user) for user in found])
    return 0


@users.command()
@click.argument("name")
@json_option
def password(name: str, as_json: bool) -> int:
    """Give NAME another password, which is asked for. All sessions of NAME end; API tokens stay.

    \b
      fsmflow users password ann
    """
    make_nothing()
    runtime, actor = current(), sitting()
    if actor.login != name:
        engine.permit(runtime, USERS, actor)
    engine.known(runtime, name)
    piped = None if sys.stdin.isatty() else _piped()
    user = engine.change_password(runtime, name, _password(name, piped), actor)
    return _tell(runtime, user, "has another password; the sessions of before have ended", as_json=as_json)


@users.command()
@click.argument("name")
@json_option
def disable(name: str, as_json: bool) -> int:
    """Let NAME in no more, at once: by no password, no session and no API token.

    \b
      fsmflow users disable ann
    """
    make_nothing()
    runtime = current()
    engine.disable(runtime, name, sitting())
    return _tell(runtime, engine.known(runtime, name), "is let in no more", as_json=as_json)


@users.command()
@click.argument("name")
@json_option
def enable(name: str, as_json: bool) -> int:
    """Let NAME in again who was disabled. API tokens of NAME let in again too, until they end.

    \b
      fsmflow users enable ann
    """
    make_nothing()
    runtime = current()
    engine.enable(runtime, name, sitting())
    return _tell(runtime, engine.known(runtime, name), "may log in again", as_json=as_json)


@users.command()
@click.argument("name")
@json_option
def logout(name: str, as_json: bool) -> int:
    """End all sessions of NAME, who has to log in anew in each browser. API tokens stay.

    \b
      fsmflow users logout ann
    """
    make_nothing()
    runtime = current()
    engine.end_sessions(runtime, name, sitting())
    return _tell(runtime, engine.known(runtime, name), "is logged out everywhere", as_json=as_json)


@users.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> int:
    """Forget NAME, with all sessions and API tokens. What history tells of NAME stays.

    \b
      fsmflow users remove ann
    """
    make_nothing()
    engine.remove(current(), name, sitting())
    if as_json:
        output.print_json({"name": name, "removed": True})
    else:
        click.echo(output.one_line(f"{name} is removed"))
    return 0


def _password(name: str, piped: str | None) -> str:
    """The hash of a password: of the one that was piped here, or else is typed twice. Raises DataError."""
    passwords = _passwords()
    text = click.prompt("Password", hide_input=True, confirmation_prompt=True) if piped is None else piped
    return str(passwords.hashed(text, name))


def _piped() -> str:
    """The first line of standard input."""
    line = sys.stdin.readline()
    if not line:
        raise click.UsageError("standard input is empty; type the password, or send it there as one line")
    return line.removesuffix("\n").removesuffix("\r")


def _passwords() -> Any:
    """What makes hashes comes with the extra. Raises ConfigurationError."""
    try:
        return import_module("fsmflow.web.passwords")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"passwords need what the web needs ({error.name}); run pip install 'fsmflow[web]'"
        ) from error


def _tell(runtime: Runtime, user: User, what: str, *, as_json: bool) -> int:
    """Say what has come of it. Of users in a file, the line that has to stand there."""
    path = runtime.settings.users
    if as_json:
        line = {} if path is None else {"line": _line(user), "file": path}
        output.print_json({**_object(runtime, user), **line})
    elif path is None:
        click.echo(output.one_line(f"{user.name} {what}"))
    else:
        click.echo(_line(user))
        output.note(f"nothing is changed yet: put this line under [users] in {path}, in place of one for the same name")
    return 0


def _line(user: User) -> str:
    """A user as TOML. What JSON quotes is quoted alike there."""
    lists = {"roles": sorted(user.roles), "teams": sorted(user.teams)}
    more = "".join(f", {key} = {json.dumps(names)}" for key, names in lists.items() if names)
    more += ", disabled = true" if user.disabled else ""
    value = f"{{ password = {json.dumps(user.password)}{more} }}" if more else json.dumps(user.password)
    return f"{json.dumps(user.name)} = {value}"


def _row(runtime: Runtime, user: User) -> tuple[str, ...]:
    given = _object(runtime, user)
    seen = "-" if user.seen_at is None else output.moment(user.seen_at)
    roles, teams = (", ".join(given[key]) or "-" for key in ("roles", "teams"))
    return (user.name, roles, teams, seen, "disabled" if user.disabled else "")


def _object(runtime: Runtime, user: User) -> dict[str, Any]:
    """A user without the password's hash; roles and teams are those that count."""
    acts = engine.roles_of(runtime, user)
    return {
        "name": user.name,
        "disabled": user.disabled,
        "roles": sorted(acts.roles),
        "teams": sorted(acts.teams),
        "made_at": None if user.made_at is None else iso(user.made_at),
        "made_by": user.made_by,
        "seen_at": None if user.seen_at is None else iso(user.seen_at),
    }
