"""A standby of PostgreSQL takes over under load: what was acknowledged is there, and work goes on by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsmflow.engine.runtime import current
from fsmflow.errors import DatabaseUnavailable
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.process_flows import Chain
from tests.support.processes import installation
from tests.support.servers import WHOLE
from tests.support.standby import pair

CHAINS = 60

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(not WHOLE, reason="it is run on demand: set FSMFLOW_TEST_WHOLE=1"),
]


def start(number: int) -> bool:
    """Start and trigger a chain; whether that was acknowledged."""
    try:
        Chain.start(str(number), if_exists="return").trigger("go", key=f"go {number}")
    except DatabaseUnavailable:
        return False
    return True


def test_a_synchronous_standby_takes_over_under_load_and_nothing_is_lost(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pair("*") as (first, second):
        url = f"postgresql://fsmflow@127.0.0.1:{first.port},127.0.0.1:{second.port}/postgres"
        with installation(tmp_path, monkeypatch, database_url=url, redis_url=redis_url) as town:
            supervisor = town.supervisor(processes=2)
            acknowledged = {number for number in range(30) if start(number)}
            eventually(lambda: Chain.counts().get("ended", 0) > 5, what="the first chains")
            first.crash()
            acknowledged |= {number for number in range(30, 35) if start(number)}
            assert second.ask("SELECT pg_promote()")
            for number in range(35, CHAINS):
                eventually(lambda number=number: start(number), what="a trigger that is taken")  # type: ignore[misc]
                acknowledged.add(number)
            assert len(acknowledged) == CHAINS - 5
            for number in acknowledged:
                chain = Chain.get(str(number)).wait("ended", timeout=30)
                assert [entry.kind for entry in chain.history] == ["start"] + ["transition"] * 4
            runtime = current()
            assert verify(runtime.store, runtime.machines.all()).violations == []
            assert "Traceback" not in supervisor.log
