"""``manage.py fsmflow ...``: the commands of ``fsmflow``, with the apps loaded and the settings of the project."""

from __future__ import annotations

import sys
from argparse import REMAINDER
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from fsmflow.cli.main import cli, run

#: Options of Django's, which it has read by then; each takes a value.
_OF_DJANGO: Final = ("--settings", "--pythonpath")


class Command(BaseCommand):  # type: ignore[misc]
    """All that follows is read by ``fsmflow`` itself, but for ``--settings`` and ``--pythonpath`` of Django."""

    help = "Start, look at and mend entities, and run their jobs: all commands of fsmflow. See 'manage.py fsmflow -h'."
    requires_system_checks: tuple[str, ...] = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Never returns: the exit status is that of ``fsmflow``."""
        program = Path(argv[0]).name
        program = "python -m django" if program == "__main__.py" else program
        sys.exit(run(cli, _ours(argv[2:]), f"{program} {argv[1]}"))

    def add_arguments(self, parser: Any) -> None:
        """For ``call_command("fsmflow", "list")``."""
        parser.add_argument("arguments", nargs=REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        status = run(cli, [*args, *options["arguments"]], "manage.py fsmflow")
        if status:
            raise CommandError(f"fsmflow ended with status {status}", returncode=status)


def _ours(arguments: list[str]) -> list[str]:
    """What is not Django's."""
    ours: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word in _OF_DJANGO:
            next(rest, None)
        elif word.partition("=")[0] not in _OF_DJANGO:
            ours.append(word)
    return ours
