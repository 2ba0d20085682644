"""Several writes of one transaction, and how they are sent: one by one, or as one statement where a database can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

from fsmflow.errors import FsmflowError
from fsmflow.store.link import Link
from fsmflow.store.verdicts import ERRORS, is_missed

#: What is raised where a write does not find its one row.
Lost = Callable[[], FsmflowError]


class Run(Protocol):
    """Takes one write. ``lost``: it has to find one row, and this is raised where it does not."""

    def __call__(self, sql: str, params: Sequence[Any], lost: Lost | None = None) -> None: ...


def one_by_one(link: Link) -> Run:
    """In the transaction that is open."""

    def run(sql: str, params: Sequence[Any], lost: Lost | None = None) -> None:
        if link.execute(sql, params).rowcount != 1 and lost is not None:
            raise lost()

    return run


class Missed(Exception):
    """A write of a batch did not find its row, so nothing of it was written."""


class Batch:
    """Writes that are collected, and then are one statement and its own transaction: all of them take effect or none.

    Each sees the database as it was before all of them, so no two may be about the same row.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._shape: list[tuple[str, bool]] = []
        self._params: list[Any] = []

    def run(self, sql: str, params: Sequence[Any], lost: Lost | None = None) -> None:
        """Take a write."""
        self._shape.append((sql, lost is not None))
        self._params += params

    def send(self) -> None:
        """Write all of it, in one round trip. Raises Missed, and what the database says."""
        sql = _one(self._link.dialect.at_once, tuple(self._shape))
        try:
            self._link.send(sql, self._params)
        except ERRORS as error:
            if is_missed(error):
                raise Missed from error
            raise


@cache
def _one(at_once: Callable[[Sequence[tuple[str, bool]]], str], shape: tuple[tuple[str, bool], ...]) -> str:
    return at_once(shape)
