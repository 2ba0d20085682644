"""The users of the web, each a row by its name. With a user go the sessions and the API tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fsmflow.decision.user import TokenKind, User
from fsmflow.store.link import Link
from fsmflow.store.persons import USER
from fsmflow.store.tables import TOKEN
from fsmflow.store.tables import USER as TABLE
from fsmflow.values import made


class Users:
    """Reads and writes by name. Of two who make the same user, one is told that it is there."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._columns = ", ".join(link.quoted(name) for name in USER.names)
        self._name, self._owner = link.quoted("name"), link.quoted("owner")

    def find(self, name: str) -> User | None:
        """The user of a name, as it is written there. One query."""
        sql = f"SELECT {self._columns} FROM {TABLE} WHERE {self._name} = {self._link.mark}"
        rows = self._link.query(sql, (name,))
        return _user(rows[0]) if rows else None

    def all(self) -> list[User]:
        """Every one, by name."""
        return [_user(row) for row in self._link.query(f"SELECT {self._columns} FROM {TABLE} ORDER BY {self._name}")]

    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._link.query(f"SELECT 1 FROM {TABLE} LIMIT 1"))

    def add(self, user: User) -> bool:
        """Make one. False where somebody else has."""
        marks = ", ".join([self._link.mark] * len(USER.names))
        sql = f"INSERT INTO {TABLE} ({self._columns}) VALUES ({marks})"
        return self._link.add(sql, USER.values(user))

    def change(self, name: str, **values: Any) -> bool:
        """Change columns of a user, and end the sessions of whoever it is. False where there is none."""
        changed = "".join(f", {self._link.quoted(column)} = {self._link.mark}" for column in values)
        sql = f"UPDATE {TABLE} SET generation = generation + 1{changed} WHERE {self._name} = {self._link.mark}"

        def change() -> bool:
            found = self._link.execute(sql, (*values.values(), name)).rowcount == 1
            self._let_go(name, sessions_only=True)
            return bool(found)

        return self._link.write(change)

    def seen(self, name: str, now: int) -> None:
        """Note that a user has logged in."""
        sql = f"UPDATE {TABLE} SET seen_at = {self._link.mark} WHERE {self._name} = {self._link.mark}"
        self._link.write(lambda: self._link.execute(sql, (now, name)), hasty=True)

    def remove(self, name: str) -> bool:
        """Take one away, with all that it was let in by. False where there is none."""
        sql = f"DELETE FROM {TABLE} WHERE {self._name} = {self._link.mark}"

        def remove() -> bool:
            found = self._link.execute(sql, (name,)).rowcount == 1
            self._let_go(name, sessions_only=False)
            return bool(found)

        return self._link.write(remove)

    def _let_go(self, name: str, *, sessions_only: bool) -> None:
        kinds = f" AND kind = {self._link.mark}" if sessions_only else ""
        values = (name, TokenKind.SESSION.value) if sessions_only else (name,)
        self._link.execute(f"DELETE FROM {TOKEN} WHERE {self._owner} = {self._link.mark}{kinds}", values)


def _user(row: Sequence[Any]) -> User:
    return made(User, USER.attributes(row))
