"""A history in parts, as the documentation makes it on PostgreSQL, works like one table."""

from __future__ import annotations

import re
from datetime import timedelta

import peewee
import pytest
from peewee import CharField

from fsmflow.decision.position import Position
from fsmflow.errors import ConfigurationError
from fsmflow.settings import Settings
from fsmflow.store import upgrades
from fsmflow.store.link import open_database
from fsmflow.store.store import create_store
from fsmflow.store.tables import HISTORY, WORK
from fsmflow.testing import sandbox
from fsmflow.verify import verify
from tests.support.families import Batch
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "how-to" / "retention.md").read_text(encoding="utf-8")


def parts(database: peewee.Database) -> dict[str, int]:
    """How many lines there are in each part."""
    sql = f"SELECT tableoid::regclass::text, COUNT(*) FROM {HISTORY} GROUP BY 1 ORDER BY 1"
    return {name: int(count) for name, count in database.execute_sql(sql).fetchall()}


@pytest.mark.postgres
def test_a_history_in_parts_works_like_one_table(postgres_url: str) -> None:
    (text,) = re.findall(r'```sql title="partitions.sql"\n(.*?)```', PAGE, re.DOTALL)
    database = open_database(postgres_url)
    with sandbox([Batch], database=database) as box:
        Batch.start("old", lines=["x"]).trigger("go")
        box.run()
        ((last,),) = database.execute_sql("SELECT max(id) FROM fsmflow_entity").fetchall()
        script = text.replace("100000000", str(last + 4)).replace("50000000", str(last + 1))
        for statement in script.split(";"):
            if statement.strip() and statement.strip() not in ("BEGIN", "COMMIT"):
                database.execute_sql(statement)
        for number in range(3):
            Batch.start(str(number), lines=["x", "y"]).trigger("go")
        box.run()
        assert set(parts(database)) == {"fsmflow_history_1", "fsmflow_history_2", "fsmflow_history_rest"}
        assert [line.seq for line in Batch.get("1").history] == [1, 2, 3]
        box.advance(days=2)
        Batch.start("new", lines=["x"])
        assert Batch.prune(older=timedelta(days=1)) == 4
        assert parts(database) == {"fsmflow_history_rest": 1}
        database.execute_sql("ALTER TABLE fsmflow_history DETACH PARTITION fsmflow_history_1")
        database.execute_sql("DROP TABLE fsmflow_history_1")
        report = verify(box._runtime.store, box._runtime.machines.all(), strict=True)
        assert report.holds, str(report)
    database.close()


@pytest.mark.postgres
def test_work_and_history_made_in_parts_work_like_tables_in_one_piece(postgres_url: str) -> None:
    chosen = Settings(database_url=postgres_url)
    create_store(chosen, partitions=3).link.forget_connection()
    database = open_database(postgres_url)
    with sandbox([Batch], database=database) as box:
        batches = [Batch.start(str(number), lines=["x", "y"]) for number in range(8)]
        for batch in batches:
            batch.trigger("go")
        work = f"SELECT COUNT(DISTINCT tableoid) FROM {WORK}"
        assert database.execute_sql(work).fetchone()[0] > 1, "work is in several parts"
        box.run()
        assert set(parts(database)) == {f"{HISTORY}_{number}" for number in range(3)}
        assert [line.seq for line in batches[1].history] == [1, 2, 3]
        lines = box._runtime.store.lines
        told = lines.page(Position(), box._runtime.now())
        assert (lines.fault(), len(told.lines)) == (None, sum(parts(database).values()))
        assert lines.last() == lines.highest()
        box.advance(days=2)
        Batch.start("new", lines=["x"])
        assert Batch.prune(older=timedelta(days=1)) == 8
        report = verify(box._runtime.store, box._runtime.machines.all(), strict=True)
        assert report.holds, str(report)
        upgrades.add_column(box._runtime.store.link, HISTORY, "remark", CharField(max_length=20, null=True))
        assert "remark" in {column.name for column in database.get_columns(f"{HISTORY}_2")}
    database.close()
    create_store(chosen, partitions=3).link.forget_connection()
    create_store(chosen).link.forget_connection()
    with pytest.raises(ConfigurationError, match="--partitions 4: the tables are there already, in 3 parts"):
        create_store(chosen, partitions=4)


def test_parts_are_refused_where_they_cannot_be_made(database_url: str) -> None:
    chosen = Settings(database_url=database_url)
    expected = "divided by hash on PostgreSQL alone"
    if database_url.startswith("postgres"):
        create_store(chosen).link.forget_connection()
        expected = "the tables are there already, in one piece"
    with pytest.raises(ConfigurationError, match=expected):
        create_store(chosen, partitions=8)
