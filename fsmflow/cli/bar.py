"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import sys
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress


#: So many characters beside a bar leave it room in a terminal of 80 columns.
BAR_ROOM: Final = 36
_BAR_WIDTH: Final = 20


def can_show(*, as_json: bool = False) -> bool:
    """Whether a bar has a place: not where JSON is printed to the same terminal."""
    return sys.stderr.isatty() and not (as_json and sys.stdout.isatty())


class Bar:
    """What is done so far, out of ``total`` where that is known. Nothing is drawn where it is not ``shown``."""

    def __init__(self, what: str, *, total: int | None, shown: bool) -> None:
        self._progress = _drawn() if shown else None
        self._task = None if self._progress is None else self._progress.add_task(what, total=total)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def advance(self, steps: int = 1) -> None:
        """So many more have been looked at."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, steps)

    def expect(self, total: int) -> None:
        """It is known now how many there are."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=total)

    def tell(self, what: str) -> None:
        """Say something else of what is done."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=what)

    def say(self, text: str) -> None:
        """Print a line of the result, above the bar where both are on one terminal."""
        if self._progress is not None and sys.stdout.isatty():
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(text)


def _drawn() -> Progress:
    """Its library is imported where a bar is drawn."""
    rich = import_module("rich.progress")
    columns = (
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}"),
        rich.BarColumn(_BAR_WIDTH),
        rich.MofNCompleteColumn(),
    )
    made: Progress = rich.Progress(
        *columns,
        rich.TimeElapsedColumn(),
        console=import_module("rich.console").Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    return made
