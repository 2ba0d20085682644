"""The keys that are pressed at a terminal, one by one, and the signals that come meanwhile."""

from __future__ import annotations

import os
import select
import signal
import termios
import tty
from collections.abc import Iterator
from types import FrameType
from typing import Final, Self

from fsmflow.scope import scope

UP: Final = "up"
DOWN: Final = "down"
PAGE_UP: Final = "page up"
PAGE_DOWN: Final = "page down"
HOME: Final = "home"
END: Final = "end"
ENTER: Final = "enter"
ESCAPE: Final = "escape"
#: Not a key: the terminal has another size, the process was continued, or time is up.
NOTHING: Final = ""
#: The terminal is gone.
GONE: Final = "gone"

_SEQUENCES: Final = {
    b"[A": UP,
    b"OA": UP,
    b"[B": DOWN,
    b"OB": DOWN,
    b"[5~": PAGE_UP,
    b"[6~": PAGE_DOWN,
    b"[H": HOME,
    b"OH": HOME,
    b"[1~": HOME,
    b"[F": END,
    b"OF": END,
    b"[4~": END,
}
_KEYS: Final = {b"\r": ENTER, b"\n": ENTER, b" ": PAGE_DOWN}
_ESC: Final = b"\x1b"
#: How soon the rest of a sequence follows on its first byte.
_SOON_S: Final = 0.05
#: Signals that end the program, as its exit status tells.
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


class Keyboard:
    """Inside of ``reading`` keys come as they are pressed, and are not shown. The terminal is as before after it,
    whatever ends it."""

    def __init__(self, descriptor: int) -> None:
        self._terminal = descriptor
        self.is_stopped = False

    @scope
    def reading(self) -> Iterator[Self]:
        """SIGTERM and SIGHUP raise SystemExit here, Ctrl-C KeyboardInterrupt. Ctrl-Z is noted in ``is_stopped``."""
        before = termios.tcgetattr(self._terminal)
        self._wake, waking = os.pipe()
        os.set_blocking(waking, False)
        handlers = {number: signal.signal(number, _end) for number in _ENDING}
        handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda number, frame: None)
        handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._stop)
        woken = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        try:
            tty.setcbreak(self._terminal)
            yield self
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, before)
            os.close(self._wake)
            os.close(waking)

    @scope
    def away(self) -> Iterator[None]:
        """Inside, the terminal is as it was before; to be stopped as a shell asks for it."""
        self.is_stopped = False
        now = termios.tcgetattr(self._terminal)
        shown = [*now[:3], now[3] | termios.ECHO | termios.ICANON, *now[4:]]
        termios.tcsetattr(self._terminal, termios.TCSADRAIN, shown)
        yield
        termios.tcsetattr(self._terminal, termios.TCSADRAIN, now)

    def key(self, seconds: float) -> str:
        """The next key: a letter, or one of the names above; NOTHING where none comes in that time."""
        ready, _, _ = select.select([self._terminal, self._wake], [], [], max(seconds, 0.0))
        if self._wake in ready:
            os.read(self._wake, 1_024)
        if self._terminal not in ready:
            return NOTHING
        return self._read()

    def _read(self) -> str:
        try:
            byte = os.read(self._terminal, 1)
        except OSError:
            return GONE
        if byte == _ESC:
            return self._sequence()
        return _KEYS.get(byte) or byte.decode("ascii", "ignore") if byte else GONE

    def _sequence(self) -> str:
        """What follows on an escape at once belongs to it; one of an unknown key is passed over."""
        ready, _, _ = select.select([self._terminal], [], [], _SOON_S)
        if not ready:
            return ESCAPE
        found = os.read(self._terminal, 2)
        while found[-1:].isdigit() or found[-1:] == b";":
            found += os.read(self._terminal, 1)
        return _SEQUENCES.get(found, NOTHING)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.is_stopped = True


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
