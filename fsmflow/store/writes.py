"""Several writes of one transaction, and how they are sent: one by one, or as one statement where a database can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol

from fsmflow.decision.commit import Commit
from fsmflow.errors import FsmflowError
from fsmflow.store.alike import in_powers, together
from fsmflow.store.link import Link
from fsmflow.store.sizes import by_size, size_of
from fsmflow.store.verdicts import ERRORS, is_missed

#: What is raised where a write does not find its one row.
Lost = Callable[[], FsmflowError]
#: The number of a row that is made by the batch itself, as long as nobody knows it.
UNKNOWN: Final = 0
#: Of more writes than these no batch is made: it would be a statement that is met once.
MOST: Final = 16


class Writes(Protocol):
    """Takes the writes of one transaction."""

    def run(self, sql: str, params: Sequence[Any], lost: Lost | None = None) -> None:
        """One write. ``lost``: it has to find one row, and this is raised where it does not."""

    def new(self, sql: str, params: Sequence[Any]) -> int:
        """The INSERT of an entity; the number of its row. What is written of it after that has this number first."""


class OneByOne(Writes):
    """In the transaction that is open."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def run(self, sql: str, params: Sequence[Any], lost: Lost | None = None) -> None:
        if self._link.execute(sql, params).rowcount != 1 and lost is not None:
            raise lost()

    def new(self, sql: str, params: Sequence[Any]) -> int:
        return self._link.dialect.new_row(self._link.execute(sql, params))


class Gathered(Writes):
    """Writes of several entities that are there, collected outside of a transaction: a lock is held for as long as they
    take, and not while they are made. Those that are alike are one statement, where the database can.

    No two may be about the same row, but those that need not find one.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._taken: dict[str, list[tuple[Sequence[Any], Lost | None]]] = {}

    def run(self, sql: str, params: Sequence[Any], lost: Lost | None = None) -> None:
        """Take a write."""
        self._taken.setdefault(sql, []).append((params, lost))

    def new(self, sql: str, params: Sequence[Any]) -> int:
        """There is no such write of an entity that is there."""
        raise NotImplementedError(sql)

    def send(self) -> None:
        """Write all of it in the transaction that is open."""
        for sql, rows in self._taken.items():
            # Where nothing limits a statement, nothing is measured.
            limited = self._link.dialect.statement_limit
            for page in by_size(rows, lambda row: size_of(row[0])) if limited else [rows]:
                for part in in_powers(page):
                    self._send_part(sql, part)

    def _send_part(self, sql: str, rows: Sequence[tuple[Sequence[Any], Lost | None]]) -> None:
        dialect = self._link.dialect
        whole = len(rows) > 1 and together(sql, len(rows), mark=dialect.mark, joins_values=dialect.joins_values)
        if not whole:
            one_by_one = OneByOne(self._link)
            for params, lost in rows:
                one_by_one.run(sql, params, lost)
            return
        found = self._link.execute(whole, [value for params, _ in rows for value in params]).rowcount
        if found != len(rows) and (missed := rows[0][1]) is not None:
            raise missed()


class Missed(Exception):
    """A write of a batch did not find its row, so nothing of it was written."""


class Batch(Writes):
    """Writes that are collected, and then are one statement and its own transaction: all of them take effect or none.

    Each sees the database as it was before all of them, so no two may be about the same row.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._is_new = False
        self._shape: list[tuple[str, bool]] = []
        self._params: list[Any] = []
        self._asks: str | None = None
        #: What was asked besides, once it is sent.
        self.answer: Any = None

    def ask(self, sql: str) -> None:
        """Ask for one value besides, as it is before the writes."""
        self._asks = sql

    def run(self, sql: str, params: Sequence[Any], lost: Lost | None = None) -> None:
        """Take a write."""
        if self._is_new and params[0] == UNKNOWN:
            sql, params = sql.replace(self._link.mark, self._link.dialect.made_first, 1), params[1:]
        self._shape.append((sql, lost is not None))
        self._params += params

    def new(self, sql: str, params: Sequence[Any]) -> int:
        """Take the first write; UNKNOWN."""
        self.run(sql, params)
        self._is_new = True
        return UNKNOWN

    def statement(self, wait_s: float | None = None) -> tuple[str, Sequence[Any]]:
        """All of it as one statement, and its parameters. ``wait_s``: for how long it waits for a lock, if not for as
        long as all do."""
        return _one(self._link.dialect.at_once, tuple(self._shape), self._is_new, wait_s, self._asks), self._params

    def send(self) -> int | None:
        """Write all of it, in one round trip; the number of the row that was made, if one was. Raises Missed, and what
        the database says."""
        try:
            found = self._link.send(*self.statement())
        except ERRORS as error:
            if is_missed(error):
                raise Missed from error
            raise
        self.answer = None if self._asks is None else found[-1]
        return int(found[0]) if self._is_new else None


@lru_cache(maxsize=256)
def _one(
    at_once: Callable[..., str],
    shape: tuple[tuple[str, bool], ...],
    is_new: bool,
    wait_s: float | None,
    asks: str | None,
) -> str:
    return at_once(shape, is_new=is_new, wait_s=wait_s, asks=asks)


def is_simple(commit: Commit) -> bool:
    """Whether a decision can be written without reading anything, and with no row written twice."""
    before, after = commit.before, commit.after
    if commit.also or commit.erases or commit.frees is not None or commit.status_field is not None:
        return False
    if sum(map(len, (commit.entries, commit.posts, commit.takes, commit.marks, commit.told))) > MOST:
        return False
    if before is None:
        return after.fingerprint is None and not (commit.takes or commit.marks or commit.told)
    fails = after.fingerprint is not None and before.epoch != after.epoch
    swaps = commit.takes and (commit.posts or commit.key is not None)
    return not (fails or swaps or after.work is before.work)
