"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


def can_show(*, as_json: bool = False) -> bool:
    """Whether a bar has a place: not where JSON is printed to the same terminal."""
    return sys.stderr.isatty() and not (as_json and sys.stdout.isatty())


class Bar:
    """What is done so far, out of ``total`` where that is known. Nothing is drawn where it is not ``shown``."""

    def __init__(self, what: str, *, total: int | None, shown: bool) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not shown,
        )
        self._shown = shown
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def advance(self, steps: int = 1) -> None:
        """So many more have been looked at."""
        self._progress.advance(self._task, steps)

    def say(self, text: str) -> None:
        """Print a line of the result, above the bar where both are on one terminal."""
        if self._shown and sys.stdout.isatty():
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(text)
