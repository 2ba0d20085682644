"""``worker`` and ``reconcile``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest
from click.testing import CliRunner

import fsmflow
from fsmflow.cli.places import database_of, machines_of, redis_of
from fsmflow.cli.queues import read_queues
from fsmflow.cli.worker import worker
from fsmflow.engine.registry import definition_of
from fsmflow.errors import ConfigurationError
from fsmflow.running.reload import Reload, folders_of
from fsmflow.settings import Settings
from tests.cli.orders import Order, Shipment
from tests.cli.shop import CLI, MACHINES, NOWHERE, PING, Shop
from tests.support.paths import ROOT


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
    for wrong in ("a=2,b", "a=0,b=1"):
        assert "either each queue has a share of at least 1" in shop.misused("worker", "--queues", wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--queues", "fast=3:50"), "how many at once comes before the share, as in fast:50=3"),
        (("--queues", "fast:0"), "at least 1 job of a queue runs at once"),
        (("--queues", "fast/high:5,fast"), "the priorities of a queue share its room, so give 'fast' the number"),
        (("--queues", "a:9000,b:2000"), "that is 11000 jobs at once in each process, and 10000 are the most"),
        (
            ("--queues", "a:30", "--concurrency", "20", "--threads", "9"),
            "a:30 is more than there is room for beside each other: --concurrency 20 and --threads 9",
        ),
    ],
)
def test_numbers_of_queues_that_cannot_be_meant_are_refused(options: tuple[str, ...], words: str) -> None:
    told = CliRunner().invoke(worker, options)
    assert told.exit_code == 2
    assert words in " ".join(told.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("text", "said", "threads", "beside", "limits"),
    [
        ("fast:50,slow:2", 0, 0, 52, {"fast": 50, "slow": 2}),
        ("fast:50=3,slow:2=1", 0, 0, 52, {"fast": 50, "slow": 2}),
        ("fast:50,slow", 0, 0, 51, {"fast": 50, "slow": 1}),
        ("fast:50,slow", 0, 8, 51, {"fast": 50, "slow": 9}),
        ("fast,slow:2", 20, 0, 20, {"slow": 2}),
        ("fast,slow", 20, 0, 20, {}),
        ("a:b:2,c=d", 0, 0, 3, {"a:b": 2, "c=d": 1}),
        (None, 20, 0, 20, {}),
    ],
)
def test_how_many_jobs_run_at_once_is_what_the_queues_say_where_nothing_else_does(
    text: str | None, said: int, threads: int, beside: int, limits: dict[str, int]
) -> None:
    queues = read_queues(text, said, threads)
    assert (queues.concurrency, queues.limits) == (beside, limits)


def test_a_worker_says_what_it_works_with_and_ends_well_on_ctrl_c(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text(f"{MACHINES}\n{PING}")
    command = [sys.executable, *CLI, "worker", "--processes", "1", "--queues", "defualt,default"]
    environment = {**shop.environment, "FSMFLOW_RELEASE": "2030-01"}
    with subprocess.Popen(
        command, cwd=shop.folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as worker:
        assert worker.stderr is not None
        first = "".join(takewhile(lambda line: "worker.started" not in line, worker.stderr))
        worker.send_signal(signal.SIGINT)
        rest = worker.stderr.read()
    assert worker.returncode == 0, first + rest
    assert "Traceback" not in rest
    assert f"supervisor.starting: fsmflow {fsmflow.__version__}, 1 worker process\n" in first
    facts = dict(line.split(maxsplit=1) for line in first.splitlines() if line.startswith("    "))
    assert facts == {
        "database": f"sqlite:///{shop.folder}/home/fsmflow.db (embedded)",
        "Redis": "the embedded server",
        "machines": "order, refund, ping (machines)",
        "queues": "defualt, default",
        "release": "2030-01",
    }
    assert "queue.unknown: no machine has a queue 'defualt'; did you mean 'default'?" in first


@pytest.mark.parametrize("server", sorted(NOWHERE))
def test_a_place_is_shown_without_its_password(server: str) -> None:
    chosen = Settings(database_url=NOWHERE["postgres"], redis_url=NOWHERE["redis"])
    if server == "mysql":
        chosen = Settings(database_url=f"{NOWHERE['mysql']}?password=sesame")
    told = f"{database_of(chosen)} {redis_of(chosen)}"
    assert "sesame" not in told
    assert "ada" in told


def test_machines_are_told_by_their_modules() -> None:
    assert machines_of(filter(None, map(definition_of, (Order, Shipment)))) == "order, shipment (tests.cli.orders)"


def test_json_is_one_object_a_line_with_the_fields_of_the_attempt(shop: Shop) -> None:
    shop.ok("start", "order", "1", "amount:=5", "error=card")
    shop.ok("trigger", "order:1", "submit")
    done = shop.run("worker", "--burst", "--processes", "1", "--log", "json")
    lines = [json.loads(line) for line in done.err.splitlines()]
    found = {line["event"]: line for line in lines}
    assert list(found) == ["supervisor.starting", "worker.started", "step.failed", "supervisor.stopping"]
    failed = found["step.failed"]
    fields = {"address": "order:1", "machine": "order", "state": "charging", "attempt": 1, "epoch": 2}
    assert {"level": "ERROR", **fields}.items() <= failed.items()
    assert "in charge\n" in failed["exception"]
    assert failed["message"].endswith("was declined; to retry it: fsmflow retry order:1")


def test_a_worker_starts_anew_when_the_code_of_the_machines_changes(shop: Shop) -> None:
    command = [sys.executable, *CLI, "worker", "--reload", "--processes", "1"]
    with subprocess.Popen(
        command, cwd=shop.folder, env=shop.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as worker:
        assert worker.stderr is not None

        def line(words: str) -> str:
            assert worker.stderr is not None
            return next(line for line in worker.stderr if words in line)

        line("worker.started")
        (shop.folder / "machines.py").write_text("class Order(:\n")
        assert line("reload.changed").endswith("machines.py has changed; the worker starts anew\n")
        assert "machines.py:1)" in line("Error:")
        line("reload.waiting")
        (shop.folder / "machines.py").write_text(PING)
        assert line("machines  ").split() == ["machines", "ping", "(machines)"]
        line("worker.started")
        worker.send_signal(signal.SIGINT)
        rest = worker.stderr.read()
    assert worker.returncode == 0, rest
    assert "Traceback" not in rest


def test_without_the_package_that_watches_reload_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'fsmflow\[reload\]', or leave --reload out"):
        Reload(Settings())


def test_the_folders_that_are_watched_are_the_current_one_and_those_of_machines_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert folders_of(Settings(machines=("tests.cli.orders",))) == [tmp_path, ROOT / "tests" / "cli"]
    monkeypatch.chdir(ROOT)
    assert folders_of(Settings(machines=("tests.cli.orders",))) == [ROOT]


def test_reconcile_says_that_jobs_of_a_server_that_is_away_were_left(shop: Shop, redis_url: str) -> None:
    shop.variables = {"FSMFLOW_REDIS_URL": redis_url, "FSMFLOW_REDIS_URL_DEFAULT": NOWHERE["redis"]}
    shop.ok("start", "order", "1")
    told = shop.refused("reconcile")
    assert "Redis does not answer: " in told
    assert "Timers were looked after, jobs that wait there were not" in told
    assert "sesame" not in told
