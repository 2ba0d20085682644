"""The fifteen usual mistakes: what the person who made one reads, and that it says what to type next."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rq import Queue

import fsmflow
from fsmflow import Machine, State, settings
from fsmflow.dispatch import listeners
from fsmflow.dispatch.listeners import Listener
from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.engine import runtime as runtime_of
from fsmflow.engine.reasons import told_of
from fsmflow.running.executor import Executor
from fsmflow.running.presence import listener_of
from fsmflow.testing import Sandbox
from tests.cli.orders import Order as Boxed
from tests.cli.shop import CLI, MACHINES, NOWHERE, Shop
from tests.support.bench import Bench, bench_on
from tests.support.machines import Order, play
from tests.support.servers import Valkey, on_servers, on_sqlite, short_folder
from tests.support.terminal import Terminal


@pytest.fixture
def typed(bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The command line in this process, on the database and the Redis of the bench."""
    return Terminal(capsys, monkeypatch)


def submitted() -> Order:
    order = Order.start("1")
    order.submit()
    return order


def written(shop: Shop, machines: str, **modules: str) -> Shop:
    for name, text in {"machines": machines, **modules}.items():
        (shop.folder / f"{name}.py").write_text(text)
    return shop


def test_1_a_misspelt_state_is_told_with_the_likely_one(shop: Shop) -> None:
    assert "no machine has a state 'chargin'; did you mean 'charging'?" in shop.refused("list", "--state", "chargin")
    wrong = MACHINES.replace('"charging", "shipped"]', '"charging", "shiped"]')
    done = written(shop, wrong).run("check")
    assert done.status == 1
    assert "machine 'order' has 1 fault:" in done.err
    assert "'shiped'" in done.err
    assert "did you mean 'shipped'?" in done.err
    assert done.err.endswith(
        f"\n(at {shop.folder}/machines.py:{MACHINES.splitlines().index('class Order(Machine):') + 1})\n"
    )


def test_2_a_job_that_raises_is_told_with_its_error_its_place_and_the_retry(busy: Shop) -> None:
    told = busy.ok("explain", "order:3")
    line = next(number for number, line in enumerate(MACHINES.splitlines(), 1) if "was declined" in line)
    why, place = "ValueError: card of order 3 was declined", rf"([^ ]*/)?machines.py:{line}"
    assert re.search(rf"blocked by:  {why} \({place}, attempt 1 of 'charging'\)", told)
    assert re.search(rf"{why} \({place}\)\n", busy.ok("show", "order:3"))
    assert "waiting for: somebody to retry it, once the cause is mended" in told
    assert "allowed now: retry, cancel" in told
    assert 'machines.py", line' in busy.ok("show", "order:3", "--traceback")


@on_sqlite
def test_3_without_a_worker_the_command_that_starts_one_is_named(typed: Terminal, bench: Bench) -> None:
    order = submitted()
    none = "no worker listens on queue 'default'; start one with 'fsmflow worker'"
    assert f"blocked by:  {none}" in typed.ok("explain", "order:1")
    assert f"blocked   {none}" in typed.ok("show", "order:1")
    with pytest.raises(TimeoutError, match=none):
        order.wait(timeout=0)


def test_4_without_init_the_command_is_named(shop: Shop) -> None:
    shop.variables["FSMFLOW_DATABASE_URL"] = f"sqlite:///{shop.folder}/shop.db"
    for command in ("list", "worker"):
        told = shop.refused(command)
        assert told == "Error: the database has no tables of fsmflow yet; run 'fsmflow init' once\n"


def test_5_a_misspelt_variable_is_told_with_the_likely_one(shop: Shop) -> None:
    shop.variables["FSMFLOW_DATABSE_URL"] = f"sqlite:///{shop.folder}/shop.db"
    likely = "FSMFLOW_DATABSE_URL is not read; did you mean FSMFLOW_DATABASE_URL?"
    for command in ("list", "info"):
        done = shop.run(command)
        assert (done.out + done.err).count(likely) == 1, done


def test_5_a_variable_that_is_like_none_is_told_with_those_that_are_read(shop: Shop) -> None:
    shop.variables["FSMFLOW_URL"] = f"sqlite:///{shop.folder}/shop.db"
    done = shop.run("info")
    assert "\nFSMFLOW_URL is not read; fsmflow reads FSMFLOW_DATABASE_URL, FSMFLOW_REDIS_URL, " in done.out
    assert "FSMFLOW_URL" not in done.err


def test_6_a_module_that_cannot_be_imported_is_told_with_file_and_line(shop: Shop) -> None:
    path = shop.folder / "machines.py"
    told = written(shop, "import fsmflow\nimport stripee\n").refused("check")
    assert told == (
        "Error: the module 'machines', searched for machines, cannot be imported: "
        f"ModuleNotFoundError: No module named 'stripee' (at {path}:2)\n"
    )
    assert f"SyntaxError: invalid syntax (at {path}:1)" in written(shop, "class Order(:\n").refused("worker")
    shop.variables["FSMFLOW_MACHINES"] = "shp.machines"
    told = shop.refused("list", "--machine", "order")
    assert f"there is no module 'shp', neither in {shop.folder} nor where else Python looks; FSMFLOW_MACHINES" in told


def test_7_a_circle_of_imports_is_told_as_one(shop: Shop) -> None:
    jobs = "from machines import Order\n\ndef charge(order):\n    pass\n"
    told = written(shop, "from jobs import charge\n", jobs=jobs).refused("check")
    circle = "the modules import each other: machines -> jobs -> machines, so one of them is not complete yet"
    assert f"ImportError: {circle}; move one of these imports into the function that uses it" in told
    assert f"(at {shop.folder}/jobs.py:1)" in told


def test_6_no_machines_at_all_are_told_by_each_command_that_looks_for_some(shop: Shop) -> None:
    written(shop, "")
    for command in (("check",), ("worker",), ("schedule", "list")):
        assert "no machines were found in machines; set FSMFLOW_MACHINES" in shop.refused(*command)


@pytest.mark.parametrize("imports", ["from machines import gateway\n", "import machines\n\nmachines.gateway\n"])
def test_7_a_module_that_imports_itself_is_told_so(shop: Shop, imports: str) -> None:
    told = written(shop, imports).refused("check")
    assert "the module imports 'gateway' from itself, as it is called 'machines'; where another module of this" in told
    assert f"(at {shop.folder}/machines.py:{len(imports.splitlines())})" in told


def test_7_a_file_that_was_copied_out_of_its_folder_is_told_so(shop: Shop) -> None:
    told = written(shop, "from . import gateway\n").refused("check")
    assert "it takes 'from .' for the folder that it was copied from; copy that folder as a whole (at" in told


def test_8_a_job_that_may_run_twice_is_told_to_run_again_under_the_same_key(shell: Terminal, box: Sandbox) -> None:
    box.crash("charge", after_job=True)
    Boxed.start("1", lines=[]).go()
    box.run()
    told = shell.ok("history", "order:1")
    assert "(run 1 of 4 that was lost; it runs again under the same idempotency key, and may do twice what it" in told


def test_9_a_renamed_state_with_live_entities_is_told_with_what_to_write(shop: Shop) -> None:
    shop.ok("start", "order", "1")
    written(shop, MACHINES.replace('"pending"', '"received"'))
    told = shop.ok("explain", "order:1")
    assert "the definition has no state 'pending'; deploy one that has, say in renamed_states what it is called" in told
    done = shop.run("check", "--database")
    assert done.status == 1
    assert "'pending'" in done.out + done.err
    assert "renamed_states" in done.out + done.err


def test_10_a_worker_that_was_killed_is_told_of_with_what_becomes_of_its_step(shell: Terminal, box: Sandbox) -> None:
    box.crash("charge", times=4)
    Boxed.start("1", lines=[]).go()
    box.run()
    told = shell.ok("explain", "order:1")
    assert "blocked by:  WorkerLost: its worker was killed by crash() of the sandbox (run 4 of 4 that was lost)" in told
    assert "allowed now: retry, cancel" in told


def test_11_a_worker_whose_database_was_deleted_says_so_and_ends(shop: Shop) -> None:
    command = [sys.executable, *CLI, "worker", "--processes", "1"]
    with subprocess.Popen(
        command, cwd=shop.folder, env=shop.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as worker:
        assert worker.stderr is not None
        next(line for line in worker.stderr if "worker.started" in line)
        shutil.rmtree(shop.folder / "home", ignore_errors=True)  # the server may write to it until it ends
        rest = worker.stderr.read()
        assert worker.wait(timeout=10) == 1, rest
    told = [line for line in rest.splitlines() if "database.gone" in line]
    assert len(told) == 1, rest
    assert f"{shop.folder}/home/fsmflow.db was deleted or replaced" in told[0]


@on_sqlite
def test_12_a_job_of_an_rq_application_in_our_queue_is_left_to_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = bench.runtime
    theirs = Queue(runtime.doorbell.rq_queue("default"), connection=bench.redis).enqueue("shop.send_mail", 1)
    worker = StepWorker(
        ["default"],
        runtime.doorbell,
        Executor(runtime).execute,
        lambda: False,
        name="boss.1.1",
        listener=listener_of(runtime, "boss.1", ("default",)),
    )
    worker.work_once(block=False)
    (told,) = [record.getMessage() for record in caplog.records if "job.refused" in record.getMessage()]
    assert f"{theirs.id} in Redis is not fsmflow's" in told
    assert "nothing of it was run, and it is among RQ's failed jobs; this queue is fsmflow's own" in told
    assert theirs.is_failed


@pytest.mark.parametrize(
    ("login", "told"),
    [
        ("default:seasame", "it refuses the name or the password of its URL, which FSMFLOW_REDIS_URL or configure("),
        ("", "it asks for a password, and its URL has none: redis://:password@host:6379/0 in FSMFLOW_REDIS_URL"),
    ],
)
def test_13_a_wrong_password_is_told_without_it(shop: Shop, login: str, told: str) -> None:
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder()) as folder:
        server = Valkey(Path(folder), "--requirepass", "sesame", login="default:sesame")
        server.start()
        try:
            shop.variables["FSMFLOW_REDIS_URL"] = server.url_of(login)
            refused = shop.refused("worker", "--burst")
        finally:
            server.stop()
    assert "Error: Redis does not answer: " in refused
    assert told in refused
    assert "seasame" not in refused


@on_servers
def test_13_a_wrong_password_of_the_database_is_told_without_it(shop: Shop, database_url: str) -> None:
    parts = urlsplit(database_url)
    shop.variables["FSMFLOW_DATABASE_URL"] = database_url.replace(f":{parts.password}@", ":seasame@")
    refused = shop.refused("list")
    assert "; name and password are those of FSMFLOW_DATABASE_URL, or of configure(database_url=...)" in refused
    assert "seasame" not in refused


def test_14_with_redis_down_a_trigger_counts_and_the_job_is_told_to_follow(shop: Shop) -> None:
    shop.variables["FSMFLOW_REDIS_URL"] = NOWHERE["redis"]
    shop.ok("start", "order", "1", "amount:=5")
    done = shop.run("trigger", "order:1", "submit")
    assert done.out == "order:1  pending -> charging\n"
    assert done.err.count("\n") == done.err.count("dispatch.failed: ") == 1, "who listens is not asked for then"
    told = shop.ok("explain", "order:1")
    assert "blocked by:  Redis, which does not answer (" in told
    assert "; the job follows when it is back" in told


@pytest.fixture
def old(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """A worker process that has loaded other code than there is here."""
    with outdated(bench, monkeypatch) as listener:
        yield listener


@contextmanager
def outdated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    with bench.runtime.doorbell.client() as client:
        old = listener_of(bench.runtime, "boss.1", ("default",))
        listeners.present(client, bench.runtime.doorbell.installation, old)
    bench.runtime.doorbell.announce(["default"])
    bench.runtime.doorbell.appear("boss")
    chosen = settings.current()
    monkeypatch.setenv("FSMFLOW_RELEASE", "2030-02")
    fsmflow.configure(database_url=chosen.database_url, redis_url=chosen.redis_url, machines=chosen.machines)
    with closing(runtime_of.current().doorbell.client()):
        yield old


@on_sqlite
def test_15_an_old_worker_after_a_deployment_is_named(typed: Terminal, old: Listener) -> None:
    submitted()
    told = typed.ok("explain", "order:1")
    other = "the worker that listens has loaded other code than there is here (release 2030-02): process "
    assert f"workers:     {other}" in told
    assert f"(release {old.release}, since " in told
    assert told.count("; if that is older, restart 'fsmflow worker'") == 1
    assert other in typed.ok("check")


@on_sqlite
def test_15_whoever_has_mended_a_machine_is_told_that_the_worker_has_not_loaded_it(
    typed: Terminal, bench: Bench, old: Listener
) -> None:
    note = "note: the worker that listens has loaded other code than there is here (release 2030-02): process "
    assert typed.run("start", "order", "1").err == "", "nothing waits for a worker"
    done = typed.run("trigger", "order:1", "submit")
    assert done.out == "order:1  pending -> charging\n"
    assert done.err.startswith(note)
    assert done.err.endswith("; if that is older, restart 'fsmflow worker'\n")
    play["charging"] = failing
    Executor(runtime_of.current()).execute(bench.take())
    runtime_of.current().forget_redis()  # as in a new process
    dry = typed.run("retry", "order:1", "--dry-run")
    assert "note: " not in dry.err, "nothing was set going"
    retried = typed.run("retry", "order:1", "--json")
    assert json.loads(retried.out)[0]["state"] == "charging"
    assert retried.err.startswith(note)
    Executor(runtime_of.current()).execute(bench.take())
    assert note in typed.run("resume", "--machine", "order", "--phase", "failed").err


class Digest(Machine):
    """Runs a job as soon as it is started."""

    schedule = "0 12 * * *"
    initial = "writing"
    states = [State("writing", job=print), State("sent", final=True)]
    transitions = [["done", "writing", "sent"]]


@on_sqlite
def test_15_so_is_whoever_starts_what_begins_with_a_job_in_whichever_way(
    typed: Terminal, database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digests.jsonl").write_text('{"id": "2"}\n{"id": "3"}\n')
    many = ("start", "digest", "--from", str(tmp_path / "digests.jsonl"))
    note = "note: the worker that listens has loaded other code than there is here (release 2030-02): process "
    with (
        bench_on(redis_url, machines=(Digest,), database_url=database_url) as bench,
        outdated(bench, monkeypatch),
    ):
        assert typed.run(*many, "--dry-run").err == "", "nothing was set going"
        for command in (
            ("start", "digest", "1"),
            many,
            ("schedule", "run", "digest"),
            ("schedule", "backfill", "digest", "--from", "2025-01-01", "--to", "2025-01-02"),
        ):
            runtime_of.current().forget_redis()  # as in a new process
            done = typed.run(*command)
            assert (done.status, done.err.count(note)) == (0, 1), done


@on_sqlite
def test_15_a_worker_that_starts_names_those_that_go_on_with_other_code(
    typed: Terminal, old: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    assert typed.run("worker", "--burst", "--processes", "1").status == 0
    (told,) = [record for record in caplog.records if "worker.others" in record.getMessage()]
    assert told.levelname == "WARNING"
    assert told.getMessage() == (
        f"worker.others: workers with other code listen on these queues, too: {told_of(old)}; they go on with it until "
        "they are stopped"
    )


def failing(machine: Order) -> None:
    raise LookupError("no such card")
