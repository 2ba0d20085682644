"""What the linter forbids the library: the rules that a slip in its settings would switch off unseen."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest

from tests.support.paths import ROOT


def broken_rules(source: str, path: str) -> set[str]:
    """The codes of the rules that a module of these lines would break at this place."""
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "--stdin-filename", path, "-"]
    shown = subprocess.run(command, input=source, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return {line.split()[1] for line in shown.stdout.splitlines() if line.startswith(path)}


@pytest.mark.parametrize(
    "source",
    [
        "import time\n\nstarted = time.monotonic()\n",
        "import time as t\n\nt.sleep(1)\n",
        "from time import time_ns\n\nstarted = time_ns()\n",
        "from datetime import UTC, datetime\n\nstarted = datetime.now(UTC)\n",
        "import datetime as dt\n\nstarted = dt.datetime.utcnow()\n",
        "from datetime import date\n\nstarted = date.today()\n",
        "from rq.utils import now\n\nstarted = now()\n",
    ],
)
def test_only_the_clock_reads_the_time(source: str) -> None:
    assert "TID251" in broken_rules(source, "fsmflow/engine/somewhere.py")
    assert "TID251" not in broken_rules(source, "fsmflow/clock.py")


def test_a_moment_without_a_zone_is_refused() -> None:
    source = "from datetime import datetime\n\nSTART = datetime(2026, 1, 2)\n"
    assert broken_rules(source, "fsmflow/engine/somewhere.py") == {"DTZ001"}


def test_private_members_are_used_by_their_own_class_alone() -> None:
    source = '"""A module."""\n\n\ndef peek(store: object) -> object:\n    return store._rows\n'
    assert broken_rules(source, "fsmflow/engine/somewhere.py") == {"SLF001"}
    assert broken_rules(source, "tests/engine/test_somewhere.py") == set()


def test_code_that_is_commented_out_is_refused() -> None:
    assert broken_rules("# total = price * 2\n", "fsmflow/engine/somewhere.py") == {"ERA001"}


@pytest.mark.parametrize(("branches", "rules"), [(8, set()), (10, {"C901", "PLR0912"})])
def test_a_function_of_too_many_branches_is_refused(branches: int, rules: set[str]) -> None:
    cases = "".join(f"    if number > {bound}:\n        total += {bound}\n" for bound in range(branches))
    source = f"def rate(number: int) -> int:\n    total = 0\n{cases}    return total\n"
    assert broken_rules(source, "fsmflow/engine/somewhere.py") == rules


def test_the_methods_for_asyncio_are_as_the_script_writes_them() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "coroutines.py"))
    for module in script["MODULES"]:
        text = (script["FOLDER"] / f"{module}.py").read_text(encoding="utf-8")
        assert text == script["written"](module), "run python scripts/coroutines.py"
