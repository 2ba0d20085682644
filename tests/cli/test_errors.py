"""What goes wrong around a command is told in one line, and the exit status says so."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys

import click
import pytest

from fsmflow.cli.catalogue import CATALOGUE
from tests.cli.shop import CLI, NOWHERE, Shop
from tests.support.paths import ROOT
from tests.support.terminal import Terminal


def test_ctrl_c_ends_quietly_with_130(shop: Shop) -> None:
    pipe = shop.folder / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, *CLI, "start", "order", "7", "--data", "@pipe"]
    with subprocess.Popen(command, cwd=shop.folder, env=shop.environment, stderr=subprocess.PIPE, text=True) as started:
        with pipe.open("w"):  # opens once the command reads from it
            started.send_signal(signal.SIGINT)
            started.wait(30)
        assert started.stderr is not None
        assert (started.returncode, started.stderr.read().strip()) == (130, "")


@pytest.mark.parametrize("arguments", [("list", "--json"), ("draw", "order")])
def test_a_reader_that_goes_away_is_no_error(busy: Shop, arguments: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, *CLI, *arguments],
        cwd=busy.folder,
        env=busy.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == ""


@pytest.mark.parametrize(
    ("kind", "command"), [("postgres", "list"), ("postgres", "worker"), ("mysql", "init"), ("mysql", "retry order:1")]
)
def test_a_database_that_does_not_answer_is_told_in_one_line(shop: Shop, kind: str, command: str) -> None:
    shop.variables["FSMFLOW_DATABASE_URL"] = NOWHERE[kind]
    told = shop.refused(*command.split())
    assert "127.0.0.1" in told
    assert told.endswith("; the database is that of FSMFLOW_DATABASE_URL: see 'fsmflow info'\n")
    assert "sesame" not in told


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("oracle://x/y", "is of no known kind"),
        ("sqlite:////nosuch/folder/x.db", "there is no folder"),
        ("sqlite:////tmp/x.db?colour=red", "a file takes none"),
        ("postgresql://ann:sesame@127.0.0.1:1/x?colour=red", "colour"),
        ("mysql://ann:sesame@127.0.0.1:1/x?colour=red", "an option that the driver does not take"),
        ("mysql://ann:sesame@127.0.0.1:1/x?connect_timeout=soon", "an option that the driver does not take"),
    ],
)
def test_a_database_url_that_cannot_be_used_is_told_in_one_line(shop: Shop, url: str, told: str) -> None:
    shop.variables["FSMFLOW_DATABASE_URL"] = url
    refused = shop.refused("list")
    assert told in refused
    assert "sesame" not in refused


def test_tables_that_are_missing_are_made_by_init(shop: Shop) -> None:
    shop.variables["FSMFLOW_DATABASE_URL"] = f"sqlite:///{shop.folder}/shop.db"
    assert "run 'fsmflow init' once" in shop.refused("list")
    assert f"sqlite:///{shop.folder}/shop.db\n" in shop.ok("init")
    assert shop.json("list") == []


def test_without_redis_all_but_jobs_goes_on(busy: Shop) -> None:
    busy.variables["FSMFLOW_REDIS_URL"] = NOWHERE["redis"]
    told = busy.ok("init")
    assert "Redis does not answer (redis://ada:***@127.0.0.1:1/0)" in told
    assert "sesame" not in told
    assert busy.ok("retry", "order:1") == "order:1  failed_from_charging -> charging\n"
    assert busy.json("stats")["redis"]["answers"] is False
    assert busy.json("check")["skipped"].startswith("whether workers listen was not checked")
    assert "Redis does not answer" in busy.refused("reconcile")
    assert "Redis does not answer" in busy.refused("worker", "--burst")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:1/0", "write redis://host"),
        ("redis://127.0.0.1:1/0?colour=red", "it has an option that is not known"),
        ("redis://127.0.0.1:1/0?socket_timeout=soon", "Invalid value for 'socket_timeout'"),
        ("redis://127.0.0.1:1/orders", "the database 'orders' is no number"),
    ],
)
def test_a_redis_url_that_cannot_be_used_is_told_in_one_line(shop: Shop, url: str, told: str) -> None:
    shop.variables["FSMFLOW_REDIS_URL"] = url
    refused = shop.refused("worker")
    assert "the Redis URL cannot be used" in refused
    assert told in refused


def test_a_home_that_cannot_be_made_is_told_in_one_line(shop: Shop) -> None:
    (shop.folder / "file").write_text("")
    shop.variables["FSMFLOW_HOME"] = str(shop.folder / "file" / "home")
    for command in ("init", "list", "worker"):
        assert "FSMFLOW_HOME" in shop.refused(command)


def test_a_machines_module_that_cannot_be_imported_is_told_in_one_line(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text("import a_package_that_is_missing")
    assert "a_package_that_is_missing" in shop.refused("check")
    (shop.folder / "machines.py").write_text("class Order(:\n")
    assert "SyntaxError" in shop.refused("worker")


def test_the_current_folder_is_searched_for_machines_first(shop: Shop) -> None:
    done = shop.run("check", "--json", program=("-P", *CLI))
    assert [item["machine"] for item in json.loads(done.out)["machines"]] == ["order", "refund"]


def test_output_that_the_terminal_cannot_encode_is_escaped(shop: Shop) -> None:
    shop.ok("start", "order", "Ω", "name=Zoë Ω")
    shop.variables["PYTHONIOENCODING"] = "latin-1"
    assert shop.ok("list").splitlines()[1].startswith("order:\\u03a9 ")
    assert shop.json("show", "Ω")["data"] == {"name": "Zoë Ω"}


def test_arguments_that_are_no_utf_8_are_refused(shop: Shop) -> None:
    shop.refused("start", "order", "\udcff")
    shop.refused("start", "order", "7", "name=\udcff")
    shop.refused("show", "order:\udcff")
    shop.refused("list", "--machine", "\udcff")


def test_version_help_and_unknown_commands() -> None:
    shop = Shop(ROOT)
    assert shop.ok("--version").startswith("fsmflow, version ")
    assert "No such command 'jump'" in shop.misused("jump", "order:1")
    assert "Exit status: 0 done, 1 refused or failed, 2 wrong usage." in shop.ok("--help")


@pytest.mark.parametrize("command", [entry.load() for entry in CATALOGUE], ids=lambda command: str(command.name))
def test_every_command_has_a_help_text_with_an_example(command: click.Command) -> None:
    assert f"\b\n  fsmflow {command.name}" in inspect.cleandoc(command.help or "")


def test_a_misspelt_command_is_told_with_the_likely_one(shell: Terminal) -> None:
    assert "No such command 'shows'; did you mean 'show'?" in shell.misused("shows", "order:1")
    assert "No such command 'backfills'; did you mean 'backfill'?" in shell.misused("schedule", "backfills")
    assert "No such command 'xyzzy'.\n" in shell.misused("xyzzy")


def test_the_help_says_all_of_each_command_in_80_columns(shell: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in (("--help",), ("failures", "--help"), ("repair", "--help")):
        told = shell.ok(*words).partition("Commands:")[2]
        assert "..." not in told
        assert max(map(len, told.splitlines())) <= 80
