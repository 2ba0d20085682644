"""What is one statement on SQLite does what one for each row would do, by index, and is one for many rows, too."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim
from fsmflow.decision.happenings import Changes, Returned, Triggered
from fsmflow.decision.start import begin
from fsmflow.settings import Settings
from fsmflow.store.alike import in_powers, padded, together
from fsmflow.store.store import Store, create_store
from fsmflow.store.work import Ticket
from fsmflow.store.writes import Gathered
from tests.support.machines import Order

NOW = 1_700_000_000_000
ORDER = Order._definition
#: The columns are matched, changed and compared by all of these.
ALIKE = (
    "UPDATE things SET a = ?, b = CASE WHEN b < ? THEN b ELSE ? END WHERE id = ? AND a = ? AND b IN (0, 1, 2)",
    "DELETE FROM things WHERE id = ? AND a = ? AND b = ?",
    "INSERT INTO things (id, a, b) VALUES (?, ?, ?)",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = create_store(Settings(database_url=f"sqlite:///{tmp_path}/alike.db"))
    yield store
    store.link.forget_connection()


def things() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)")
    connection.executemany("INSERT INTO things VALUES (?, ?, ?)", [(id_, f"{id_ % 3}", id_ % 4) for id_ in range(50)])
    return connection


def drawn(luck: random.Random, sql: str, number: int) -> list[Any]:
    """Parameters that find their row, or not, as luck will have it; no two are about the same row."""
    row, name, count = number * 3, str(luck.choice((number * 3 % 3, None, "9"))), luck.choice((number * 3 % 4, 1, None))
    if sql.startswith("UPDATE"):
        return [luck.choice(("new", None, 7)), luck.randrange(4), luck.randrange(4), row, name]
    return [row, name, count] if sql.startswith("DELETE") else [row + 1_000, name, count]


@pytest.mark.parametrize("sql", ALIKE)
@pytest.mark.parametrize("seed", range(20))
def test_it_changes_what_one_for_each_would_change(sql: str, seed: int) -> None:
    luck = random.Random(seed)
    rows = [drawn(luck, sql, number) for number in range(luck.randrange(2, 15))]
    one_by_one, all_at_once = things(), things()
    changed = sum(one_by_one.execute(sql, row).rowcount for row in rows)
    whole = together(sql, len(rows), mark="?", joins_values=True)
    assert whole is not None
    assert all_at_once.execute(whole, [value for row in rows for value in row]).rowcount == changed
    both = [
        connection.execute("SELECT * FROM things ORDER BY id").fetchall() for connection in (one_by_one, all_at_once)
    ]
    assert both[0] == both[1]


def test_where_no_list_of_values_is_joined_it_is_only_inserted_at_once() -> None:
    update, delete, insert = ALIKE
    assert together(update, 2, mark="%s", joins_values=False) is None
    assert together(delete, 2, mark="%s", joins_values=False) is None
    assert together(insert, 2, mark="?", joins_values=False) == f"{insert}, (?, ?, ?)"
    assert together("INSERT INTO things (id) VALUES (?) ON CONFLICT DO NOTHING", 2, mark="?", joins_values=True) is None


def test_parts_are_as_long_as_powers_of_two_and_all_are_there() -> None:
    for count in range(70):
        parts = list(in_powers(list(range(count))))
        assert [item for part in parts for item in part] == list(range(count))
        assert {len(part) for part in parts} <= {1, 2, 4, 8, 16, 32, 64}
    assert [padded(list(range(count))) for count in (1, 2, 3)] == [[0], [0, 1], [0, 1, 2, 2]]
    assert len(padded(list(range(33)))) == 64


@pytest.mark.parametrize(
    "name",
    ["update_entity", "update_work", "update_work_guarded", "delete_work_guarded", "claim", "take_event", "nudge"],
)
def test_it_finds_each_row_by_its_number(store: Store, name: str) -> None:
    sql = together(getattr(store.commits._sql, name), 3, mark="?", joins_values=True)
    assert sql is not None
    numbers = [0] * 3 * getattr(store.commits._sql, name).count("?")
    plan = [str(detail) for *_, detail in store.link.query(f"EXPLAIN QUERY PLAN {sql}", numbers)]
    assert any(step.startswith("SEARCH fsmflow_") for step in plan), plan
    assert not any(step.startswith("SCAN fsmflow_") for step in plan), plan


def ended(store: Store, count: int) -> list[Commit]:
    found = []
    for number in range(count):
        order = store.commits.commit(begin(ORDER, f"{count}-{number}", {}, None, None, NOW), lambda after: None)
        submitted = decide(ORDER, order, Triggered(trigger="submit"), NOW)
        order = store.commits.commit(submitted, lambda after: None)
        ticket = Ticket(row=order.row, epoch=order.epoch, attempt=1, dispatch=0)
        claimed = store.work.claim(ticket, "me", lease_until=NOW + 15_000)
        assert claimed is not None
        assert claimed.snapshot.work is not None
        claim = Claim(row=order.row, epoch=order.epoch, attempt=1, fence=claimed.snapshot.work.fence, owner="me")
        found.append(decide(ORDER, claimed.snapshot, Returned(claim=claim, trigger="done", changes=Changes()), NOW))
    return found


def test_many_ends_take_a_few_statements_which_are_the_same_ones_again_and_again(store: Store) -> None:
    counts, met = [], set[str]()
    for count in (2, 32, 31, 17):
        commits = ended(store, count)
        with patch.object(store.link, "execute", wraps=store.link.execute) as executed:
            assert store.bundles.commit(commits, "a" * 16) is not None
        counts.append(executed.call_count)
        met |= {call.args[0] for call in executed.call_args_list}
    assert counts == [3, 3, 15, 6], "entities, work, history"
    assert len(met) == 18, "of one, two, four, eight, sixteen and thirty-two of each"


def test_who_misses_one_row_of_several_is_told(store: Store) -> None:
    commits = ended(store, 3)
    gathered = Gathered(store.link)
    for commit in commits:
        store.commits.write(commit, "a" * 16, gathered)
    store.link.write(lambda: store.link.execute("UPDATE fsmflow_entity SET revision = revision + 1 WHERE id = 2"))
    with pytest.raises(CommitLost), store.link.transaction():
        gathered.send()
    assert store.link.query("SELECT COUNT(*) FROM fsmflow_history WHERE token = 'aaaaaaaaaaaaaaaa'") == [(0,)]
