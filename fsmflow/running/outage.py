"""A server that is away: told once as that begins and once as it ends. In the middle of an attempt the database is
waited for, as the attempt is claimed, and not lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from fsmflow import clock, log
from fsmflow.errors import DatabaseUnavailable
from fsmflow.patience import Patience

Result = TypeVar("Result")

DATABASE: Final = "database"
REDIS: Final = "redis"


class Outage:
    """What one process knows of a server that may be away. Threads may share it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._since: float | None = None
        self._level = logging.WARNING

    def met(self, error: BaseException, level: int = logging.WARNING) -> None:
        """The server did not answer. Its ``level`` is lower where somebody else tells of it, too."""
        with self._lock:
            if self._since is None:
                self._since, self._level = clock.monotonic(), level
                log.outage_begins(self._server, error, level)

    def over(self) -> None:
        """The server has answered."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            log.outage_ends(self._server, clock.monotonic() - since, self._level)


def outlast(address: str, action: Callable[[], Result]) -> Result:
    """Do what the database is to do, however long it is away. Raises whatever else ``action`` raises."""
    patience = Patience()
    while True:
        try:
            return action()
        except DatabaseUnavailable as error:
            log.settle_waits(address, error, patience.next_s, again=patience.is_tried_again)
            patience.pause()
