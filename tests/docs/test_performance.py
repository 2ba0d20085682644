"""``python scripts/bench.py --peers``: a small run of fsmflow's own side, and what it writes."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.paths import ROOT

BENCH = [sys.executable, str(ROOT / "scripts" / "bench.py")]
PAGE = ROOT / "docs" / "performance.md"
LIMIT_S = 120.0


def bench(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BENCH, *options],
        env={**os.environ, "FSMFLOW_SKIP_VENV": "1", "XDG_CACHE_HOME": str(folder / "cache")},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_small_run_is_told_as_a_table_as_json_as_a_picture_and_on_the_page(tmp_path: Path) -> None:
    found, picture, page = tmp_path / "found.json", tmp_path / "found.svg", tmp_path / "performance.md"
    shutil.copy(PAGE, page)
    options = ["--peers", "fsmflow-sqlite", "--on", "sqlite", "--rounds", "1", "--chains", "4"]
    written = ["--json", str(found), "--picture", str(picture), "--markdown", str(page)]
    done = bench(tmp_path, *options, "--folder", str(tmp_path), *written)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Chains of steps that do nothing" in done.stdout
    told = json.loads(found.read_text())
    assert told["skipped"] == {}
    (line,) = told["lines"]
    assert line["name"] == "fsmflow-sqlite"
    costs = {"cpu_ms", "redis_commands", "redis_trips", "redis_cpu_ms", "disk_bytes"}
    assert line["figures"].keys() == {"steps_per_s", *costs}
    assert all(value > 0 for value in line["figures"]["steps_per_s"] + line["figures"]["redis_trips"])
    assert line["spread"]["steps_per_s"].keys() == {"median", "least", "most"}
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    assert "fsmflow, SQLite" in picture.read_text()
    assert "| fsmflow, SQLite |" in page.read_text()
    assert page.read_text().partition("<!-- figures")[0] == PAGE.read_text().partition("<!-- figures")[0]
    assert list(tmp_path.glob("fsmflow-bench-*")) == []


def test_systems_are_chosen_by_name_and_one_that_there_is_not_is_told_with_those_that_there_are() -> None:
    chosen = runpy.run_path(str(ROOT / "scripts" / "_peers" / "catalogue.py"))["chosen"]
    assert [(peer.label, peer.workers) for peer in chosen("celery,simple:2")] == [
        ("Celery, acks late", 1),
        ("RQ, SimpleWorker, 2 workers", 2),
    ]
    with pytest.raises(SystemExit, match="there is no peer 'celary'; there are fsmflow-sqlite, "):
        chosen("simple,celary")
