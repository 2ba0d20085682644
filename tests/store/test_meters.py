"""Meters grow by what is added, whoever adds it, and at once."""

from __future__ import annotations

import pytest

from fsmflow.settings import Settings
from fsmflow.store.meters import Meter
from fsmflow.store.store import create_store
from tests.support.concurrency import in_threads

ATTEMPTS = Meter("attempts", "order", "charging", "done")
SLOW = Meter("attempt_seconds", "order", "charging", at_most=5_000)
ADDERS, TIMES = 4, 10


@pytest.mark.parametrize("first", [{}, {ATTEMPTS: 2}], ids=["new", "known"])
def test_what_many_add_at_once_is_added_up(database_url: str, first: dict[Meter, int]) -> None:
    store = create_store(Settings(database_url=database_url))
    store.meters.add(first)
    # More than go into one statement.
    queues = {Meter("doorbells_answered", label=f"queue {number}"): 1 for number in range(150)}

    def add(number: int) -> None:
        for _ in range(TIMES):
            store.meters.add({SLOW: 2, ATTEMPTS: 1, **queues})

    in_threads(ADDERS, store.link, add)
    found = store.meters.all()
    assert found.pop(ATTEMPTS) == ADDERS * TIMES + first.get(ATTEMPTS, 0)
    assert found.pop(SLOW) == 2 * ADDERS * TIMES
    assert found == dict.fromkeys(queues, ADDERS * TIMES)
    store.link.forget_connection()
