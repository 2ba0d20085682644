"""A user's program that writes rows of its own and starts entities, by one library after the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any, ClassVar

import peewee
import pymysql
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from fsmflow import Machine, State, points
from tests.support.users import users_database

TABLES = (
    "CREATE TABLE shop_row (id INTEGER PRIMARY KEY)",
    "CREATE TABLE shop_line (shop_row INTEGER NOT NULL, "
    "FOREIGN KEY (shop_row) REFERENCES shop_row (id) DEFERRABLE INITIALLY DEFERRED)",
)
#: The drivers of SQLAlchemy: to wait with, and to await.
DRIVERS = {
    "sqlite": ("sqlite", "sqlite+aiosqlite"),
    "postgresql": ("postgresql+psycopg", "postgresql+psycopg"),
    "mysql": ("mysql+pymysql", "mysql+aiomysql"),
}
#: How a statement is told who runs it, and how somebody else ends that.
WHO = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}
CUT = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}


class Purchase(Machine):
    initial = "new"
    states = [State("new"), State("charging", job="charge"), State("charged", final=True)]
    transitions = [["submit", "new", "charging"], ["done", "charging", "charged"]]

    def charge(self) -> dict[str, bool]:
        return {"charged": True}


def place(within: Any, shop: Shop, number: int) -> None:
    """What the program does in a transaction of its own: a row, an entity, and a transition of that."""
    shop.run(within, f"INSERT INTO shop_row (id) VALUES ({number})")
    purchase = Purchase.start(number, within=within)
    purchase.trigger("submit", within=within)


class Shop:
    """The program by SQLAlchemy's Session."""

    library: ClassVar[str] = "session"

    def __init__(self, url: str) -> None:
        self.given = url
        self.kind = url.partition(":")[0]
        self.url: URL = make_url(url.replace(self.kind, DRIVERS[self.kind][0], 1))
        self.engine = self._engine()

    def _engine(self) -> Any:
        engine = sqlalchemy.create_engine(self.url)
        if self.kind == "sqlite":
            sqlalchemy.event.listen(engine, "connect", lambda raw, record: raw.execute("PRAGMA foreign_keys = 1"))
        return engine

    def open(self) -> None:
        """Make its tables."""
        with self.engine.begin() as connection:
            for table in TABLES:
                sql = table.replace(" DEFERRABLE INITIALLY DEFERRED", "") if self.kind == "mysql" else table
                connection.execute(text(sql))

    def transact(self, action: Callable[[Any], None]) -> None:
        """One transaction of the program's own."""
        with Session(self.engine) as session, session.begin():
            action(session)

    def run(self, within: Any, sql: str) -> Any:
        """A statement of the program's."""
        return within.execute(text(sql))

    def nested(self, within: Any) -> Any:
        """A savepoint of the program's."""
        return within.begin_nested()

    def cut(self, within: Any) -> None:
        """Somebody ends the connection that the transaction is open on."""
        who = self.run(within, WHO[self.kind]).scalar()
        self._end(who)

    def _end(self, who: int) -> None:
        with self.engine.connect() as connection:
            connection.execute(text(CUT[self.kind].format(who)))

    def rows(self) -> list[int]:
        """What another connection sees of its rows."""
        with self.engine.connect() as connection:
            return list(connection.execute(text("SELECT id FROM shop_row ORDER BY id")).scalars())

    def again(self) -> Shop:
        """The same in another process."""
        return type(self)(self.given)

    def close(self) -> None:
        self.engine.dispose()


class ConnectionShop(Shop):
    """By SQLAlchemy's Connection."""

    library = "connection"

    def transact(self, action: Callable[[Any], None]) -> None:
        with self.engine.begin() as connection:
            action(connection)


class AsyncShop(Shop):
    """By SQLAlchemy's AsyncSession."""

    library = "async"

    def transact(self, action: Callable[[Any], None]) -> None:
        asyncio.run(self._transact(action))

    async def _transact(self, action: Callable[[Any], None]) -> None:
        engine = create_async_engine(self.url.set(drivername=DRIVERS[self.kind][1]))
        if self.kind == "sqlite":
            sqlalchemy.event.listen(
                engine.sync_engine, "connect", lambda raw, record: raw.execute("PRAGMA foreign_keys = 1")
            )
        try:
            async with AsyncSession(engine) as session, session.begin():
                await session.run_sync(action)
        finally:
            await engine.dispose()


class PeeweeShop(Shop):
    """By a Database of peewee of its own."""

    library = "peewee"

    def transact(self, action: Callable[[Any], None]) -> None:
        with users_database(self.given) as db:
            connection = db.connection()
            if self.kind == "sqlite":
                db.execute_sql("PRAGMA foreign_keys = 1")
            try:
                with db.atomic():
                    action(db)
            except BaseException:
                db.dispose()
                with contextlib.suppress(pymysql.Error):  # where it has ended
                    connection.close()
                raise

    def run(self, within: Any, sql: str) -> Any:
        return within.execute_sql(sql)

    def nested(self, within: peewee.Database) -> Any:
        return within.atomic()

    def cut(self, within: Any) -> None:
        self._end(self.run(within, WHO[self.kind]).fetchone()[0])


SHOPS: dict[str, type[Shop]] = {shop.library: shop for shop in (Shop, ConnectionShop, AsyncShop, PeeweeShop)}


def killed(action: Callable[[], None], point: str | None = None) -> None:
    """Run this in a process that is killed: as it passes a point of fsmflow's, or by itself."""

    def die(name: str, about: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        try:
            points.listen(die)
            action()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
