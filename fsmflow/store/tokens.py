"""What people are let in by, sessions and API tokens, each found by the digest of its secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fsmflow.decision.user import Token, TokenKind
from fsmflow.store.link import Link
from fsmflow.store.persons import TOKEN
from fsmflow.store.tables import TOKEN as TABLE
from fsmflow.values import made


class Tokens:
    """Reads and writes of rows that no two processes make alike."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._columns = ", ".join(link.quoted(name) for name in TOKEN.names)
        self._select = f"SELECT {self._columns} FROM {TABLE}"
        self._owner, self._until = link.quoted("owner"), link.quoted("until")

    def add(self, token: Token) -> None:
        """Write a new one."""
        marks = ", ".join([self._link.mark] * len(TOKEN.names))
        # Written again where it is not known whether it was, it is there already: its id is its own.
        unless = self._link.dialect.notation.unless_there(("id",))
        sql = f"INSERT INTO {TABLE} ({self._columns}) VALUES ({marks}) {unless}"
        self._link.write(lambda: self._link.execute(sql, TOKEN.values(token)))

    def find(self, digest: str) -> Token | None:
        """The one whose secret has this digest. One query."""
        rows = self._link.query(f"{self._select} WHERE digest = {self._link.mark}", (digest,))
        return _token(rows[0]) if rows else None

    def named(self, token_id: str) -> Token | None:
        """The one with this id."""
        rows = self._link.query(f"{self._select} WHERE id = {self._link.mark}", (token_id,))
        return _token(rows[0]) if rows else None

    def of_kind(self, kind: TokenKind) -> list[Token]:
        """All of a kind, the oldest first."""
        sql = f"{self._select} WHERE kind = {self._link.mark} ORDER BY made_at, id"
        return [_token(row) for row in self._link.query(sql, (kind.value,))]

    def of_owner(self, owner: str, kind: TokenKind) -> list[Token]:
        """Those of somebody, the oldest first."""
        sql = f"{self._select} WHERE {self._owner} = {self._link.mark} AND kind = {self._link.mark}"
        return [_token(row) for row in self._link.query(f"{sql} ORDER BY made_at, id", (owner, kind.value))]

    def used(self, token: Token, now: int) -> None:
        """Note that it was used. Of several who do so at once one is enough; it may be lost with the server."""
        mark = self._link.mark
        sql = f"UPDATE {TABLE} SET used_at = {mark} WHERE id = {mark} AND (used_at IS NULL OR used_at < {mark})"
        self._link.write(lambda: self._link.execute(sql, (now, token.id, now)), hasty=True)

    def revoke(self, token_id: str, now: int, by: str | None) -> bool:
        """Have it let nobody in any more. False where that is so already, or there is none."""
        mark = self._link.mark
        sql = f"UPDATE {TABLE} SET revoked_at = {mark}, revoked_by = {mark} WHERE id = {mark} AND revoked_at IS NULL"
        return self._link.write(lambda: bool(self._link.execute(sql, (now, by, token_id)).rowcount == 1))

    def remove(self, ids: Sequence[str]) -> None:
        """Take some away."""
        if ids:
            marks = ", ".join([self._link.mark] * len(ids))
            sql = f"DELETE FROM {TABLE} WHERE id IN ({marks})"
            self._link.write(lambda: self._link.execute(sql, tuple(ids)))


def _token(row: Sequence[Any]) -> Token:
    return made(Token, TOKEN.attributes(row))
