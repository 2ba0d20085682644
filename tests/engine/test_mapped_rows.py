"""Which attributes of SQLAlchemy carry a state: refused in words where the class is compiled, or written as their type
has it."""

from __future__ import annotations

import enum
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Enum, ForeignKey, Integer, LargeBinary, String, TypeDecorator, create_engine, literal, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column, relationship, synonym

from fsmflow import DatabaseRefused, DataError, DefinitionError, Machine, State, joining
from fsmflow.testing import sandbox


class Upper(TypeDecorator[str]):
    """Stores a text as the user wants it."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value == "cancelled":
            raise ValueError("nothing is cancelled here")
        return value and value.upper()

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        return value and value.lower()


class Base(DeclarativeBase):
    """The user's tables."""


class Door(Base):
    __tablename__ = "door"

    id: Mapped[uuid.UUID] = mapped_column("door_id", primary_key=True)
    status: Mapped[str | None] = mapped_column("door_status", Upper)
    kind: Mapped[str] = mapped_column(String(20), default="door")
    code: Mapped[str | None] = mapped_column(String(10))
    colour: Mapped[str | None] = mapped_column(Enum("red", "open", name="colour"))
    keeper_id: Mapped[int | None] = mapped_column(ForeignKey("keeper.id"))
    # What it names is never made: no mapper may be configured to compile a machine.
    keeper: Mapped[Any] = relationship("Keeper")
    state = synonym("status")
    sum = column_property(literal(1, Integer) + 2)

    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "door"}


class Pair(Base):
    __tablename__ = "pair"

    left: Mapped[int] = mapped_column(primary_key=True)
    right: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str | None]


class Blob(Base):
    __tablename__ = "blob"

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    status: Mapped[str | None]


class Step(enum.Enum):
    """The states, as the database names them."""

    open = "o"
    busy = "b"
    shut = "s"
    cancelled = "c"
    failed_from_busy = "f"


class ThingBase(DeclarativeBase):
    """Tables whose classes are all there."""


class Thing(ThingBase):
    __tablename__ = "select"  # a word of SQL

    id: Mapped[uuid.UUID] = mapped_column("door id", primary_key=True)
    status: Mapped[str | None] = mapped_column("door_status", Upper)
    kind: Mapped[str] = mapped_column(String(20))

    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}


class Gate(Thing):
    __tablename__ = "gate"

    id: Mapped[uuid.UUID] = mapped_column(ForeignKey(Thing.id), primary_key=True)
    width: Mapped[int]

    __mapper_args__ = {"polymorphic_identity": "gate"}


class HouseBase(DeclarativeBase):
    """Tables in a schema."""


class Room(HouseBase):
    __tablename__ = "room"
    __table_args__ = {"schema": "house"}

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    status: Mapped[Step | None] = mapped_column(Enum(Step, name="step", schema="house"))


def machine(field: Any) -> Any:
    """A machine with this status field."""
    space = {
        "__module__": __name__,
        "initial": "open",
        "states": [State("open"), State("busy", job="act"), State("shut", final=True)],
        "transitions": [["go", "open", "busy"], ["done", "busy", "shut"]],
        "act": lambda self: None,
        "status_field": field,
    }
    return type("Lock", (Machine,), space)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Door.code, r"Door\.code has room for 10 characters; state 'failed_from_busy' has 16. Give it String\(16\)"),
        (Door.colour, "Door.colour takes 'open', 'red', and not state 'busy' or 'shut'"),
        (Door.id, "Door.id is the primary key"),
        (Door.keeper, "Door.keeper is no column of a table"),
        (Door.sum, "Door.sum is no column of a table"),
        (Door.state, "it is a field of a model"),
        (Door.__table__.c.door_status, "it is a field of a model"),
        (Door, "it is a field of a model"),
        (Pair.status, "the primary key of table 'pair' has 2 columns"),
    ],
)
def test_what_cannot_carry_a_state_is_refused_in_words(field: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        machine(field)


def test_a_state_is_written_as_the_type_of_the_column_has_it(tmp_path: Path) -> None:
    url, key = f"sqlite:///{tmp_path}/gates.db", uuid.UUID(int=0xAB)
    engine = create_engine(url)
    ThingBase.metadata.create_all(engine)
    with sandbox([Lock := machine(Gate.status)], database=url) as box:
        with Session(engine) as session, session.begin():
            session.add(gate := Gate(id=key, width=3))
            lock = Lock.start(key, within=session)
            assert gate.status == "open"
        with engine.connect() as connection:
            assert connection.execute(text('SELECT door_status FROM "select"')).scalar() == "OPEN"
            with joining(connection):
                assert lock.record.width == 3
        assert lock.explain().own_row is None
        with pytest.raises(DatabaseRefused, match="nothing is cancelled here"):
            lock.cancel()
        lock.trigger("go")
        box.run()
        assert (lock.refresh().state, lock.record.status, lock.record.width) == ("shut", "shut", 3)
        with pytest.raises(DataError, match="Gate.id cannot be 'seven'"):
            Lock.start("seven")
        for other in (key.hex, str(key).upper(), f"{{{key}}}"):
            with pytest.raises(DataError, match=f"is written '{key}'"):
                Lock.start(other, if_exists="return")
    with sandbox([Odd := machine(Blob.status)], database=url), pytest.raises(DataError, match="it is a bytes"):
        Odd.start("1")
    engine.dispose()


@pytest.mark.postgres
def test_a_type_of_the_database_and_a_schema_are_written_too(postgres_url: str) -> None:
    engine = create_engine(make_url(postgres_url.replace("postgresql", "postgresql+psycopg", 1)))
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA house"))
        HouseBase.metadata.create_all(connection)
    with sandbox([Lock := machine(Room.status)], database=postgres_url) as box:
        with Session(engine) as session, session.begin():
            session.add(Room(id=uuid.UUID(int=7)))
            lock = Lock.start(uuid.UUID(int=7), within=session)
        lock.trigger("go")
        assert (lock.record.status, lock.explain().own_row) == (Step.busy, None)
        box.run()
        assert lock.record.status is Step.shut
    engine.dispose()
