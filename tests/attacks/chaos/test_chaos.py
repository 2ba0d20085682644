"""``python scripts/chaos.py``: a short run on each database, and what it says of one that was tampered with."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.servers import WHOLE

CHAOS = [sys.executable, str(ROOT / "scripts" / "chaos.py")]
LIMIT_S = 120.0

pytestmark = pytest.mark.alone


def chaos(*options: str, run_on: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CHAOS, *options],
        env={**os.environ, "FSMFLOW_SKIP_VENV": "1", "FSMFLOW_RUN_ON": str(int(run_on))},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def run(folder: Path, kind: str, faults: str, *more: str) -> dict[str, Any]:
    """A short run; its report. It ends with status 1 where anything is wrong."""
    options = ["--database", kind, "--faults", faults, "--seconds", "1.5", "--rate", "2.5", *more]
    options += ["--every", "0.2", "--processes", "1"]
    report, kept = folder / "report.json", folder / "kept"
    done = chaos(*options, "--json", str(report), "--keep", str(kept), run_on=kind == "postgres")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def check(report: dict[str, Any]) -> None:
    """Faults were struck, work was done, and nothing is wrong."""
    assert report["holds"]
    assert report["faults"] >= 1
    assert report["figures"]["entities"] >= 3
    assert not any(report[kind] for kind in ("lost", "doubled", "gaps", "absent", "violations"))


@pytest.mark.parametrize(
    "kind", [pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mysql", marks=pytest.mark.mysql)]
)
def test_a_short_run_on_a_server_and_two_redis_servers_loses_and_doubles_nothing(tmp_path: Path, kind: str) -> None:
    check(run(tmp_path, kind, "kill,db-drop,db-cut,db-sessions,redis-cut", "--redis", "2"))
    began = [line for line in (tmp_path / "kept" / "host-0.log").read_text().splitlines() if "worker.started" in line]
    assert any("far" in line for line in began)
    assert any("default" in line and "far" not in line for line in began)


@pytest.mark.postgres
@pytest.mark.skipif(not WHOLE, reason="it takes a minute, and is run on demand: set FSMFLOW_TEST_WHOLE=1")
def test_a_host_that_is_cut_off_from_all_loses_nothing_and_others_take_over(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--hosts", "2", "--database", "postgres", "--faults", "link", "--seconds", "24", "--rate", "0.5"]
    done = chaos(*options, "--processes", "1", "--json", str(report))
    if done.returncode == 2:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    check(found)
    assert 0 < found["longest_s"] < 20


def test_a_short_run_on_sqlite_holds_and_what_is_planted_in_it_is_found(tmp_path: Path) -> None:
    check(run(tmp_path, "sqlite", "kill,redis-cut"))
    kept = tmp_path / "kept"
    plant(kept)
    done = chaos("--check", str(kept))
    assert done.returncode == 1
    for sentence in (
        "gaps: voyage:1 has come to row",
        "lost: voyage:2: rows of its transactional step: 0, and 1 were committed",
        "doubled: voyage:3: rows of its transactional step: 2, and 1 were committed",
        "lost: voyage:1: 'planted' was acknowledged, and its history does not have it",
        "lost: voyage:4711: its start was acknowledged, and it is not there",
        "doubled: voyage:2: 'approve-2' was applied 2 times",
        "absent: voyage:3 is in 'resting', waiting",
    ):
        assert sentence in done.stdout, (sentence, done.stdout)


def plant(folder: Path) -> None:
    """Lose and double what the run had done."""
    connection = sqlite3.connect(folder / "chaos.db")
    row = "(SELECT id FROM fsmflow_entity WHERE machine = 'voyage' AND entity_id = '{}')"
    connection.execute(f"DELETE FROM fsmflow_history WHERE entity = {row.format(1)} AND seq = 3")
    connection.execute("DELETE FROM chaos_ledger WHERE voyage = 2")
    connection.execute("INSERT INTO chaos_ledger (voyage) VALUES (3)")
    last = f"(SELECT MAX(seq) FROM fsmflow_history WHERE entity = {row.format(2)})"
    again = f"SELECT * FROM fsmflow_history WHERE entity = {row.format(2)} AND \"key\" = 'approve-2'"
    connection.execute(f"CREATE TEMPORARY TABLE again AS {again}")
    connection.execute(f"UPDATE again SET seq = {last} + 1, id = NULL")
    connection.execute("INSERT INTO fsmflow_history SELECT * FROM again")
    connection.execute(f"UPDATE fsmflow_entity SET state = 'resting', phase = 'waiting' WHERE id = {row.format(3)}")
    connection.commit()
    connection.close()
    calls = [("bump", 1, "planted"), ("start", 4711, "start-4711")]
    with (folder / "acks").open("a") as file:
        for id_, (what, number, key) in enumerate(calls, start=10**6):
            line = {"id": id_, "what": what, "number": number, "key": key}
            for answer in ("asked", "acknowledged"):
                file.write(json.dumps({**line, "answer": answer, "at": 0.0}) + "\n")
