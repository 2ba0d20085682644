"""What a command imports: help and completion little more than click, and who only looks neither RQ nor Redis nor the
driver of a server."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

import fsmflow
from fsmflow.cli.catalogue import CATALOGUE, Entry
from fsmflow.cli.main import cli
from fsmflow.cli.places import BY_THEMSELVES, LOOKING
from tests.cli.shop import MACHINES
from tests.support.paths import ROOT

#: Runs the command line, and prints what it has imported.
PROBE = """
import sys
from fsmflow.cli.main import main
try:
    main()
except SystemExit:
    pass
print("imported:", *sorted(sys.modules))
"""
HEAVY = {"peewee", "rq", "redis", "transitions", "croniter", "rich", "asyncio", "ssl", "decimal"}


def imported(folder: Path, *arguments: str, **environment: str) -> set[str]:
    """The modules that a command has imported once it is done."""
    ours = {"PYTHONPATH": str(ROOT), "FSMFLOW_HOME": str(folder / "home"), "COVERAGE_PROCESS_START": ""}
    command = [sys.executable, "-c", PROBE, *arguments]
    variables = {**os.environ, **ours, **environment}
    run = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    return set(run.stdout.rpartition("imported: ")[2].split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "machines.py").write_text(MACHINES)
    return tmp_path


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ()])
def test_help_imports_click_and_next_to_nothing_of_ours(folder: Path, arguments: tuple[str, ...]) -> None:
    found = imported(folder, *arguments)
    assert found & HEAVY == set()
    ours = {name for name in found if name.startswith("fsmflow")}
    assert ours == {"fsmflow", "fsmflow.cli", "fsmflow.cli.catalogue", "fsmflow.cli.main"}


def test_so_does_the_completion_of_a_command(folder: Path) -> None:
    found = imported(folder, _FSMFLOW_COMPLETE="bash_complete", COMP_WORDS="fsmflow st", COMP_CWORD="1")
    assert found & HEAVY == set()
    assert len([name for name in found if name.startswith("fsmflow")]) == 4


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("list", "--json"), ("show", "1"), ("failures",), ("stats", "--help"), ("history", "--help")],
)
def test_who_only_looks_imports_neither_rq_nor_redis_nor_what_draws(folder: Path, arguments: tuple[str, ...]) -> None:
    subprocess.run(
        [sys.executable, "-m", "fsmflow.cli", "init"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FSMFLOW_HOME": str(folder / "home")},
        capture_output=True,
        check=True,
    )
    found = imported(folder, *arguments)
    assert "peewee" in found
    assert found & {"rq", "redis", "rich", "croniter", "opentelemetry", "fsmflow.dispatch.doorbell"} == set()
    assert found & {"psycopg", "psycopg2", "pymysql", "MySQLdb", "playhouse.migrate", "asyncio", "ssl"} == set()
    floors = {name.split(".")[1] for name in found if name.startswith("fsmflow.")}
    assert floors & {"running", "verify", "diagram", "testing"} == set()


def test_a_machine_is_defined_without_rq_redis_croniter_or_rich(tmp_path: Path) -> None:
    code = f"{MACHINES}\nimport sys\nprint(*sorted(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"fsmflow.machine", "peewee", "transitions"} <= set(found)
    assert set(found) & {"rq", "redis", "rich", "croniter", "click"} == set()


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_the_catalogue_says_of_a_command_what_that_says_of_itself(entry: Entry) -> None:
    command = entry.load()
    assert (command.name, command.get_short_help_str(1_000)) == (entry.name, entry.short)


def test_every_command_is_in_the_catalogue() -> None:
    files = [path for path in (ROOT / "fsmflow" / "cli").glob("*.py") if not path.stem.startswith("__")]
    values = [value for path in files for value in vars(import_module(f"fsmflow.cli.{path.stem}")).values()]
    listed = {id(entry.load()): entry.load() for entry in CATALOGUE}
    below = {id(one) for group in listed.values() if isinstance(group, click.Group) for one in group.commands.values()}
    commands = {id(value): value.name for value in values if isinstance(value, click.Command) and value is not cli}
    assert {name for number, name in commands.items() if number not in {*listed, *below}} == set()
    assert {entry.name for entry in CATALOGUE} >= LOOKING | BY_THEMSELVES
    context = click.Context(cli)
    assert cli.list_commands(context) == [entry.name for entry in CATALOGUE]
    assert cli.get_command(context, "lst") is None


def test_the_names_that_types_know_are_those_that_are_found() -> None:
    tree = ast.parse((ROOT / "fsmflow" / "__init__.py").read_text(encoding="utf-8"))
    every = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    imports = [node for node in every if "fsmflow" in (node.module or "")]
    typed = {alias.name: str(node.module) for node in imports for alias in node.names}
    assert sorted(typed) == sorted(fsmflow.__all__)
    assert typed == {name: fsmflow._PLACE_OF.get(name, "fsmflow.errors") for name in fsmflow.__all__}
    found = [getattr(fsmflow, name) for name in fsmflow.__all__]
    assert all(getattr(one, "__module__", one.__name__).startswith("fsmflow.") for one in found)
    assert set(fsmflow.__all__) <= set(dir(fsmflow))


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'fsmflow' has no attribute 'Machin'"):
        _ = fsmflow.Machin  # type: ignore[attr-defined]
