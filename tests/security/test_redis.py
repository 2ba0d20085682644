"""The ACL of the documentation suffices, for each of its users, and allows no more than it says."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import fsmflow
from fsmflow.engine.runtime import current
from tests.support.paths import ROOT
from tests.support.process_flows import Chain
from tests.support.processes import World, installation
from tests.support.servers import Valkey

ACL = ROOT / "docs" / "reference" / "redis.acl"
WORKER, APP, RQ = "fsmflow_worker:change-me-1", "fsmflow_app:change-me-2", "fsmflow_rq:change-me-3"
PASSWORDS = ("change-me-1", "change-me-2", "change-me-3")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Valkey]:
    """A server with the ACL of the documentation, and an administrator for the test."""
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir="/tmp") as folder:
        acl = Path(folder) / "users.acl"
        acl.write_text(f"{ACL.read_text()}user admin on >admin ~* &* +@all\n")
        server = Valkey(Path(folder), "--aclfile", str(acl), login="admin:admin")
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def admin(guarded: Valkey) -> Iterator[redis.Redis]:
    with contextlib.closing(guarded.client()) as client:
        client.flushall()
        client.acl_log_reset()
        yield client


@pytest.fixture
def town(guarded: Valkey, admin: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An installation whose program is ``fsmflow_app``, and whose workers are ``fsmflow_worker``."""
    url = f"sqlite:///{tmp_path}/fsmflow.db"
    with installation(tmp_path, monkeypatch, database_url=url, redis_url=guarded.url_of(APP)) as made:
        made.environment["FSMFLOW_REDIS_URL"] = guarded.url_of(WORKER)
        yield made


def denied(admin: redis.Redis) -> list[tuple[Any, ...]]:
    """What the server has refused: to whom, and what."""
    entries: Any = admin.acl_log()
    return [(entry["username"], entry["reason"], entry["object"]) for entry in entries]


def argv(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def typed(town: World, *arguments: str) -> str:
    command = [sys.executable, "-m", "fsmflow.cli", *arguments]
    done = subprocess.run(command, env=town.environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def values_in(admin: redis.Redis) -> list[bytes]:
    """All that the hashes of jobs hold."""
    found: list[bytes] = []
    for key in admin.scan_iter("rq:job:*"):
        fields: Any = admin.hgetall(key)
        found += [zlib.decompress(fields.pop(b"data")), *fields.values()]
    assert len(found) > 5
    return found


def check_no_password(*texts: str) -> None:
    assert [text for text in texts if any(password in text for password in PASSWORDS)] == []


def test_program_and_worker_do_all_they_do_with_the_users_of_the_documentation(town: World, admin: redis.Redis) -> None:
    chain = Chain.start("1", text="of the data")
    chain.trigger("go", text="of the payload")
    assert not any(b"of the" in value for value in values_in(admin))
    admin.flushall()
    supervisor = town.supervisor(processes=1)
    chain.wait("ended", timeout=30)
    waits = Chain.start("waits", gate="gate")
    waits.trigger("go")
    town.effect("waits", "two")
    assert "running" in str(waits.explain())
    processes = [supervisor.process.pid, *supervisor.workers()]
    told = typed(town, "check"), typed(town, "init")
    check_no_password(*map(argv, processes), *told, repr(current()), repr(fsmflow.settings.current()))
    town.open("gate")
    waits.wait("ended", timeout=30)
    supervisor.terminate()
    assert supervisor.ended() == 0
    check_no_password(supervisor.log)
    assert denied(admin) == []


def test_a_stock_rq_worker_runs_the_steps_as_its_own_user(town: World, guarded: Valkey, admin: redis.Redis) -> None:
    chain = Chain.start("1")
    chain.trigger("go")
    town.environment["RQ_REDIS_URL"] = town.environment["FSMFLOW_REDIS_URL"] = guarded.url_of(RQ)
    command = [sys.executable, "-m", "rq.cli", "worker", current().doorbell.rq_queue("default"), "--serializer", "json"]
    stock = subprocess.Popen(command, env=town.environment, cwd=ROOT)
    try:
        chain.wait("ended", timeout=30)
        check_no_password(argv(stock.pid))
    finally:
        stock.send_signal(signal.SIGTERM)
        stock.wait(timeout=30)
    assert {what for _, _, what in denied(admin)} <= {"client|list"}


COMMON = [
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "dir", "/tmp"),
    ("KEYS", "*"),
    ("SHUTDOWN",),
    ("ACL", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("MODULE", "LIST"),
    ("REPLICAOF", "NO", "ONE"),
    ("SAVE",),
    ("MONITOR",),
    ("SCRIPT", "FLUSH"),
    ("FUNCTION", "FLUSH"),
    ("GET", "session:1"),
    ("SET", "session:1", "x"),
    ("PUBLISH", "session", "x"),
]
OF_FSMFLOW = [
    *COMMON,
    ("EVAL", "return redis.call('FLUSHALL')", "0"),
    ("PUBLISH", "rq:pubsub:any", "x"),
    ("SUBSCRIBE", "rq:pubsub:any"),
    ("SCAN", "0"),
    ("INFO",),
]
OF_THE_APP = [
    *OF_FSMFLOW,
    ("EVALSHA", "0" * 40, "0"),
    ("SCRIPT", "LOAD", "return 1"),
    ("LPOP", "rq:queue:fsmflow:0123abcd:default"),
    ("DEL", "rq:queue:fsmflow:0123abcd:default"),
    ("RPUSH", "rq:queue:default", "x"),
    ("HGET", "rq:worker:x", "queues"),
]


@pytest.mark.parametrize(("login", "commands"), [(WORKER, OF_FSMFLOW), (APP, OF_THE_APP), (RQ, COMMON)])
def test_what_a_user_has_no_need_of_is_refused(
    login: str, commands: list[tuple[str, ...]], guarded: Valkey, admin: redis.Redis
) -> None:
    allowed = []
    with contextlib.closing(redis.Redis.from_url(guarded.url_of(login))) as client:
        for command in commands:
            try:
                allowed.append((command, client.execute_command(*command)))
            except redis.exceptions.ResponseError as error:
                allowed += [] if "permission" in str(error) else [(command, str(error))]
    assert allowed == []
    assert len(denied(admin)) > 0


@pytest.mark.parametrize("login", [WORKER, RQ])
def test_a_script_may_do_no_more_than_its_user(login: str, guarded: Valkey, admin: redis.Redis) -> None:
    with contextlib.closing(redis.Redis.from_url(guarded.url_of(login))) as client:
        for text in ("return redis.call('FLUSHALL')", "return redis.call('GET', 'session:1')"):
            loaded: Any = client.execute_command("SCRIPT", "LOAD", text)
            with pytest.raises(redis.exceptions.ResponseError, match="(?i)permission"):
                client.execute_command("EVALSHA", loaded, 0)


def test_the_acl_follows_the_prefix(guarded: Valkey, admin: redis.Redis) -> None:
    followed = re.sub("([~&])rq:", r"\1{rq}:", ACL.read_text())
    of_the_app = next(line for line in followed.splitlines() if line.startswith("user fsmflow_app"))
    _, _, *rules = of_the_app.split()
    admin.execute_command("ACL", "SETUSER", "of_a_cluster", *rules)
    with contextlib.closing(redis.Redis.from_url(guarded.url_of("of_a_cluster:change-me-2"))) as client:
        client.rpush("{rq}:queue:fsmflow:0123abcd:default", "x")
        assert client.hdel("{rq}:fsmflow:nothing", "nothing") == 0
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.rpush("rq:queue:fsmflow:0123abcd:default", "x")


def test_nobody_gets_in_without_a_name_or_with_a_wrong_password(guarded: Valkey, town: World) -> None:
    nobody = redis.Redis.from_url(guarded.url_of(""))
    with contextlib.closing(nobody), pytest.raises(redis.exceptions.AuthenticationError):
        nobody.ping()
    town.environment["FSMFLOW_REDIS_URL"] = guarded.url_of("fsmflow_worker:sesame")
    told = typed(town, "init")
    assert "Redis does not answer (unix://fsmflow_worker:***@" in told
    assert "sesame" not in told


def test_a_trigger_succeeds_where_redis_refuses_its_user(
    town: World, guarded: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    fsmflow.configure(
        database_url=town.environment["FSMFLOW_DATABASE_URL"],
        redis_url=guarded.url_of("fsmflow_app:sesame"),
        machines=["tests.support.process_flows"],
    )
    chain = Chain.start("1")
    chain.trigger("go")
    assert chain.refresh().state == "one"
    assert "dispatch.failed" in caplog.text
    assert "sesame" not in caplog.text
