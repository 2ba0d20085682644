"""What programs were answered whose requests came with a key, and are no request of one entity: each acts once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fsmflow.store.column import Column, Table, big, chars, long_text
from fsmflow.store.indexes import OF_ANSWERS
from fsmflow.store.link import Link
from fsmflow.store.tables import ANSWER
from fsmflow.values import dataclass

#: For so long a key is known at least.
KEPT_MS: Final = 86_400_000
_PAGE: Final = 100

#: ``name``: a digest of what was asked for, by whom, with which key; ``form``: one of all that came with it.
OF_REPEATS: Final = (
    Table(
        name=ANSWER,
        columns=(
            Column("name", chars(64, primary_key=True)),
            Column("form", chars(32)),
            Column("at", big()),
            Column("content", long_text(null=True)),
        ),
        indexes=OF_ANSWERS,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was answered before: to what came with ``form``, and when, in milliseconds."""

    form: str
    at: int
    content: str | None


class Answers:
    """Rows that are written once, in the transaction of what they tell of."""

    def __init__(self, link: Link) -> None:
        self._link = link
        mark = link.mark
        self._name, self._at = link.quoted("name"), link.quoted("at")
        columns = f"{self._name}, form, {self._at}"
        self._add = f"INSERT INTO {ANSWER} ({columns}) VALUES ({mark}, {mark}, {mark})"
        self._find = f"SELECT form, {self._at}, content FROM {ANSWER} WHERE {self._name} = {mark}"

    def once(self, name: str, form: str, now: int, act: Callable[[], str | None]) -> Given | None:
        """Do ``act``, and keep what it gives, in one transaction; or what was given before, and nothing is done.

        Of two who ask at once one waits for the other. What ``act`` raises leaves nothing behind, and the next one acts
        anew. After a crash either both are there, what was done and the answer, or neither.
        """

        def act_once() -> bool:
            mark = self._link.mark
            # The first statement of all: a database that reads as of its first read sees what others did before.
            if not self._link.add(self._add, (name, form, now)):
                return False
            content = act()
            if content is not None:
                sql = f"UPDATE {ANSWER} SET content = {mark} WHERE {self._name} = {mark}"
                self._link.execute(sql, (content, name))
            return True

        if self._link.write(act_once):
            self._forget(now - KEPT_MS)
            return None
        rows = self._link.query(self._find, (name,))
        # Forgotten in between: a day is over, or the other one has failed.
        return _given(rows[0]) if rows else self.once(name, form, now, act)

    def _forget(self, before: int) -> None:
        """By name, in one order, as a range would lock what others are about to write beside it."""
        mark = self._link.mark
        sql = f"SELECT {self._name} FROM {ANSWER} WHERE {self._at} < {mark} ORDER BY {self._at} LIMIT {_PAGE}"
        names = sorted(name for (name,) in self._link.query(sql, (before,)))
        if names:
            marks = ", ".join([mark] * len(names))
            gone = f"DELETE FROM {ANSWER} WHERE {self._name} IN ({marks}) AND {self._at} < {mark}"
            self._link.write(lambda: self._link.execute(gone, (*names, before)), hasty=True)


def _given(row: tuple[str, int, str | None]) -> Given:
    form, at, content = row
    return Given(form=str(form), at=int(at), content=content)
