"""Commands that only look: they make nothing, and say where they looked."""

from __future__ import annotations

import pytest

from fsmflow import settings
from tests.cli.shop import RETRY, Shop


def test_who_only_looks_makes_no_folder_and_is_told_where_nothing_is(shop: Shop) -> None:
    home = shop.folder / "home"
    listed = shop.run("list")
    assert (listed.status, listed.out) == (0, "")
    assert listed.err == f"no entity matches in sqlite:///{home}/fsmflow.db, which is not there yet\n"
    counted = shop.run("stats")
    assert "queue default: no worker listens" in counted.out
    assert counted.err == f"there is no database in {home} yet: the first 'fsmflow start' makes it\n"
    assert "no worker listens on queue 'default' now" in shop.ok("check")
    assert "order:7 does not exist" in shop.refused("explain", "order:7")
    assert not home.exists()


def test_what_is_refused_for_want_of_a_machine_or_an_entity_makes_no_folder(shop: Shop) -> None:
    home = shop.folder / "home"
    for command in (("start", "orders", "1"), ("start", "orders:1"), ("schedule", "run", "orders")):
        assert "there is no machine 'orders'; did you mean 'order'?" in shop.refused(*command)
    assert "no machine 'orders'" in shop.run("start", "orders", "--from", "-", text='{"id": "1"}').err
    for command in (("retry", "order:1"), ("trigger", "order:1", "submit"), ("force", "order:1", "review")):
        assert "order:1 does not exist" in shop.run(*command).err
    assert shop.run("order:1", program=RETRY).status == 1
    assert not home.exists()
    shop.ok("start", "order", "1")
    assert "Allowed now: rate, cancel" in shop.refused("retry", "order:1")


def test_a_look_starts_no_server(shop: Shop) -> None:
    shop.ok("init")
    (shop.folder / "home" / "valkey.sock").unlink(missing_ok=True)
    assert shop.json("stats")["queues"][0]["listening"] is False
    assert not (shop.folder / "home" / "valkey.sock").exists()


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("FSMFLOW_REDIS", "FSMFLOW_REDIS_URL"),
        ("FSMFLOW_DB_URL", "FSMFLOW_DATABASE_URL"),
        ("FSMFLOW_MACHINE", "FSMFLOW_MACHINES"),
        ("FSMFLOW_MAX_MEM", "FSMFLOW_MAX_MEMORY"),
        ("FSMFLOW_home", "FSMFLOW_HOME"),
        ("FSMFLOW_URL", None),
        ("FSMFLOW_QUEUE", None),
    ],
)
def test_a_variable_that_is_not_read_is_told_with_the_one_that_is_near(
    wrong: str, meant: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(wrong, "x")
    assert settings.misspelt() == {wrong: meant}
    told = settings.unread(wrong, meant)
    assert told.startswith(f"{wrong} is not read; ")
    assert told.endswith(f"did you mean {meant}?" if meant else f"fsmflow reads {', '.join(settings.VARIABLES)}")


@pytest.mark.parametrize(
    "variable",
    [
        "FSMFLOW_HOME",
        "FSMFLOW_SKIP_VENV",
        "FSMFLOW_TEST_POSTGRES_URL",
        "_FSMFLOW_COMPLETE",
        "FSMFLOW_PORT",
        "FSMFLOW_PORT_6379_TCP_ADDR",
        "FSMFLOW_REDIS_SERVICE_HOST",
        "FSMFLOW_REDIS_SERVICE_PORT",
        "FSMFLOW_REDIS_PORT_6379_TCP",
    ],
)
def test_what_is_read_and_what_others_set_is_not_told(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "x")
    assert variable not in settings.misspelt()


def test_settings_that_were_configured_meanwhile_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_chosen", settings._Chosen())
    with settings.looking():
        settings.configure(redis_url="redis://host/0")
        assert settings.current().looks
    assert (settings.current().looks, settings.current().redis_url) == (False, "redis://host/0")
    before = settings.current()
    with settings.looking():
        assert settings.current().looks
    assert settings.current() is before
