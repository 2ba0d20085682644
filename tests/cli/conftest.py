"""A shop whose commands are processes, and a sandbox in which commands run in this process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmflow.testing import Sandbox, sandbox
from tests.cli.orders import Order, Shipment
from tests.cli.shop import MACHINES, Shop
from tests.support.terminal import Terminal
from tests.support.traces import failing


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop without any order."""
    (tmp_path / "machines.py").write_text(MACHINES)
    return Shop(tmp_path)


@pytest.fixture(scope="session")
def busy_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shop whose worker has run: 1 and 2 were too slow, 3 declined, 4 is in review, 5 was not sent."""
    busy = Shop(tmp_path_factory.mktemp("busy"))
    (busy.folder / "machines.py").write_text(MACHINES)
    for number, error in (("1", "slow"), ("2", "slow"), ("3", "card"), ("4", ""), ("5", "")):
        busy.ok("start", "order", number, "amount:=1500", f"error={error}")
        if number != "5":
            busy.ok("trigger", f"order:{number}", "submit")
    busy.ok("worker", "--burst", "--processes", "1")
    return busy.folder


@pytest.fixture
def busy(busy_day: Path, tmp_path: Path) -> Shop:
    """A copy of the busy shop that a test may change."""
    shutil.copytree(busy_day, tmp_path / "shop", ignore=shutil.ignore_patterns("valkey*", "*.lock"))
    return Shop(tmp_path / "shop")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Order, Shipment]) as box:
        yield box


@pytest.fixture
def shell(box: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def packing(box: Sandbox) -> Order:
    """An order of which 2 of 10 branches have failed."""
    failing.update({2, 5})
    order = Order.start("1", lines=list(range(10)))
    order.go()
    box.run()
    assert order.refresh().state == "failed_from_packing"
    return order


@pytest.fixture
def declined(box: Sandbox) -> None:
    """Orders 1 to 3 have failed in charging; 4 is new."""
    for number in (1, 2, 3):
        Order.start(number, card="bad", lines=[], customer={"no": number}).go()
    Order.start(4, lines=[])
    box.run()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
