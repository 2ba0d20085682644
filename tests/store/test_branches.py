"""Looks at the branches of a step read no more of them than they tell of, however many there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fsmflow.decision.entity import Standing
from fsmflow.decision.start import begin
from fsmflow.settings import Settings
from fsmflow.store.columns import NEW_ENTITY_COLUMNS, new_entity_values
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import ENTITY
from fsmflow.values import replace
from tests.support.machines import Order
from tests.support.plans import plans_of
from tests.support.walk import NOW, definition_of

MANY, DONE = 2_000, 500
PARENT, STEP = 1, 3
#: How each database is told to look at what it has.
ANALYSES = {
    "sqlite": "ANALYZE",
    "postgresql": f"ANALYSE {ENTITY}",
    "mysql": f"ANALYZE TABLE {ENTITY}",
}
LOOKS: dict[str, Callable[[Store], Any]] = {
    "what a parent waits for": lambda store: store.branches.first_unsettled(PARENT, STEP),
    "who is next": lambda store: store.branches.standing(PARENT, STEP, Standing.QUEUED, limit=5),
}


#: When a database looked last at what there is: it guesses by that how many stand in which way.
@pytest.fixture(params=["never", "early", "late"])
def store(database_url: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A parent with many branches: the first quarter is done, the others wait for their turn."""
    store = create_store(Settings(database_url=database_url))
    order = begin(definition_of(Order), "0", {}, None, None, NOW).after
    pattern = replace(order, parent=PARENT, parent_step=STEP, branch_of="packing", work=None)
    standings = [*[Standing.DONE] * DONE, *[Standing.QUEUED] * (MANY - DONE)]
    made = [
        replace(pattern, entity_id=f"0/packing/{index}", parent_index=index, standing=standing)
        for index, standing in enumerate(standings)
    ]
    for first in range(0, MANY, 500):
        values = [new_entity_values(each) for each in made[first : first + 500]]
        store.link.execute(*store.link.dialect.insert_many(ENTITY, NEW_ENTITY_COLUMNS, values))
        if first == {"early": 0, "late": MANY - 500}.get(request.param):
            store.link.execute(ANALYSES[store.link.dialect.name]).close()
    yield store
    store.link.forget_connection()


def test_a_look_reads_by_how_branches_stand_and_sorts_none(store: Store) -> None:
    for name, look in LOOKS.items():
        plan = plans_of(store, look)
        assert "fsmflow_entity_standing" in plan, name
        assert not re.search("Sort|TEMP B-TREE|filesort", plan), name
    assert store.branches.first_unsettled(PARENT, STEP) == Standing.QUEUED
    found = store.branches.standing(PARENT, STEP, Standing.QUEUED, after=DONE + 1, limit=2)
    assert [each.parent_index for each in found] == [DONE + 2, DONE + 3]
