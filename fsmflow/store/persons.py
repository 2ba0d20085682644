"""The tables of those who log in: users, what they are let in by, and their tries."""

from __future__ import annotations

from typing import Final

from fsmflow.decision.user import TokenKind, names_as_text, names_of_text
from fsmflow.store import tables
from fsmflow.store.column import Column, Columns, Table, big, chars, long_text, small, whole
from fsmflow.store.indexes import OF_TOKENS, OF_TRIES

USER: Final = Columns(
    Column("name", chars(200, primary_key=True)),
    Column("password", long_text()),
    Column("disabled", small(), store=int, load=bool),
    Column("generation", whole()),
    Column("roles", long_text(), store=names_as_text, load=names_of_text),
    Column("teams", long_text(), store=names_as_text, load=names_of_text),
    Column("made_at", big()),
    Column("made_by", chars(200, null=True)),
    Column("seen_at", big(null=True)),
)
TOKEN: Final = Columns(
    Column("id", chars(12, primary_key=True)),
    Column("digest", chars(64)),
    Column("kind", chars(10), store=lambda kind: kind.value, load=TokenKind),
    Column("owner", chars(200)),
    Column("made_at", big()),
    Column("made_by", chars(200, null=True)),
    Column("until", big()),
    Column("mark", chars(32, null=True)),
    Column(
        "roles",
        long_text(null=True),
        store=lambda roles: None if roles is None else names_as_text(roles),
        load=lambda text: None if text is None else names_of_text(text),
    ),
    Column("reads", small(), store=int, load=bool),
    Column("used_at", big(null=True)),
    Column("note", long_text(null=True)),
    Column("revoked_at", big(null=True)),
    Column("revoked_by", chars(200, null=True)),
)
#: ``name``: a digest of who tries, or from where; ``until``: when all that was tried is forgotten.
_TRY: Final = (Column("name", chars(64, primary_key=True)), Column("until", big()))

OF_PERSONS: Final = (
    Table(name=tables.USER, columns=USER.all),
    Table(name=tables.TOKEN, columns=TOKEN.all, indexes=OF_TOKENS),
    Table(name=tables.TRY, columns=_TRY, indexes=OF_TRIES),
)
