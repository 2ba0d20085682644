"""The ``fsmflow`` command, and the boundary at which errors become one line and an exit status.

It imports click and little else: what a command needs is imported when that command is run, so that help and the
completion of a shell answer at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from fsmflow import __version__
from fsmflow.cli.catalogue import Catalogue

REFUSED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130


@click.group(cls=Catalogue, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fsmflow")
@click.pass_context
def cli(context: click.Context) -> None:
    """Workflows as state machines: each entity's state is a row in SQL, its steps run as jobs, and what failed can be
    retried from the step that failed.

    Machines are Python classes, looked for in the modules that FSMFLOW_MACHINES names ('machines' if it is not set).
    FSMFLOW_DATABASE_URL and FSMFLOW_REDIS_URL say where the data is; without them SQLite and a Valkey server of one's
    own are kept in the folder FSMFLOW_HOME ('.fsmflow').

    \b
      fsmflow worker &
      fsmflow start order 1042 amount:=1500
      fsmflow trigger order:1042 submit
      fsmflow show order:1042
      fsmflow retry order:1042

    Exit status: 0 done, 1 refused or failed, 2 wrong usage.
    """
    import_module("fsmflow.cli.places").begin(context)


def main() -> int:
    """The console script. The exit status."""
    return run(cli, sys.argv[1:], "fsmflow")


def run(command: click.Command, arguments: Sequence[str], name: str) -> int:
    """Run a command as a program of that name would; the exit status. Machines are looked for in the current folder
    first."""
    try:
        _prepare()
        status = command.main(list(arguments), prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return WRONG_USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more: let the interpreter flush into nothing instead of complaining. (click does the same
        # where it meets this first.)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except Exception as error:
        if not import_module("fsmflow.cli.errors").is_told(error):
            raise
        return REFUSED
    return status if isinstance(status, int) else 0


def _prepare() -> None:
    folder = os.getcwd()
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
