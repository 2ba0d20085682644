"""An outage of the database, in the middle of an attempt: it is waited for, as the attempt is claimed, and not lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fsmflow import log
from fsmflow.errors import DatabaseUnavailable
from fsmflow.patience import Patience

Result = TypeVar("Result")


def outlast(address: str, action: Callable[[], Result]) -> Result:
    """Do what the database is to do, however long it is away. Raises whatever else ``action`` raises."""
    patience = Patience()
    while True:
        try:
            return action()
        except DatabaseUnavailable as error:
            log.settle_waits(address, error, patience.next_s)
            patience.pause()
