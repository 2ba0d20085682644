"""The command ``metrics``: the numbers of an installation for Prometheus, once or as a small server."""

from __future__ import annotations

import signal
import threading

import click

from fsmflow import settings
from fsmflow.cli.person import permit_all_teams
from fsmflow.cli.places import database_of, is_there
from fsmflow.errors import ConfigurationError
from fsmflow.log import lines, probes
from fsmflow.metrics.page import Page
from fsmflow.metrics.server import Server


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=9187, show_default=True, help="Listen on this port.")
@click.option(
    "--host",
    metavar="NAME",
    default="127.0.0.1",
    show_default=True,
    help="Listen on this address: 0.0.0.0 for all. Whoever can reach it may look.",
)
@click.option("--once", is_flag=True, help="Print the numbers and end.")
def metrics(port: int, host: str, once: bool) -> int:
    """Tell Prometheus how things stand. What entities, queues, failures, attempts and workers there are.

    It answers /metrics, /healthz (this process lives) and /readyz (database and Redis answer, the tables are right, the
    machines load) until it is stopped, and only reads. With --once the exit status is 1 where the database does not
    answer.

    \b
      fsmflow metrics --once
      fsmflow metrics --port 9187
      fsmflow metrics --host 0.0.0.0 --port 9187
    """
    permit_all_teams("metrics")
    page = Page()
    if once:
        text = page.text()
        click.echo(text, nl=False)
        return 0 if "\nfsmflow_up 1\n" in text else 1
    chosen = settings.current()
    if not is_there(chosen):
        raise ConfigurationError(
            f"there is no database yet ({database_of(chosen)}); the first 'fsmflow start' makes it, then run this again"
        )
    return _serve(host, port, page)


def _serve(host: str, port: int, page: Page) -> int:
    """Answer until SIGTERM or SIGINT."""
    lines.configure("INFO", lines.TEXT)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: ended.set())
    with Server(host, port, page) as server:
        probes.listening(server.url)
        thread = threading.Thread(target=server.serve_forever, name="fsmflow-server", daemon=True)
        thread.start()
        ended.wait()
        server.shutdown()
        thread.join()
    return 0
