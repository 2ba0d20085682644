"""peewee with placeholders for drivers, each in a process of its own: once they are filled in, all is as without."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

WITH = "from fsmflow.store.placeholders import import_peewee\nimport_peewee()\n"
#: All of peewee that a driver gives.
STATE = """
import peewee, json
def is_of_a_driver(value):
    module = getattr(value, "__module__", None) or getattr(value, "__name__", None)
    return str(module).partition(".")[0] in ("psycopg", "psycopg_binary", "pymysql", "MySQLdb")
def shown(value):
    return repr(value).partition(" at ")[0]
print(json.dumps({
    "peewee": sorted([name, shown(value)] for name, value in vars(peewee).items() if is_of_a_driver(value)),
    "adapter": sorted([name, shown(value)] for name, value in vars(peewee.Psycopg3Adapter).items()),
    "postgres": sorted([name, shown(value)] for name, value in vars(peewee.PostgresqlDatabase).items()),
    "mysql": sorted([name, shown(value)] for name, value in vars(peewee.MySQLDatabase).items()),
}))
"""


def said(code: str) -> Any:
    """What a process prints that runs these lines."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_a_sqlite_database_is_used_without_a_driver_of_servers() -> None:
    code = "import peewee, sys, json\npeewee.SqliteDatabase(':memory:').execute_sql('SELECT 1')\n"
    shown = "print(json.dumps(sorted({'psycopg', 'psycopg.pq', 'pymysql', 'asyncio', 'ssl'} & set(sys.modules))))"
    assert said(WITH + code + shown) == []
    assert "psycopg" in said(code + shown)


def test_a_worker_process_on_sqlite_begins_without_a_driver_of_servers(tmp_path: Path) -> None:
    (tmp_path / "looking.py").write_text(
        "import peewee, sys, json\n"
        "def main(arguments, settings):\n"
        "    print(json.dumps(sorted({'psycopg', 'psycopg.pq', 'pymysql'} & set(sys.modules))))\n"
        "    return 0\n"
    )
    with tempfile.TemporaryFile() as handed:
        handed.write(json.dumps({"path": [str(tmp_path), *sys.path], "settings": {}}).encode())
        handed.seek(0)
        command = [sys.executable, str(ROOT / "fsmflow" / "running" / "entry.py"), str(handed.fileno()), "looking"]
        run = subprocess.run(command, pass_fds=[handed.fileno()], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "[]\n"), run.stderr


MADE = [
    "import peewee\npeewee.PostgresqlDatabase('x')",
    "import peewee\npeewee.PostgresqlDatabase('x', prefer_psycopg3=True)",
    "from playhouse.postgres_ext import PostgresqlExtDatabase\nPostgresqlExtDatabase('x', register_hstore=True)",
    "from playhouse.pool import PooledPostgresqlDatabase\nPooledPostgresqlDatabase('x')",
    "import peewee\npeewee.PostgresqlDatabase(None).init('x')",
    "from fsmflow.store.link import open_database\nopen_database('postgresql://ann@host/x')",
    "import psycopg, peewee\nassert psycopg.connect and psycopg.types.json.Json\npeewee.PostgresqlDatabase('x')",
]


@pytest.mark.parametrize("made", MADE)
def test_psycopg_is_filled_in_as_a_database_of_postgresql_is_made(made: str) -> None:
    mysql = "\nimport peewee\npeewee.MySQLDatabase('x')\n"
    assert said(f"{WITH}{made}{mysql}{STATE}") == said(f"{made}{mysql}{STATE}")


def test_what_is_json_for_psycopg_is_so_for_an_adapter() -> None:
    code = "import peewee, json\ndb = peewee.PostgresqlDatabase('x')\nfrom psycopg.types.json import Json, Jsonb\n"
    shown = "print(json.dumps([db._adapter.json_type is Json, db._adapter.jsonb_type is Jsonb]))"
    assert said(WITH + code + shown) == [True, True]


def test_pymysql_is_imported_as_a_database_of_mysql_is_made() -> None:
    code = """
import peewee, sys, json
before = "pymysql" in sys.modules
db = peewee.MySQLDatabase("x", host="127.0.0.1", port=1)
try:
    db.connect()
except peewee.OperationalError as error:
    print(json.dumps([before, "pymysql" in sys.modules, error.args[0]]))
"""
    assert said(WITH + code) == [False, True, 2003]
    assert said(code) == [True, True, 2003]


def test_whoever_imports_a_driver_gets_the_driver() -> None:
    code = "import json, psycopg, psycopg.pq, psycopg.types.json, pymysql\n"
    shown = "print(json.dumps([m.__file__ for m in (psycopg, psycopg.pq, psycopg.types.json, pymysql)]))"
    assert said(WITH + code + shown) == said(code + shown)


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_a_driver_that_is_there_already_has_no_placeholder(driver: str) -> None:
    shown = (
        f"import json, sys\nprint(json.dumps(vars(peewee)[{driver.removeprefix('py')!r}] is sys.modules[{driver!r}]))"
    )
    assert said(f"import {driver}\n{WITH}import peewee\n{shown}") is True


BROKEN = """
import sys
from importlib.util import spec_from_loader
class Broken:
    def find_spec(self, name, path=None, target=None):
        return spec_from_loader(name, self) if name in {names} else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        raise ImportError("it cannot be used")
sys.meta_path.insert(0, Broken())
"""
MISSING = "import sys\nsys.modules.update(dict.fromkeys({names}))\n"


@pytest.mark.parametrize(
    ("how", "names"),
    [
        (BROKEN, "psycopg"),
        (BROKEN, "psycopg.pq"),
        (BROKEN, "pymysql"),
        (BROKEN, "psycopg pymysql MySQLdb"),
        (MISSING, "psycopg"),
        (MISSING, "pymysql"),
        (MISSING, "psycopg pymysql MySQLdb"),
    ],
)
def test_a_driver_that_cannot_be_used_is_none_or_another_one_as_ever(how: str, names: str) -> None:
    without = how.replace("{names}", repr(names.split()))
    made = "import peewee\npeewee.PostgresqlDatabase('x')\npeewee.MySQLDatabase('x')\n"
    found = "[getattr(driver, '__name__', None) for driver in (peewee.psycopg, peewee.mysql)]"
    shown = f"import json\nprint(json.dumps({found}))"
    assert said(without + WITH + made + shown) == said(without + made + shown)


def test_peewee_that_is_there_already_stays_as_it_is() -> None:
    assert said(f"import peewee\n{WITH}{STATE}") == said(STATE)
