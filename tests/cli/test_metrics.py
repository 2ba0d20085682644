"""The command ``metrics``, where it prints and ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fsmflow
from fsmflow import settings
from fsmflow.engine import runtime as runtime_of
from tests.support.bench import Bench
from tests.support.machines import Counter
from tests.support.terminal import Terminal


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    runtime_of.close()
    settings._chosen.settings = None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_numbers_are_printed_once(bench: Bench, terminal: Terminal) -> None:
    Counter.start("1")
    assert 'fsmflow_entities{machine="counter",state="open",kind="root"} 1\n' in terminal.ok("metrics", "--once")


def test_a_database_that_is_away_is_told_by_the_exit_status(terminal: Terminal) -> None:
    fsmflow.configure(database_url="postgresql://127.0.0.1:1/shop", redis_url="redis://127.0.0.1:1", machines=[Counter])
    done = terminal.run("metrics", "--once")
    assert done.status == 1
    assert "\nfsmflow_up 0\n" in done.out


def test_where_no_database_is_yet_nothing_is_served(terminal: Terminal, tmp_path: Path) -> None:
    fsmflow.configure(home=tmp_path / "home", machines=[Counter])
    assert "there is no database yet" in terminal.refused("metrics", "--port", "0")
    assert not (tmp_path / "home").exists()
