"""The database of the shop: SQLAlchemy's tables, beside those of fsmflow."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import fsmflow
from fastapi import FastAPI
from fsmflow import DatabaseUnavailable
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from machines import Order

Result = TypeVar("Result")

#: The same as fsmflow works on: by default SQLite, in its folder.
URL = os.environ.get("FSMFLOW_DATABASE_URL") or f"sqlite:///{Path('.fsmflow').absolute()}/fsmflow.db"
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+aiomysql"}
OURS = make_url(URL).set(drivername=DRIVERS[make_url(URL).get_backend_name()])

#: Five connections, and not one more. fsmflow has eight of its own (FSMFLOW_ASYNC_THREADS).
engine = create_async_engine(OURS, pool_size=5, max_overflow=0, pool_pre_ping=True)


class Base(DeclarativeBase):
    """The tables of the shop."""


class OrderRow(Base):
    __tablename__ = "shop_order"

    id: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    item: Mapped[str]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await Order.acounts()  # fsmflow opens its database, and makes it where that is SQLite
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)  # Alembic does that in production
    yield
    await engine.dispose()
    await fsmflow.aclose()


async def session() -> AsyncIterator[AsyncSession]:
    """A dependency: for what only reads."""
    async with AsyncSession(engine) as session:
        yield session


async def transact(action: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    """All of this in one transaction; again, on a new connection, if that was lost, up to five times. So it has to be
    something that may be done again."""
    for tries_left in reversed(range(5)):
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                return await action(session)
        except (DBAPIError, DatabaseUnavailable) as error:
            is_lost = isinstance(error, DatabaseUnavailable) or error.connection_invalidated
            if not is_lost or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")
