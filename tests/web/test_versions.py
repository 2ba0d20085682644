"""The oldest of what pages are made with, as ``setup.cfg`` names it; the newest is what all the other tests have."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.servers import WHOLE

#: What goes through most of it.
_TESTS = (
    "test_app",
    "test_security",
    "test_login",
    "test_entity",
    "test_links",
    "api/test_requests",
    "api/test_openapi",
)


@pytest.mark.skipif(not WHOLE, reason="it installs packages; FSMFLOW_TEST_WHOLE=1 runs it")
def test_the_oldest_versions_that_are_named_serve_as_the_newest_do(tmp_path: Path) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    named = [line for line in config["options.extras_require"]["web"].split() if line]
    install = ["install", "--quiet", "--only-binary", ":all:", "--target", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", *install, *(each.replace(">=", "==") for each in named)], check=True)
    mine = {name: value for name, value in os.environ.items() if not name.startswith("FSMFLOW_TEST_")}
    environment = {**mine, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    # What was new when these were made has been renamed since.
    quiet = ["-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning"]
    files = [f"tests/web/{name}.py" for name in _TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *quiet, *files]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
