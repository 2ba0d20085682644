"""What became of a repair is counted while it goes on, and kept once it is done."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import repairs
from fsmflow.engine.runtime import current
from fsmflow.operations import report
from fsmflow.testing import Sandbox
from tests.operations.flows import failed, mend, start


def test_of_those_that_are_done_nothing_is_asked_and_one_query_where_nothing_was_kept(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(2)
    box.run()
    mend("acme")
    made = [start(), start(), start()]
    box.run()
    one_by_one = [repair.refresh().report() for repair in made]
    asked: list[str] = []
    link = current().store.link
    query = link.rows

    def noted(sql: str, params: Any = ()) -> list[Any]:
        asked.append(sql)
        return query(sql, params)

    monkeypatch.setattr(link, "rows", noted)
    assert repairs.reports(made) == one_by_one
    assert asked == []
    monkeypatch.setattr(report, "FATES", "what an older release has not kept")
    assert repairs.reports(made) == one_by_one
    assert len(asked) == 1
    assert [(each.members, each.recovered, each.moved) for each in one_by_one] == [(2, 2, 0), (2, 0, 2), (2, 0, 2)]
