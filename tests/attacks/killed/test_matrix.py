"""Processes are killed at every point, in every kind of step, and nothing is lost or done twice.

This is the part of it that there is time for each time; ``__main__.py`` tells how to run the whole.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from fsmflow.points import POINTS
from tests.attacks.killed.kinds import KINDS
from tests.support.paths import ROOT

#: Passed by a supervisor alone, beside its worker processes: test_points.py, tests/running/test_retention.py, and
#: tests/operations/test_watch.py.
ELSEWHERE = {"renew.before", "pop.after", "take.after", "prune.before", "alarm.seen", "alarm.raised", "alarm.told"}
MATRIX = ("-m", "tests.attacks.killed")


@pytest.mark.parametrize(
    ("database", "options"),
    [
        pytest.param("sqlite", ["--every", "16", "--pairs", "1000"], id="sqlite"),
        pytest.param("postgres", ["--every", "90", "--jobs", "1"], marks=pytest.mark.postgres, id="postgres"),
        pytest.param("mysql", ["--every", "90", "--jobs", "1"], marks=pytest.mark.mysql, id="mysql"),
    ],
)
def test_nothing_is_lost_or_done_twice_wherever_a_process_is_killed(database: str, options: list[str]) -> None:
    variable = f"FSMFLOW_TEST_{database.upper()}_URL"
    if database != "sqlite" and not os.environ.get(variable):
        pytest.skip(f"{variable} is not set; 'python scripts/test.py' starts the server and sets it")
    command = [sys.executable, *MATRIX, "--database", database, *options]
    # Thousands of processes are forked, and most of them killed: what they cover is not measured.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800
    )
    assert ran.returncode == 0, ran.stdout
    (figures,) = json.loads(ran.stdout.splitlines()[-1])
    assert set(figures["points"]) == set(POINTS) - ELSEWHERE
    assert set(figures["kinds"]) == {kind.name for kind in KINDS}
