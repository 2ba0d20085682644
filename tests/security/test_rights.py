"""The user of the documentation can run everything, and cannot change the past."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import peewee
import pytest

import fsmflow
from fsmflow import Actor, Fail, Machine, Retry, State, feeds, testing
from fsmflow.engine import runtime, sessions, tokens, users
from fsmflow.metrics.page import Page
from fsmflow.settings import Settings
from fsmflow.store.link import open_database
from fsmflow.store.store import create_store, open_store
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, META, WORK
from tests.support.paths import ROOT
from tests.support.process_flows import Chain
from tests.support.processes import world
from tests.support.servers import connect_mysql, fresh_mysql, fresh_postgres, on_postgres, server_url

PAGE = (ROOT / "docs" / "how-to" / "secure.md").read_text(encoding="utf-8")
PASSWORD = "sesame"


class Wares(Machine):
    """All that fsmflow does, in one machine."""

    initial = "new"
    on_cancel = "undo"
    states = [
        State("new", defer=["rush"], ignore=["hello"]),
        State("charging", job="charge", retry=Retry(max=1, interval=1), undo="refund", transactional=True),
        State("asking", job="ask", wait=True, timeout=60),
        State("packing", job="pack", each="lines", limit=1),
        State("sending", machine="parcel"),
        State("resting", delay=60),
        State("over", final=True),
    ]
    transitions = [
        ["go", "new", "charging"],
        ["done", "charging", "asking"],
        ["answer", "asking", "packing"],
        ["timeout", "asking", "packing"],
        ["branch_done", "packing", None],
        ["done", "packing", "sending"],
        ["done", "sending", "resting"],
        ["done", "resting", "over"],
        ["rush", ["resting", "asking"], None],
        ["hello", "resting", None],
        {"trigger": "note", "source": "*", "dest": None},
    ]

    def charge(self) -> dict[str, Any]:
        if not self.data.get("money"):
            raise ValueError("no money")
        return {"charged": True}

    def refund(self) -> None:
        """Takes it back."""

    def ask(self) -> None:
        self.heartbeat(0.5)
        self.data["asked"] = True
        self.save()
        self.send("answer", after=10, key="once")
        self.send("hello", to="parcel:other", start=True)

    def pack(self, item: Any) -> Any:
        if item == 2 and not self.data.get("mended"):
            raise Fail("broken")
        return item


class Parcel(Machine):
    """A child, which is started by a schedule too."""

    initial = "new"
    schedule = "0 3 * * *"
    states = [State("new", job="wrap"), State("over", final=True)]
    transitions = [["done", "new", "over"], ["hello", "new", None]]

    def wrap(self) -> None: ...


def grants(kind: str, database: str, user: str) -> list[str]:
    """The statements of the documentation, for these names."""
    (text,) = re.findall(rf'```sql title="{kind}.sql"\n(.*?)```', PAGE, re.DOTALL)
    named = text.replace("fsmflow_run", user).replace(" shop.", f" `{database}`.")
    return [statement for statement in named.split(";") if statement.strip()]


def as_user(url: str, user: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


@pytest.fixture
def user_on_postgres() -> Iterator[str]:
    """The URL of a database with the tables, for a user who has the rights of the documentation."""
    server, user = server_url("postgres"), f"fsmflow_test_{secrets.token_hex(6)}"
    on_postgres(server, f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
    try:
        with fresh_postgres(server) as url:
            create_store(Settings(database_url=url)).link.forget_connection()
            for statement in grants("postgresql", "", user):
                on_postgres(url, statement)
            yield as_user(url, user)
    finally:
        on_postgres(server, f"DROP ROLE {user}")


@pytest.fixture
def user_on_mysql() -> Iterator[str]:
    server, user = server_url("mysql"), f"fsmflow_{secrets.token_hex(6)}"
    with contextlib.closing(connect_mysql(server)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER {user} IDENTIFIED BY '{PASSWORD}'")
        try:
            with fresh_mysql(server) as url:
                create_store(Settings(database_url=url)).link.forget_connection()
                for statement in grants("mysql", urlsplit(url).path[1:], user):
                    cursor.execute(statement)
                yield as_user(url, user)
        finally:
            cursor.execute(f"DROP USER {user}")


@pytest.fixture(
    params=[
        pytest.param("user_on_postgres", marks=pytest.mark.postgres),
        pytest.param("user_on_mysql", marks=pytest.mark.mysql),
    ]
)
def user_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@contextlib.contextmanager
def sandbox(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[testing.Sandbox]:
    """One that makes no tables: they are there."""
    monkeypatch.setattr("fsmflow.testing.box.open_or_create_store", open_store)
    database = open_database(url)
    try:
        start = datetime(2030, 1, 1, 2, 59, tzinfo=UTC)
        with testing.sandbox(machines=[Wares, Parcel], database=database, start=start) as box:
            yield box
    finally:
        database.close()


def test_a_whole_flow_runs_as_the_user_of_the_documentation(user_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox(user_url, monkeypatch) as box:
        wares = Wares.start("1", lines=[1, 2], key="birth")
        assert wares.trigger("hello", key="first").seq == wares.trigger("hello", key="first").seq
        wares.trigger("rush")
        wares.pause().resume()
        wares.trigger("go", actor=Actor("alice"), reason="now")
        box.advance(seconds=5)
        assert wares.refresh().state == "failed_from_charging"
        wares.retry(data={"money": 1})
        box.advance(seconds=30)
        assert wares.refresh().state == "failed_from_packing"
        wares.retry(data={"mended": True}, new_key=True)
        box.advance(minutes=5)
        assert wares.refresh().state == "over"
        wares.rewind("resting").force("asking")
        box.advance(seconds=1)
        wares.undo()
        box.advance(seconds=1)
        assert wares.refresh().state == "undone"
        Wares.start_many([(str(number), {"lines": []}) for number in range(10, 30)])
        Wares.start_or_trigger("10", "note")
        Wares.get("11").cancel()
        broken = Wares.start("40", lines=[3])
        broken.trigger("go")
        box.advance(seconds=5)
        broken.skip()
        box.advance(hours=25)
        assert Wares.counts()["cancelled"] == 1
        assert len(list(Parcel.find(state="over"))) == 3
        assert {entry.kind for entry in wares.history} >= {"ignored", "deferred", "attempt_failed", "paused", "forced"}
        assert wares.explain().state == "undone"
        read_by_a_feed(box)
        let_in_and_out(box)


def let_in_and_out(box: testing.Sandbox) -> None:
    """Somebody who logs in, a program that comes with a token, and whoever tries in vain."""
    now, ops = runtime.current(), Actor("ops")
    ann = users.add(now, "ann", "$argon2", ops)
    assert sessions.has_to_wait(now, "ann", "192.0.2.7") == 0
    sessions.was_right(now, "ann", "192.0.2.7")
    secret = sessions.begin(now, ann, 60_000)
    assert sessions.look(now, secret, 60_000)
    sessions.end(now, secret)
    token, secret = tokens.make(now, "ann", ops, lasts_ms=60_000)
    assert not isinstance(tokens.let_in(now, secret), str)
    tokens.revoke(now, token.id, ops)
    box.advance(hours=1)
    assert sessions.has_to_wait(now, "bea", "192.0.2.8") == 0
    users.disable(now, "ann", ops)
    users.remove(now, "ann", ops)
    assert not users.has_any(now)


def read_by_a_feed(box: testing.Sandbox) -> None:
    """All that happened, and again what comes after a number that nobody will have."""
    feed = fsmflow.feed("all", start="beginning")
    assert {entry.address for entry in feed} >= {"wares:1", "wares:40"}
    with contextlib.suppress(ZeroDivisionError), box.database.atomic():
        Wares.start("none")
        raise ZeroDivisionError
    Wares.start("50")
    for _ in range(2):
        assert [entry.address for entry in feed] in (["wares:50"], [])
        box.advance(minutes=11)
    assert [(state.name, state.missing) for state in feeds.feeds()] == [("all", 0)]
    feeds.rewind("all", "beginning")
    assert next(iter(feed)).entry.seq == 1
    feeds.forget("all")


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE {HISTORY} SET actor = 'nobody'",
        f"DELETE FROM {HISTORY}",
        f"TRUNCATE TABLE {HISTORY}",
        f"DELETE FROM {ENTITY}",
        f"DELETE FROM {META}",
        f"ALTER TABLE {HISTORY} ADD COLUMN x INTEGER",
        f"DROP TABLE {EVENT}",
        "CREATE TABLE mine (x INTEGER)",
        f"CREATE INDEX mine ON {WORK} (epoch)",
    ],
)
def test_the_past_and_the_tables_cannot_be_changed(statement: str, refusing: peewee.Database) -> None:
    with pytest.raises(peewee.PeeweeException, match="(?i)denied|must be owner"):
        refusing.execute_sql(statement)
    refusing.close()


@pytest.fixture(params=["postgres", "mysql"], scope="module")
def refusing(request: pytest.FixtureRequest) -> Iterator[peewee.Database]:
    """The database of a user of the documentation, made once."""
    maker = {"postgres": user_on_postgres, "mysql": user_on_mysql}[request.param]
    with contextlib.contextmanager(getattr(maker, "__wrapped__", maker))() as url:
        database = open_database(url)
        try:
            yield database
        finally:
            database.close()


@pytest.mark.postgres
def test_a_worker_starts_and_runs_as_the_user_of_the_documentation(
    user_on_postgres: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsmflow.configure(
        database_url=user_on_postgres, redis_url=redis_url, machines=["tests.support.process_flows"], home=tmp_path
    )
    monkeypatch.setenv("EFFECTS", str(tmp_path))
    try:
        with world(tmp_path, {"FSMFLOW_DATABASE_URL": user_on_postgres, "FSMFLOW_REDIS_URL": redis_url}) as town:
            chain = Chain.start("1", saves=True)
            chain.trigger("go")
            supervisor = town.supervisor(processes=1)
            chain.wait("ended", timeout=30)
            supervisor.terminate()
            assert supervisor.ended() == 0
            assert "denied" not in supervisor.log
            assert PASSWORD not in supervisor.log
    finally:
        runtime.close()


@pytest.mark.postgres
def test_the_numbers_are_told_to_who_may_only_read(redis_url: str) -> None:
    server, user = server_url("postgres"), f"fsmflow_test_{secrets.token_hex(6)}"
    on_postgres(server, f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
    try:
        with fresh_postgres(server) as url:
            create_store(Settings(database_url=url)).link.forget_connection()
            for right in ("USAGE ON SCHEMA public", "SELECT ON ALL TABLES IN SCHEMA public"):
                on_postgres(url, f"GRANT {right} TO {user}")
            fsmflow.configure(database_url=as_user(url, user), redis_url=redis_url, machines=[Wares, Parcel])
            text = Page().text()
            runtime.close()
    finally:
        on_postgres(server, f"DROP OWNED BY {user}; DROP ROLE {user}")
    assert "\nfsmflow_up 1\n" in text
    assert "fsmflow_redis_up 1\n" in text
    assert len(re.findall(r"^fsmflow_part_up\{.*\} 1$", text, re.MULTILINE)) == 5
    assert not re.findall(r"^fsmflow_part_up\{.*\} 0$", text, re.MULTILINE)
