"""The permissions of an installation, as they are written, read, and handed to worker processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsmflow import ConfigurationError, settings
from fsmflow.settings import Settings
from fsmflow.settings.permissions import Permissions, Person, is_meant, read_file, read_permissions

FILE = """
[people]
ann = ["lead"]
bea = { roles = ["agent"], teams = "acme" }

[roles]
lead = ["order.*", "refund.*.retry"]
admin = "*"
"""


def permit(actor: object, permission: str, entity: object) -> None:
    """Leaves everything to the rest."""


def test_a_file_says_which_roles_people_have_and_what_these_open(tmp_path: Path) -> None:
    (tmp_path / "permissions.toml").write_text(FILE)
    found = read_file(str(tmp_path / "permissions.toml"))
    assert found.people["ann"] == Person(roles=frozenset({"lead"}))
    assert found.people["bea"] == Person(roles=frozenset({"agent"}), teams=frozenset({"acme"}))
    assert found.roles == {"lead": ("order.*", "refund.*.retry"), "admin": ("*",)}
    assert found.source == str(tmp_path / "permissions.toml")
    assert found.closes


@pytest.mark.parametrize(
    ("pattern", "name", "meant"),
    [
        ("*", "order.charging.retry", True),
        ("order.*", "order.approve", True),
        ("order.*", "order.charging.retry", False),
        ("order.*.retry", "order.charging.retry", True),
        ("*.retry", "refund.retry", True),
        ("order.ch*.retry", "order.charging.retry", True),
        ("order.retry", "orders.retry", False),
        ("order.approve", "order.approve", True),
        ("ORDER.approve", "order.approve", False),
    ],
)
def test_a_pattern_means_a_name_part_by_part(pattern: str, name: str, meant: bool) -> None:
    assert is_meant(pattern, name) is meant


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "configure(permissions=...) is []; it is a mapping with people, roles, permit"),
        ({"role": {}}, "'role' means nothing there; did you mean 'roles'?"),
        ({"roles": ["lead"]}, "roles is ['lead']; it is a table of names"),
        ({"roles": {"lead": 3}}, "roles.lead is 3; it is a name or a list of names"),
        ({"people": {"ann": [1]}}, "people.ann is [1]; it is a name or a list of names"),
        ({"people": {"ann": {"rolls": []}}}, "people.ann: 'rolls' means nothing there; a person has roles and teams"),
        ({"people": {"ann": {"teams": [7]}}}, "people.ann.teams is [7]; it is a name or a list of names"),
        ({"people": {"ann": {"roles": 1}}}, "people.ann.roles is 1; it is a name or a list of names"),
        ({"permit": 3}, "permit is 3; it is a function, or 'module:function'"),
    ],
)
def test_what_cannot_be_is_told_with_its_key(given: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_permissions(given)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["[roles", "\xff"])
def test_a_file_that_cannot_be_read_is_told_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.toml").write_bytes(text.encode("latin-1"))
    for path in (tmp_path / "odd.toml", tmp_path / "none.toml"):
        with pytest.raises(ConfigurationError, match=r"(odd|none).toml cannot be read as permissions"):
            read_file(str(path))


def test_the_environment_names_the_file_and_configure_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "permissions.toml").write_text(FILE)
    monkeypatch.setenv("FSMFLOW_PERMISSIONS", str(tmp_path / "permissions.toml"))
    before = settings.chosen()
    try:
        assert "ann" in (settings.from_environment().permissions or Permissions()).people
        settings.configure(permissions={"people": {"eve": ["lead"]}})
        assert list((settings.current().permissions or Permissions()).people) == ["eve"]
    finally:
        settings.choose(before)


def test_worker_processes_get_them_too() -> None:
    people = {"bea": "agent", "cat": {"teams": ["acme", "globex"]}}
    given = read_permissions({"people": people, "roles": {"lead": ["*"]}, "permit": permit})
    before = settings.chosen()
    try:
        settings.take_over(json.loads(json.dumps(settings.handed_over(Settings(permissions=given)))))
        found = settings.current().permissions
    finally:
        settings.choose(before)
    assert found is not None
    assert (found.people, found.roles) == (given.people, given.roles)
    assert found.asked() is permit


def test_a_function_that_no_other_process_could_import_is_refused() -> None:
    given = read_permissions({"permit": lambda actor, permission, entity: None})
    with pytest.raises(ConfigurationError, match="which worker processes cannot import"):
        given.as_plain()


@pytest.mark.parametrize("place", ["no_such_module:permit", "json:no_such_name", "json:__name__"])
def test_a_place_without_a_function_is_told_once_it_is_asked(place: str) -> None:
    with pytest.raises(ConfigurationError, match=r"permit = '.*'"):
        read_permissions({"permit": place}).asked()
