"""The command ``web``: the pages and the API, served by themselves."""

from __future__ import annotations

import signal
from importlib import import_module
from typing import Any

import click

from fsmflow import settings
from fsmflow.cli.places import database_of, is_there
from fsmflow.engine.runtime import current
from fsmflow.engine.users import has_any
from fsmflow.errors import ConfigurationError, name_of, text_of
from fsmflow.log import lines
from fsmflow.log import web as lines_of_web

_NAMES = ("127.0.0.1", "localhost", "::1")


@click.command()
@click.option("--host", metavar="NAME", default="127.0.0.1", show_default=True, help="Listen on this address.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8090, show_default=True, help="Listen on this port.")
@click.option(
    "--auth",
    metavar="MODULE:NAME",
    help="A function of a request that says who asks, in place of the users of 'fsmflow users'.",
)
@click.option(
    "--proxy",
    "proxies",
    metavar="NETWORK",
    multiple=True,
    help="The proxy in front, as 10.0.0.0/8: it is believed who connects to it, and whether by https; repeatable.",
)
def web(host: str, port: int, auth: str | None, proxies: tuple[str, ...]) -> int:
    """Serve the pages for people: what there is, what has failed, and the buttons to mend it.

    Once there are users ('fsmflow users add'), they log in, and programs send API tokens ('fsmflow tokens make').
    Before that it listens on this machine alone, and whoever connects from here is the system's user. With --auth it
    asks that function who asks.

    \b
      fsmflow web
      fsmflow web --host 0.0.0.0 --proxy 10.0.0.0/8
      fsmflow web --port 8090 --auth shop.web:who_asks
      fsmflow web --host 0.0.0.0 --auth shop.web:who_asks
    """
    chosen = settings.current()
    if auth is not None and proxies:
        raise click.UsageError(
            "--proxy is for the login of fsmflow's own; the function of --auth knows its proxy itself"
        )
    who = None if auth is None else _found(auth)
    logs_in = auth is None and is_there(chosen) and has_any(current())
    if auth is None and not logs_in and host not in _NAMES:
        raise ConfigurationError(
            f"without a login, whoever reaches {host} could do everything: leave --host out and it listens on this "
            f"machine alone; let people log in by 'fsmflow users add NAME'; or say by --auth module:name who asks"
        )
    app = _app(who, proxies, logs_in=logs_in)
    if not is_there(chosen):
        raise ConfigurationError(
            f"there is no database yet ({database_of(chosen)}); the first 'fsmflow start' makes it, then run this again"
        )
    told = "whoever logs in" if logs_in else "the system's user, from this machine" if auth is None else None
    return _serve(app, host, port, told or f"whom {auth} knows")


def _app(auth: Any, proxies: tuple[str, ...], *, logs_in: bool) -> Any:
    web = _module("fsmflow.web")
    return web.create_app(web.first_of(web.TokenAuth(), web.Login(trusted=proxies)) if logs_in else auth)


def _module(name: str) -> Any:
    """Raises ConfigurationError where the packages of the web are missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"the web needs the package {error.name}: pip install 'fsmflow[web]'") from error


def _found(auth: str) -> Any:
    """The function that says who asks. Raises ConfigurationError."""
    module, colon, name = auth.partition(":")
    try:
        found = getattr(import_module(module), name) if colon else None
    except Exception as error:
        raise ConfigurationError(f"--auth {auth}: {name_of(type(error))}: {text_of(error)}") from error
    if not callable(found):
        raise ConfigurationError(f"--auth {auth} is no function; it is written module:name")
    return found


def _serve(app: Any, host: str, port: int, who: str) -> int:
    """Answer until SIGTERM or SIGINT."""
    lines.configure("INFO", lines.TEXT)
    server = _module("fsmflow.web.server").Server(app, host, port)
    for number in (signal.SIGTERM, signal.SIGINT):
        # The server answers to them, and sends them once more when it has ended.
        signal.signal(number, lambda number, frame: None)
    lines_of_web.listening(server.url, who)
    server.serve()
    return 0
