"""``worker`` and ``reconcile``."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

from tests.cli.shop import CLI, PING, Shop


def test_reconcile_looks_after_what_is_due(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text(PING.replace("timeout=5", "timeout=0"))
    shop.ok("start", "ping", "7")
    assert shop.ok("reconcile") == "looked after 1 due row\n"
    assert shop.states() == {"ping:7": "off"}
    assert shop.json("reconcile")["rows"] == 0


def test_a_worker_without_machines_says_where_it_looked(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text("")
    assert "FSMFLOW_MACHINES" in shop.refused("worker")
    assert "FSMFLOW_MACHINES" in shop.refused("check")


def test_a_worker_refuses_wrong_options(shop: Shop) -> None:
    shop.misused("worker", "--processes", "0")
    assert "'a,,b'" in shop.misused("worker", "--queues", "a,,b")


def test_a_worker_finishes_and_ends_well_on_ctrl_c(shop: Shop) -> None:
    command = [sys.executable, *CLI, "worker", "--processes", "1"]
    with subprocess.Popen(
        command, cwd=shop.folder, env=shop.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as worker:
        assert worker.stderr is not None
        seen = next(line for line in worker.stderr if "worker.started" in line)
        worker.send_signal(signal.SIGINT)
        rest = worker.stderr.read()
    assert worker.returncode == 0, seen + rest
    assert "Traceback" not in rest


def test_a_worker_whose_database_was_deleted_says_so_and_ends(shop: Shop) -> None:
    command = [sys.executable, *CLI, "worker", "--processes", "1"]
    with subprocess.Popen(
        command, cwd=shop.folder, env=shop.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as worker:
        assert worker.stderr is not None
        next(line for line in worker.stderr if "worker.started" in line)
        shutil.rmtree(shop.folder / "home", ignore_errors=True)  # the server may write to it until it ends
        rest = worker.stderr.read()
        assert worker.wait(timeout=10) == 1
    told = [line for line in rest.splitlines() if "database.gone" in line]
    assert len(told) == 1, rest
    assert f"{shop.folder}/home/fsmflow.db was deleted or replaced" in told[0]
    assert not (shop.folder / "home" / "fsmflow.db").exists(), "nothing was made in its place"
