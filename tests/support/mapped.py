"""A machine whose row is mapped by SQLAlchemy, and whose jobs write other rows in their own sessions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy
from sqlalchemy import ForeignKey, String, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from fsmflow import Machine, State
from tests.support.machines import Trigger, play
from tests.support.shops import DRIVERS


class Base(DeclarativeBase):
    """The user's tables."""


class SaleRow(Base):
    __tablename__ = "mapped_sale"

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str | None] = mapped_column("sale_status", String(40))
    note: Mapped[str | None] = mapped_column(String(40))


class Entry(Base):
    __tablename__ = "mapped_entry"

    number: Mapped[int] = mapped_column(primary_key=True)
    sale: Mapped[int] = mapped_column(ForeignKey(SaleRow.id))
    text: Mapped[str] = mapped_column(String(40), unique=True)


class Sale(Machine):
    """Pays in the transaction that commits it, and calls somebody in a session that commits for itself."""

    initial = "new"
    status_field = SaleRow.status
    states = [
        State("new"),
        State("paying", job="pay", transactional=True, timeout=20),
        State("calling", job="call"),
        State("paid", final=True),
    ]
    transitions = [
        ["pay_now", "new", "paying"],
        ["done", "paying", "calling"],
        ["done", "calling", "paid"],
        {"trigger": "note", "source": "*", "dest": None, "before": "take_note"},
    ]
    pay_now: Trigger
    note: Trigger

    def take_note(self) -> None:
        self.data["note"] = self.record.note

    def pay(self) -> Any:
        self.record.note = "paid"
        self.session.add(Entry(sale=int(self.entity_id), text=f"pay {self.entity_id}"))
        return play.get("pay", lambda machine: None)(self)

    async def call(self) -> Any:
        await asyncio.sleep(0)
        self.record.note = "called"
        self.session.add(Entry(sale=int(self.entity_id), text=f"call {self.entity_id}"))
        self.session.commit()
        return play.get("call", lambda machine: None)(self)


class User:
    """The user's own view of the database."""

    def __init__(self, url: str) -> None:
        self.kind = url.partition(":")[0]
        self.engine = sqlalchemy.create_engine(make_url(url.replace(self.kind, DRIVERS[self.kind][0], 1)))
        for constraint in Base.metadata.tables[Entry.__tablename__].foreign_key_constraints:
            # Whoever can, asks for the sale only at COMMIT.
            constraint.initially = None if self.kind == "mysql" else "DEFERRED"
            constraint.deferrable = None if self.kind == "mysql" else True
        Base.metadata.create_all(self.engine)

    def add_rows(self, *numbers: int) -> None:
        """Rows that no entity has been started for."""
        with Session(self.engine) as session, session.begin():
            session.add_all(SaleRow(id=number, status="?") for number in numbers)

    def row(self, number: int) -> tuple[str | None, str | None]:
        """Status and note of a row, as they are committed."""
        with Session(self.engine) as session:
            found = session.get(SaleRow, number)
            assert found is not None
            return found.status, found.note

    def texts(self) -> list[str]:
        """What the jobs have written, as it is committed."""
        with Session(self.engine) as session:
            return list(session.scalars(select(Entry.text).order_by(Entry.text)))


@contextlib.contextmanager
def user_of(url: str) -> Iterator[User]:
    """The user on a database, whose tables are made."""
    user = User(url)
    try:
        yield user
    finally:
        user.engine.dispose()
