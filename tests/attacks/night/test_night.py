"""Thousands of orders fail at night for two reasons. One is mended, and repaired while everything is killed.

The sample has some hundred; the whole, with FSMFLOW_TEST_WHOLE=1, the four thousand of the purpose. Run it by itself:
``python -m pytest tests/attacks/night``.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

import fsmflow
from fsmflow.engine.runtime import current
from fsmflow.operations.repair import Repair
from fsmflow.verify import verify
from tests.attacks.night.machines import FLAKY, Order
from tests.support.eventually import eventually
from tests.support.processes import COMMAND, World
from tests.support.servers import WHOLE

COUNT = 4_000 if WHOLE else 400
#: A quarter of them for the other reason.
CARDS = COUNT // 4
#: These fail for the first reason too, but after the set was frozen.
LATE = 20
LONG_S = 600.0 if WHOLE else 120.0
REPAIR = ("repair", "--machine", "order", "--error", "*gateway*", "--id", "night", "--yes", "--canary", "1")
CARE = ("--rate", "100/s" if WHOLE else "40/s", "--stop-after", "5%")


@pytest.fixture
def night(any_place: World) -> World:
    any_place.environment["FSMFLOW_MACHINES"] = "tests.attacks.night.machines"
    fsmflow.configure(
        database_url=any_place.environment["FSMFLOW_DATABASE_URL"],
        redis_url=any_place.environment["FSMFLOW_REDIS_URL"],
        machines=["tests.attacks.night.machines"],
    )
    return any_place


def typed(world: World, *words: str) -> subprocess.Popen[bytes]:
    """A command line that somebody leaves open."""
    with (world.folder / "typed").open("ab") as out:
        return subprocess.Popen([*COMMAND, *words], env=world.environment, stdin=-3, stdout=out, stderr=out)


def killed_workers(world: World) -> None:
    """SIGKILL of each worker process there is; their supervisors replace them."""
    for supervisor in world.supervisors:
        for pid in supervisor.workers() if supervisor.process.poll() is None else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def until(what: str, holds: Callable[[Repair], bool]) -> Repair:
    return eventually(
        lambda: next((one for one in [fsmflow.repairs.get("night")] if holds(one)), None), within=LONG_S, what=what
    )


def failed(world: World) -> None:
    """All orders have failed, by two workers."""
    Order.start_many(
        (str(number), {"reason": "card" if number <= CARDS else "gateway"}) for number in range(1, COUNT + 1)
    )
    world.supervisor(processes=1)
    world.supervisor(processes=1)
    eventually(lambda: Order.counts() == {"failed_from_charging": COUNT}, within=LONG_S, what="the night")


def marks(first: int, last: int) -> list[tuple[int, int]]:
    """What changes of an order whenever it is touched."""
    orders = (Order.get(str(number)) for number in range(first, last + 1))
    return [(order.epoch, list(order.history)[-1].seq) for order in orders]


def stopped_by_itself(world: World) -> int:
    """Mended in part: it stops, though the command line and the workers are killed; how many were asked by then."""
    world.open("half mended")
    watching = typed(world, "repair", "resume", "night", "--follow")
    try:
        until("some asked", lambda one: one.report().asked > 10)
    finally:
        watching.kill()
        watching.wait()
    killed_workers(world)
    report = until("its own stop", lambda one: one.state == "stopped").report()
    assert "that settled failed again, more than 5 %" in str(report.why)
    assert report.pending > 0
    return report.asked


@pytest.mark.alone
def test_a_night_is_mended_by_a_repair_while_all_is_killed(night: World) -> None:
    failed(night)
    cards = marks(1, CARDS)

    # Nothing is mended yet: the canary tells.
    assert typed(night, *REPAIR, *CARE).wait(LONG_S) == 1
    repair = fsmflow.repairs.get("night")
    assert (repair.state, repair.report().members, repair.report().asked) == ("stopped", COUNT - CARDS, 1)
    Order.start_many((str(number), {"reason": "gateway"}) for number in range(COUNT + 1, COUNT + LATE + 1))
    late = range(COUNT + 1, COUNT + LATE + 1)
    eventually(lambda: Order.counts()["failed_from_charging"] == COUNT + LATE, within=LONG_S, what="the late ones")
    untouched = marks(late[0], late[-1])

    asked = stopped_by_itself(night)

    # Mended: workers and a whole supervisor are killed in the middle.
    night.open("mended")
    fsmflow.repairs.resume(repair)
    until("more asked", lambda one: one.report().asked > asked + COUNT // 8)
    killed_workers(night)
    until("still more asked", lambda one: one.report().asked > asked + COUNT // 4)
    night.supervisors[0].kill()
    night.supervisor(processes=1)
    done = until("its end", lambda one: one.phase in ("finished", "failed"))
    assert done.state == "done", done.failure

    check_report(done)
    assert marks(1, CARDS) == cards
    assert marks(late[0], late[-1]) == untouched
    assert not verify(current().store, current().machines.all()).violations


def check_report(repair: Repair) -> None:
    """Everybody in the set was retried once, nobody else was, and the report is what their histories come to."""
    truth: Counter[str] = Counter()
    for number in range(1, COUNT + LATE + 1):
        order = Order.get(str(number))
        retries = [entry for entry in order.history if entry.trigger == "retry"]
        assert [entry.key for entry in retries] == ["repair:night"] * (CARDS < number <= COUNT), order.address
        if retries:
            truth["recovered" if order.state in ("packing", "packed") else "failed_alike"] += 1
            assert order.state == "packed" or int(order.entity_id) % FLAKY == 0 or number == CARDS + 1
    report = repair.report()
    assert (report.recovered, report.failed_alike) == (truth["recovered"], truth["failed_alike"])
    assert (report.members, report.asked, report.pending, report.moved) == (COUNT - CARDS, COUNT - CARDS, 0, 0)
    assert report.under_way + report.refused + report.taken_over + report.failed_otherwise == 0
