"""The views for people who look with SQL: the same on every database, whatever is stored."""

from __future__ import annotations

import datetime as dt
import json
import re
import secrets
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from fsmflow import Machine, State
from fsmflow.settings import Settings
from fsmflow.store import schema
from fsmflow.store.link import Link, open_database
from fsmflow.store.store import create_store
from fsmflow.testing import Sandbox, sandbox
from tests.support.machines import Trigger
from tests.support.paths import ROOT

WHEN = dt.datetime(2026, 3, 29, 0, 30, 0, 250_000, tzinfo=dt.UTC)
HOSTILE = "a'b\"c%s\\ \x00 \u202e \U0001f600 </script>"


class Parcel(Machine):
    initial = "open"
    states = [
        State("open"),
        State("paying", job="pay", queue="bank", within=60),
        State("packing", each="lines", job="pack"),
        State("sent", final=True),
    ]
    transitions = [["submit", "open", "paying"], ["done", "paying", "packing"], ["done", "packing", "sent"]]
    submit: Trigger

    def pay(self) -> dict[str, Any]:
        return {"fee": Decimal("1.50")}

    def pack(self, item: str) -> None:
        if item == HOSTILE:
            raise ValueError(HOSTILE)


@pytest.fixture
def link(database_url: str) -> Iterator[Link]:
    link = Link(open_database(database_url), own=True)
    yield link
    link.forget_connection()


@pytest.fixture
def box(link: Link) -> Iterator[Sandbox]:
    with sandbox(Parcel, start=WHEN, database=link.db) as box:
        schema.create(link, views=True)
        yield box


def rows(link: Link, view: str, order: str) -> list[dict[str, Any]]:
    cursor = link.execute(f"SELECT * FROM {view} ORDER BY {order}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def read(link: Link, value: Any) -> Any:
    """JSON as a driver gives it: that of PostgreSQL has read it already."""
    return value if link.dialect.name == "postgresql" else json.loads(value)


def moment(value: Any) -> dt.datetime:
    """A moment as a driver gives it."""
    found = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def test_an_entity_is_shown_with_its_address_its_moments_and_its_data(box: Sandbox, link: Link) -> None:
    Parcel.start("1", lines=[]).trigger("submit")
    (shown,) = rows(link, "fsmflow_entities", "address")
    assert (shown["address"], shown["state"], shown["phase"]) == ("parcel:1", "paying", "working")
    assert (shown["work"], shown["queue"], shown["attempt"]) == ("job", "bank", 1)
    assert not shown["paused"]
    assert not shown["running"]
    assert read(link, shown["data"]) == {"lines": []}
    assert [moment(shown[name]) for name in ("created_at", "since", "updated_at")] == [WHEN] * 3
    assert shown["error_type"] is shown["parent"] is shown["branch"] is None


def test_what_is_held_is_due_at_no_time_and_has_no_deadline(box: Sandbox, link: Link) -> None:
    Parcel.start("1", lines=[]).trigger("submit")
    (shown,) = rows(link, "fsmflow_entities", "address")
    assert moment(shown["deadline"]) == WHEN + dt.timedelta(seconds=60)
    Parcel.get("1").pause()
    (shown,) = rows(link, "fsmflow_entities", "address")
    assert (bool(shown["paused"]), shown["due_at"], shown["deadline"]) == (True, None, None)


def test_whatever_is_stored_can_be_read(box: Sandbox, link: Link) -> None:
    Parcel.start("1", lines=["tea", HOSTILE], note=HOSTILE).trigger("submit", reason=HOSTILE.replace("\x00", ""))
    box.run()
    parcel, first, second = rows(link, "fsmflow_entities", "entity_id")
    assert read(link, parcel["data"])["note"] == HOSTILE
    assert read(link, parcel["data"])["fee"] == {"$decimal": "1.50"}
    assert (parcel["state"], parcel["error_type"]) == ("failed_from_packing", "BranchesFailed")
    assert (first["address"], first["parent"], first["branch"]) == ("parcel:1/packing/0", "parcel:1", "0")
    assert (second["state"], second["error_type"]) == ("failed_from_packing", "ValueError")
    assert second["error_message"].startswith("a'b")
    assert read(link, second["item"]) == HOSTILE
    assert read(link, second["failure"])["error_type"] == "ValueError"


def test_the_history_is_shown_as_it_is_told(box: Sandbox, link: Link) -> None:
    Parcel.start("1", lines=["tea"]).trigger("submit", {"by": "mail"}, actor="alice", key="k1")
    box.run()
    told = [line for line in rows(link, "fsmflow_history_lines", "seq") if line["address"] == "parcel:1"]
    of_handle = Parcel.get("1").history
    assert [(line["seq"], line["kind"], line["trigger_name"], line["source"], line["dest"]) for line in told] == [
        (entry.seq, entry.kind, entry.trigger, entry.source, entry.dest) for entry in of_handle
    ]
    assert (told[1]["actor"], told[1]["request_key"], read(link, told[1]["payload"])) == ("alice", "k1", {"by": "mail"})
    assert [moment(line["happened_at"]) for line in told] == [entry.at for entry in of_handle]


def test_views_are_made_only_for_those_who_ask_and_kept_up_from_then_on(link: Link) -> None:
    schema.create(link)
    assert not link.db.get_views()
    schema.create(link, views=True)
    link.execute("DROP VIEW fsmflow_entities")
    schema.create(link)
    assert {view.name for view in link.db.get_views()} == {"fsmflow_entities", "fsmflow_history_lines"}


@pytest.mark.postgres
def test_who_may_look_at_the_views_need_not_read_the_tables(postgres_url: str) -> None:
    create_store(Settings(database_url=postgres_url), views=True).link.forget_connection()
    page = (ROOT / "docs" / "how-to" / "sql.md").read_text(encoding="utf-8")
    (grant,) = re.findall(r'```sql title="look.sql"\n(.*?)```', page, re.DOTALL)
    user = f"fsmflow_test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_url) as connection:  # What is not committed is gone at the end, the user too.
        connection.execute(f"CREATE ROLE {user}".encode())
        connection.execute(grant.replace("analyst", user).encode())
        connection.execute(f"SET LOCAL ROLE {user}".encode())
        assert connection.execute("SELECT * FROM fsmflow_entities").fetchall() == []
        assert connection.execute("SELECT * FROM fsmflow_history_lines").fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM fsmflow_entity")
        connection.rollback()
