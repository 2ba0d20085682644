"""``fsmflow worker --reload``, for development: a worker as a child process, which starts anew when code changes."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from fsmflow import clock, log, release
from fsmflow.errors import ConfigurationError
from fsmflow.settings import Settings

OPTION: Final = "--reload"
_LOOK_MS: Final = 250
#: How long the running steps may take to end before they are given back, to run again with the new code.
_PATIENCE_S: Final = 5.0


class Reload:
    """Watches the folders with the machines, and holds the worker. It imports nothing of theirs."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigurationError where the package that watches files is missing."""
        try:
            self._watchfiles = importlib.import_module("watchfiles")
        except ImportError as error:
            raise ConfigurationError(
                "--reload needs the package watchfiles: pip install 'fsmflow[reload]', or leave --reload out"
            ) from error
        self._folders = folders_of(settings)
        self._command = [sys.executable, *(word for word in sys.orig_argv[1:] if word != OPTION)]
        self._child: subprocess.Popen[bytes] | None = None
        self._signals = 0
        #: Until when a worker whose code has changed may take to end; None while none has.
        self._until: float | None = None

    def run(self) -> int:
        """Until told to stop, or until the worker has ended well by itself, as a burst does. The exit status.

        A worker that ends otherwise, as its machines cannot be imported, is started anew once they change.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        log.reload_watches(", ".join(map(str, self._folders)))
        self._start()
        for changed in self._changes():
            status = self._look(changed)
            if status is not None:
                return status
        return 0

    def _changes(self) -> Iterator[set[str]]:
        """The files that have changed, again and again; mostly none."""
        found = self._watchfiles.watch(
            *self._folders,
            watch_filter=self._watchfiles.PythonFilter(),
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        for changes in found:
            yield {path for _, path in changes}

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self._end()

    def _look(self, changed: set[str]) -> int | None:
        """Look after the worker; its exit status where nothing is left to do."""
        status = None if self._child is None else self._child.poll()
        if status is not None:
            self._child = None
            if self._signals or (status == 0 and self._until is None):
                return status
            if self._until is not None:
                self._start()
            else:
                log.reload_waits(status)
        if changed and not self._signals and self._until is None:
            log.reload_begins(_told(changed))
            self._until = clock.monotonic() + _PATIENCE_S
            if self._child is None:
                self._start()
            else:
                self._end()
        elif self._until is not None and clock.monotonic() > self._until:
            self._until = float("inf")
            self._end()
        return None

    def _start(self) -> None:
        """In a group of its own: Ctrl-C reaches it once, through this process."""
        self._child, self._until = subprocess.Popen(self._command, process_group=0), None

    def _end(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()


def folders_of(settings: Settings) -> list[Path]:
    """The folders with the code of the machines: the current one, and those of machines that are elsewhere."""
    here = Path.cwd()
    elsewhere = (file.absolute().parent for file in release.files_of(settings.machines))
    return [here, *dict.fromkeys(folder for folder in elsewhere if not folder.is_relative_to(here))]


def _told(changed: set[str]) -> str:
    names = sorted(os.path.relpath(path) for path in changed)
    return f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}"
