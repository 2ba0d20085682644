"""Plain reads for whoever judges what is stored: SELECTs, several of them of one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fsmflow.errors import ConfigurationError
from fsmflow.scope import scope
from fsmflow.store.link import Link
from fsmflow.store.tables import HISTORY


class Reader:
    """Reads of one database, with no statement of the store's own and no decoding."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def now(self) -> int:
        """UTC now by the database's clock, in milliseconds."""
        return self._link.now()

    def quoted(self, name: str) -> str:
        """A column that may have the name of a keyword."""
        return self._link.quoted(name)

    @property
    def database(self) -> str:
        """``sqlite``, ``postgresql`` or ``mysql``."""
        return self._link.dialect.name

    def is_of(self, asked: Callable[[Any], bool]) -> bool:
        """Whether what is asked of a database holds for this one."""
        return self._link.is_of(asked)

    @scope
    def moment(self) -> Iterator[None]:
        """A transaction that only reads: all reads inside it see the database as it was at the first of them.

        It locks nothing that a writer wants, and no writer makes it fail. Raises ConfigurationError inside a
        transaction of the caller's, which would see what is not committed, and DatabaseUnavailable.
        """
        link = self._link
        if link.in_transaction:
            raise ConfigurationError("a transaction is open on this thread; verify what is committed, outside of it")
        with link.understandable(), link.dialect.moment(link.db):
            yield

    def last_number(self) -> int | None:
        """The highest number that any line of history ever had; None where the account may not know."""
        known = self._link.dialect.numbering.last(self._link.rows)
        ((highest,),) = self.rows(f"SELECT MAX(id) FROM {HISTORY}")
        return None if known is None else max(int(highest or 0), known)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """All rows of one SELECT; ``?`` stands for each parameter."""
        return self._link.rows(sql.replace("?", self._link.mark), params)
