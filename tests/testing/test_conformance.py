"""The adapters that come with fsmflow keep what an adapter has to, and one that does not is told so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import peewee
import pytest
from sqlalchemy.orm import Session

from fsmflow.sqlalchemy.host import _Transaction
from fsmflow.testing import Library, NonConformant, check_conformance
from tests.support.mapped import SaleRow, User, user_of
from tests.support.users import users_database


class PlainRow(peewee.Model):
    id: Any  # peewee makes it
    status = peewee.CharField(max_length=40, null=True)


class Mapped(Library):
    """By SQLAlchemy's Session."""

    status_field = SaleRow.status

    def __init__(self, user: User) -> None:
        self._user = user

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with Session(self._user.engine) as session, session.begin():
            yield session

    def add_row(self, within: Session, number: int) -> None:
        within.add(SaleRow(id=number))

    def status_of(self, number: int) -> str | None:
        with Session(self._user.engine) as session:
            found = session.get(SaleRow, number)
            return None if found is None else found.status


class Plain(Library):
    """By peewee's Database."""

    status_field = PlainRow.status

    def __init__(self, db: peewee.Database) -> None:
        self._db = db

    @contextmanager
    def transaction(self) -> Iterator[peewee.Database]:
        with self._db.atomic():
            yield self._db

    def add_row(self, within: peewee.Database, number: int) -> None:
        PlainRow.insert(id=number).execute(within)

    def status_of(self, number: int) -> str | None:
        found = PlainRow.get_or_none(PlainRow.id == number)
        return None if found is None else found.status


def test_sqlalchemy_conforms(database_url: str) -> None:
    with user_of(database_url) as user:
        check_conformance(Mapped(user), database_url)


def test_peewee_conforms(database_url: str) -> None:
    with users_database(database_url) as db, db.bind_ctx([PlainRow]):
        db.create_tables([PlainRow])
        check_conformance(Plain(db), db)


def _nothing(*_: Any) -> None:
    """An adapter that leaves something out."""


@pytest.mark.parametrize(
    ("left_out", "words"), [("after_commit", r"Host\.after_commit"), ("flush", "has no row")], ids=str
)
def test_an_adapter_that_leaves_something_out_is_told(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, left_out: str, words: str
) -> None:
    instead: Callable[..., None] = _nothing
    monkeypatch.setattr(_Transaction, left_out, instead)
    with user_of(f"sqlite:///{tmp_path}/x.db") as user, pytest.raises(Exception, match=words) as caught:
        check_conformance(Mapped(user), f"sqlite:///{tmp_path}/x.db")
    assert left_out == "flush" or caught.type is NonConformant
