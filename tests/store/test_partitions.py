"""A history in parts, as the documentation makes it on PostgreSQL, works like one table."""

from __future__ import annotations

import re
from datetime import timedelta

import peewee
import pytest

from fsmflow.store.link import open_database
from fsmflow.store.tables import HISTORY
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
