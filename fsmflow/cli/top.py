"""``top``: what goes on, live in the terminal; with keys to look closer, and to retry."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from fsmflow import clock
from fsmflow.cli import output
from fsmflow.cli.board import look, object_of
from fsmflow.cli.dialogue import Dialogue
from fsmflow.cli.errors import sentence
from fsmflow.cli.frame import LEAST_HIGH, LEAST_WIDE, Size
from fsmflow.cli.keyboard import GONE, Keyboard
from fsmflow.cli.options import actor_options, json_option
from fsmflow.decision.inputs import Actor
from fsmflow.engine.runtime import current
from fsmflow.log.lines import logger
from fsmflow.scope import scope

#: How often it looks anew.
EVERY_S = 2.0


@click.command()
@click.option("--once", is_flag=True, help="Print what it shows once, and end.")
@actor_options
@json_option
def top(once: bool, actor: Actor | None, as_json: bool) -> int:
    """Show what goes on, live: states, what runs and fails, queues, workers, repairs.

    Keys: up and down, or j and k, choose; Enter looks closer, Esc goes back; r retries what is chosen, once you have
    said yes; p keeps the picture still; ? tells of all keys; q ends.

    It looks every two seconds, and goes on while the database is away. --once and --json need no terminal.

    \b
      fsmflow top
      fsmflow top --once
      fsmflow top --json
    """
    if as_json:
        output.print_json(object_of(look(current(), actor)))
        return 0
    if once:
        console = Console(highlight=False)
        for line in Dialogue(look(current(), actor), actor).whole(console.width):
            console.print(line, no_wrap=True, crop=True, soft_wrap=False)
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            "'top' draws on a terminal, and there is none here: --once prints what it would show, --json one object"
        )
    Screen(actor).run()
    return 0


class Screen:
    """The loop: look, draw, wait for a key. Whatever ends it, the terminal is as it was before."""

    def __init__(self, actor: Actor | None) -> None:
        self._actor = actor
        self._dialogue = Dialogue(None, actor)
        self._console = Console(highlight=False)
        self._next = 0.0

    def run(self) -> None:
        """Until somebody presses q, or the terminal is gone."""
        live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        with Keyboard(sys.stdin.fileno()).reading() as keyboard, _log_lines(self._dialogue.tell), live:
            while not self._dialogue.is_over:
                if keyboard.is_stopped:
                    self._stop(live, keyboard)
                self._look()
                live.update(self._drawn(), refresh=True)
                key = keyboard.key(self._next - clock.monotonic())
                if key == GONE:
                    return
                if key:
                    self._dialogue.press(key, self._size)

    @property
    def _size(self) -> Size:
        return Size(width=self._console.width, height=self._console.height)

    def _look(self) -> None:
        """Look anew, where it is time. A database that is away is told, and looked for again."""
        if clock.monotonic() < self._next:
            return
        try:
            if not self._dialogue.is_still:
                self._dialogue.see(look(current(), self._actor))
        except Exception as error:
            told = sentence(error)
            if told is None:
                raise
            self._dialogue.see_nothing(told)
        self._next = clock.monotonic() + EVERY_S

    def _drawn(self) -> Text:
        size = self._size
        if not size.is_enough:
            too_small = f"this terminal has {size.width} x {size.height} places; top needs {LEAST_WIDE} x {LEAST_HIGH}"
            return Text(too_small)
        # A line is never broken: none is wider than the terminal.
        return Text("\n").join(self._dialogue.lines(size))

    def _stop(self, live: Live, keyboard: Keyboard) -> None:
        """Ctrl-Z: give the terminal back until the shell lets this go on."""
        live.stop()
        with keyboard.away():
            os.kill(os.getpid(), signal.SIGSTOP)
        live.start()
        self._next = 0.0


class _LastLine(logging.Handler):
    """Hands each line of the log on, in place of standard error, which is the same terminal."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(output.one_line(record.getMessage()))


@scope
def _log_lines(tell: Callable[[str], None]) -> Iterator[None]:
    handler, before = _LastLine(tell), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
