"""On a database whose transactions are all serializable, as CockroachDB's: each may be told to begin anew."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow.engine.runtime import current
from fsmflow.errors import TransitionConflict
from fsmflow.store.dialects import _PostgresDatabase
from fsmflow.store.link import Link, open_database
from fsmflow.store.verdicts import Verdict
from fsmflow.verify import verify
from tests.support import serializable
from tests.support.concurrency import in_threads
from tests.support.eventually import eventually
from tests.support.process_flows import Chain
from tests.support.processes import installation
from tests.support.servers import WHOLE
from tests.support.tolls import Toll

pytestmark = pytest.mark.postgres

CHAINS = 300 if WHOLE else 20
TOLLS = 60 if WHOLE else 8
_NOTES = 8
#: What else is in the history of a chain.
_BESIDES = ("saved", "crashed", "internal")


def test_all_arrive_and_nothing_is_done_twice(
    postgres_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_PostgresDatabase, "begin", serializable.begin)
    by_default = Link(open_database(postgres_url), own=True)
    name = by_default.quoted(by_default.db.database)
    by_default.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    by_default.forget_connection()
    with installation(tmp_path, monkeypatch, database_url=postgres_url, redis_url=redis_url) as place:
        place.environment["FSMFLOW_MACHINES"] += f",{serializable.__name__}"
        supervisors = [place.supervisor(processes=2) for _ in range(2)]
        verdicts: Counter[Verdict] = Counter()
        with patch.object(Link, "verdict", _counting(verdicts)):
            chains = [Chain.start(str(number), saves=number % 2 == 0) for number in range(CHAINS)]
            tolls = [Toll.start(str(number), seconds=0.01) for number in range(TOLLS)]
            for entity in (*chains, *tolls):
                entity.trigger("go")
            workers = eventually(supervisors[0].workers, what="the workers")
            in_threads(_NOTES, current().store.link, _note)
            os.kill(workers[0], signal.SIGKILL)
        check(chains, tolls)
        assert verdicts[Verdict.RACE] > 0, "nobody was told to begin anew"
        assert verdicts[Verdict.LASTING] == verdicts[Verdict.PASSING] == 0
        for supervisor in supervisors:
            assert "Traceback" not in supervisor.log


def check(chains: list[Chain], tolls: list[Toll]) -> None:
    for chain in chains:
        kinds = [entry.kind for entry in chain.wait("ended", timeout=60).history]
        assert [kind for kind in kinds if kind not in _BESIDES] == ["start"] + ["transition"] * 4
    for toll in tolls:
        toll.wait("over", timeout=60)
    assert verify(current().store, current().machines.all()).violations == []


def _note(number: int) -> None:
    for turn in range(5):
        try:
            Chain.get("0").trigger("note", text=f"{number}-{turn}")
        except TransitionConflict:
            continue


def _counting(verdicts: Counter[Verdict]) -> Any:
    verdict = Link.verdict

    def counted(link: Link, error: BaseException) -> Verdict:
        found = verdict(link, error)
        verdicts[found] += 1
        return found

    return counted
