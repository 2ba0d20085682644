"""The shops of ``examples``, each served as its README says, all over one database."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.support.django_shops import database_of
from tests.support.eventually import eventually
from tests.support.paths import ROOT

EXAMPLES: Final = ROOT / "examples"
_DJANGO: Final = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
sys.path.insert(0, "")
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("demo_users")
call_command("runserver", sys.argv[1], use_reloader=False)
"""
#: What serves each on a port that is added.
COMMANDS: Final = {
    "django_shop": ["-c", _DJANGO],
    "fastapi_shop": ["-m", "uvicorn", "shop:app", "--port"],
    "flask_shop": ["-m", "flask", "--app", "shop", "run", "--port"],
}
#: What runs the tests that it has of its own.
TESTS: Final = {
    "django_shop": ["manage.py", "test"],
    "fastapi_shop": ["-m", "pytest", "-q"],
    "flask_shop": ["-m", "pytest", "-q"],
}
#: Those of a project that serves no pages.
PLAIN: Final = {"peewee_shop": ["-m", "pytest", "-q"]}


def machine_of(name: str) -> Any:
    """The machine of an example, whatever else is called so here."""
    spec = importlib.util.spec_from_file_location(f"machines_of_{name}", EXAMPLES / name / "machines.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Order


def environment_of(**settings: str) -> dict[str, str]:
    """In which an example runs: nothing but what it needs is loaded by pytest."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FSMFLOW_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **settings}


def copy_of(name: str, folder: Path) -> Path:
    """An example in a folder of its own, where it may write."""
    return Path(shutil.copytree(EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns(".*", "db.sqlite3")))


@contextlib.contextmanager
def served(names: Sequence[str], folder: Path, **settings: str) -> Iterator[dict[str, str]]:
    """Their addresses, served until the end of the block."""
    ports = {name: _free_port() for name in names}
    with contextlib.ExitStack() as stack:
        for name, port in ports.items():
            environment = environment_of(**_settings_of(name, settings))
            stack.enter_context(_process(name, copy_of(name, folder), port, environment))
        for name, port in ports.items():
            eventually(partial(_listens, port), within=60, what=f"the server of {name}")
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}


#: Without a compiler Django takes this driver for MySQL.
DJANGO_TESTS: Final = """
import runpy, sys
import pymysql
pymysql.install_as_MySQLdb()
sys.argv = ["manage.py", "test", "--noinput"]
sys.path.insert(0, "")
runpy.run_path("manage.py", run_name="__main__")
"""


def database_settings(url: str) -> dict[str, str]:
    """How the shop in Django is told of a database. Its test runner makes another one there, of a name of its own."""
    if url.startswith("sqlite"):
        return {}
    given = database_of(url)
    engine = given["ENGINE"].rpartition(".")[2]
    return {"DB_ENGINE": engine, **{f"DB_{name}": given[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}}


def _settings_of(name: str, settings: dict[str, str]) -> dict[str, str]:
    """The same database for a project that has its own settings of it."""
    if name != "django_shop":
        return settings
    file = settings["FSMFLOW_DATABASE_URL"].removeprefix("sqlite:///")
    return {"DB_NAME": file, "REDIS_URL": settings["FSMFLOW_REDIS_URL"]}


@contextlib.contextmanager
def _process(name: str, folder: Path, port: int, environment: dict[str, str]) -> Iterator[None]:
    with open(folder / "log", "wb") as log:
        command = [sys.executable, *COMMANDS[name], str(port)]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
