"""The command ``web``: where it listens, and where it does not."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import fsmflow
from fsmflow import settings
from fsmflow.cli.web import _module
from fsmflow.engine import runtime as runtime_of
from fsmflow.errors import ConfigurationError
from tests.support.bench import Bench
from tests.support.machines import Counter
from tests.support.processes import World
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
def test_without_a_login_it_listens_on_this_machine_alone(bench: Bench, terminal: Terminal) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "shop.example"):
        assert "whoever reaches" in terminal.refused("web", "--host", host)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_cannot_say_who_asks_is_told(bench: Bench, terminal: Terminal) -> None:
    assert "No module named 'nowhere'" in terminal.refused("web", "--auth", "nowhere:who")
    assert "is no function" in terminal.refused("web", "--auth", "tests.support.website")
    assert "cannot listen on 192.0.2.1" in terminal.refused(
        "web", "--host", "192.0.2.1", "--auth", "tests.support.website:ada"
    )


def test_where_no_database_is_yet_nothing_is_served(terminal: Terminal, tmp_path: Path) -> None:
    fsmflow.configure(home=tmp_path / "home", machines=[Counter])
    assert "there is no database yet" in terminal.refused("web", "--port", "0")
    assert not (tmp_path / "home").exists()


def test_without_its_packages_it_says_how_to_install_them() -> None:
    with pytest.raises(ConfigurationError, match=r"needs the package starlte: pip install 'fsmflow\[web\]'"):
        _module("starlte")


def test_it_answers_until_it_is_stopped(place: World) -> None:
    command = [sys.executable, "-m", "fsmflow.cli", "web", "--port", "0"]
    with subprocess.Popen(command, env=place.environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        told = running.stderr.readline()
        url = told.partition("web.listening: ")[2].partition(",")[0]
        assert "Overview" in httpx2.get(url, timeout=30).text, told
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


@contextlib.contextmanager
def serving(place: World) -> Iterator[str]:
    """The command, as a process of its own, and its URL."""
    command = [sys.executable, "-m", "fsmflow.cli", "web", "--port", "0"]
    with subprocess.Popen(command, env=place.environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        told = running.stderr.readline()
        try:
            assert "for whoever logs in" in told
            yield told.partition("web.listening: ")[2].partition(",")[0]
        finally:
            running.terminate()


def test_once_there_is_a_user_people_log_in_and_several_processes_know_them(place: World) -> None:
    words = "correct horse battery"
    add = [sys.executable, "-m", "fsmflow.cli", "users", "add", "ann"]
    subprocess.run(add, env=place.environment, input=words, text=True, check=True, capture_output=True)
    there = {"Sec-Fetch-Site": "same-origin"}
    with serving(place) as first, serving(place) as second:
        assert httpx2.get(first, timeout=30).headers["location"] == "/login"
        with httpx2.Client(headers=there, timeout=30) as browser:
            assert browser.post(f"{first}login", data={"name": "ann", "password": words}).status_code == 303
            assert "Overview" in browser.get(second).text
            # Ten tries in all, whichever process is asked.
            wrong = {"name": "ann", "password": "wrong"}
            tried = [browser.post(f"{(first, second)[n % 2]}login", data=wrong).status_code for n in range(11)]
            assert tried == [403] * 10 + [429]
            assert browser.get(first).status_code == 200
