"""A command for many is killed, followed, overtaken, and has workers beside it: each is asked once, and all are."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

import fsmflow
from fsmflow import repairs
from fsmflow.engine.runtime import current
from fsmflow.operations.repair import Repair
from fsmflow.running.drive import Drive
from fsmflow.store.tables import WORK
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.narrow_flows import Visitor
from tests.support.processes import COMMAND, World

COUNT = 12
CANCEL = ("cancel", "--machine", "visitor", "--state", "inside", "--reason", "closing time")


@pytest.fixture
def house(sampled_place: World) -> Iterator[World]:
    """Some visitors are inside."""
    module = "tests.support.narrow_flows"
    sampled_place.environment["FSMFLOW_MACHINES"] = module
    fsmflow.configure(
        database_url=sampled_place.environment["FSMFLOW_DATABASE_URL"],
        redis_url=sampled_place.environment["FSMFLOW_REDIS_URL"],
        machines=[module],
    )
    Visitor.start_many([(str(number), {}) for number in range(COUNT)])
    os.mkfifo(sampled_place.folder / "pipe")
    yield sampled_place
    assert not verify(current().store, current().machines.all()).violations


def typed(house: World, *words: str, blocks: bool = False) -> subprocess.Popen[str]:
    environment = {**house.environment, **({"BLOCKS_AT": "3"} if blocks else {})}
    return subprocess.Popen([*COMMAND, *words], env=environment, stdin=-3, stdout=-1, stderr=-1, text=True)


def blocked(house: World) -> tuple[subprocess.Popen[str], Repair]:
    """A command that is held up at the fourth of them; and its repair."""
    command = typed(house, *CANCEL, blocks=True)
    eventually((house.folder / "blocked").exists, within=30, what="a command in the middle")
    (repair,) = repairs.find()
    return command, repair


def let_go(house: World) -> None:
    (house.folder / "pipe").write_text("go on")


def killed(command: subprocess.Popen[str]) -> None:
    """SIGKILL; and the time of its lease goes by."""
    command.kill()
    command.communicate()
    link = current().store.link
    sql = (
        f"UPDATE {WORK} SET lease_until = lease_until - 15000, wake_at = wake_at - 15000 WHERE lease_until IS NOT NULL"
    )
    link.write(lambda: link.execute(sql, ()))


def asked_once() -> None:
    """All were asked, each once, and the report says so."""
    for number in range(COUNT):
        cancels = [entry for entry in Visitor.get(str(number)).history if entry.trigger == "cancel"]
        assert len(cancels) == 1, (number, cancels)


def ended(command: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = command.communicate(timeout=60)
    return command.returncode, out, err


def test_workers_take_up_what_a_killed_command_has_begun(house: World) -> None:
    command, repair = blocked(house)
    killed(command)
    house.supervisor()
    eventually(lambda: repair.refresh().state == "done", within=60, what="the end of the repair")
    asked_once()
    assert repair.report().recovered == COUNT


def test_resume_takes_up_what_a_killed_command_has_begun_without_a_worker(house: World) -> None:
    command, repair = blocked(house)
    killed(command)
    status, out, err = ended(typed(house, "repair", "resume", repair.entity_id))
    assert (status, len(out.splitlines())) == (0, COUNT), err
    assert f"{COUNT} cancelled, 0 refused" in err
    asked_once()
    assert repair.refresh().report().recovered == COUNT


def test_whoever_finds_it_claimed_waits_for_whoever_has_claimed_it(house: World) -> None:
    command, repair = blocked(house)
    with Drive(current(), repair.row, []) as drive:
        assert drive.go_on()
        let_go(house)
        status, out, err = ended(command)
        assert (status, len(out.splitlines())) == (0, COUNT), err
        assert not drive.go_on()
    asked_once()


def test_of_two_commands_at_once_the_later_one_leaves_alone_what_has_moved(house: World) -> None:
    command, _ = blocked(house)
    status, out, err = ended(typed(house, *CANCEL))
    assert (status, len(out.splitlines())) == (0, COUNT - 3), err
    let_go(house)
    status, out, err = ended(command)
    assert (status, len(out.splitlines())) == (0, 3), err
    assert re.search(rf"^{COUNT - 3} had moved on since they were selected", err, re.MULTILINE)
    asked_once()


def test_with_workers_beside_it_each_is_asked_once(house: World) -> None:
    house.supervisor(processes=2)
    status, out, err = ended(typed(house, *CANCEL))
    assert (status, len(out.splitlines())) == (0, COUNT), err
    (repair,) = repairs.find()
    eventually(lambda: repair.refresh().state == "done", within=30, what="the end of the repair")
    asked_once()
