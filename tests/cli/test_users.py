"""``users`` and ``tokens``: who is let in over HTTP, in the database or in a file; no secret is told but once."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fsmflow.cli import person
from fsmflow.decision.inputs import Actor
from fsmflow.decision.user import Token, TokenKind
from fsmflow.engine import sessions, tokens, users
from fsmflow.engine.runtime import current
from fsmflow.errors import ConfigurationError
from fsmflow.settings.users import read_users
from fsmflow.testing import Sandbox, sandbox
from fsmflow.values import replace
from fsmflow.web.passwords import is_right
from tests.cli.shop import CLI, Shop
from tests.support.terminal import Terminal

WORDS = "correct horse battery"
OTHERS = "staple correct horse"
MAP: dict[str, Any] = {
    "people": {"ann": ["clerk", "lead"], "bea": ["clerk"], "cat": {"roles": ["chief"], "teams": ["acme"]}},
    "roles": {"clerk": ["*.retry"], "lead": ["*.skip"], "chief": ["users", "tokens"]},
}
HOUR_MS = 3_600_000


@pytest.fixture
def guarded(box: Sandbox) -> Iterator[Sandbox]:
    with sandbox([], permissions=MAP) as inner:
        yield inner


@pytest.fixture
def sits(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda login: monkeypatch.setattr(person, "login", lambda: login)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What standard input holds."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def let_in(secret: str) -> tuple[Token, Actor]:
    found = tokens.let_in(current(), secret)
    assert not isinstance(found, str)
    return found


def test_a_user_is_added_listed_disabled_and_removed(
    shell: Terminal, typed: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fsmflow")
    assert "there is no user in the database" in shell.run("users", "list").err
    typed(f"{WORDS}\n")
    assert shell.ok("users", "add", "ann", "--role", "manager", "--team", "acme") == "ann may log in\n"
    (ann,) = shell.json("users", "list")
    assert {key: ann[key] for key in ("name", "roles", "teams", "disabled", "seen_at")} == {
        "name": "ann",
        "roles": ["manager"],
        "teams": ["acme"],
        "disabled": False,
        "seen_at": None,
    }
    assert "argon2" not in str(ann)
    stored = current().store.users.find("ann")
    assert stored is not None
    assert stored.password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert is_right(WORDS, stored.password)
    typed(WORDS)
    assert "there is a user 'ann' already" in shell.refused("users", "add", "ann")
    assert shell.ok("users", "disable", "ann") == "ann is let in no more\n"
    assert "disabled" in shell.ok("users", "list")
    assert users.actor_of(current(), "ann") is None
    shell.ok("users", "enable", "ann")
    shell.ok("users", "remove", "ann")
    assert "there is no user 'ann'" in shell.refused("users", "disable", "ann")
    told = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert told == ["user.changed"] * 4
    assert WORDS not in caplog.text + str([record.args for record in caplog.records])


def test_a_password_is_no_argument_and_none_that_is_easy_to_guess(shell: Terminal, typed: Any) -> None:
    assert "unexpected extra argument" in shell.misused("users", "add", "ann", WORDS)
    for text, why in (
        ("short", "the password has 5 characters; it takes 12 to 256"),
        ("x" * 300, "300 characters"),
        ("x" * 20, "too easy to guess"),
        ("Annabel-Annabel", "too easy to guess"),
    ):
        typed(text)
        told = shell.refused("users", "add", "annabel-annabel")
        assert why in told
        assert text not in told
    typed("")
    assert "standard input is empty" in shell.misused("users", "add", "ann")
    assert shell.json("users", "list") == []


def test_another_password_ends_the_sessions_of_before(shell: Terminal, typed: Any) -> None:
    typed(WORDS)
    shell.ok("users", "add", "ann")
    runtime = current()
    secret = sessions.begin(runtime, users.known(runtime, "ann"), HOUR_MS)
    assert str(sessions.look(runtime, secret, HOUR_MS).name) == "ann"  # type: ignore[union-attr]
    stale = users.known(runtime, "ann")
    typed(OTHERS)
    shell.ok("users", "password", "ann")
    assert sessions.look(runtime, secret, HOUR_MS) is None
    # One that is begun by a password that was changed while it was compared.
    assert sessions.look(runtime, sessions.begin(runtime, stale, HOUR_MS), HOUR_MS) is None
    assert is_right(OTHERS, users.known(runtime, "ann").password)
    assert "did you mean 'ann'" in shell.refused("users", "password", "anne")


def test_a_session_ends_when_it_is_idle_too_old_logged_out_or_one_of_too_many(box: Sandbox) -> None:
    runtime = current()
    sits = users.add(runtime, "ann", "$argon2", person.sitting())
    first = sessions.begin(runtime, sits, 3 * HOUR_MS)
    for _ in range(3):
        box.advance(timedelta(minutes=50))
        assert sessions.look(runtime, first, HOUR_MS)
    box.advance(timedelta(minutes=31))
    assert sessions.look(runtime, first, HOUR_MS) is None
    idle = sessions.begin(runtime, sits, 9 * HOUR_MS)
    box.advance(timedelta(hours=1))
    assert sessions.look(runtime, idle, HOUR_MS) is None
    out = sessions.begin(runtime, sits, HOUR_MS)
    sessions.end(runtime, out)
    assert sessions.look(runtime, out, HOUR_MS) is None
    begun = []
    for _ in range(sessions.MOST + 2):
        box.advance(timedelta(seconds=1))
        begun.append(sessions.begin(runtime, sits, HOUR_MS))
    there = [bool(sessions.look(runtime, one, HOUR_MS)) for one in begun]
    assert there == [False, False] + [True] * sessions.MOST
    users.end_sessions(runtime, "ann", person.sitting())
    assert not any(sessions.look(runtime, one, HOUR_MS) for one in begun)


def test_where_there_are_permissions_it_takes_one_and_roles_stand_there(
    guarded: Sandbox, shell: Terminal, sits: Any, typed: Any
) -> None:
    sits("bea")
    typed(WORDS)
    assert "'users' needs an actor with one of the roles chief; 'bea' has none" in shell.refused("users", "add", "ann")
    assert "'users' needs" in shell.refused("users", "list")
    sits("cat")
    typed(WORDS)
    assert "under [people] in configure(permissions=...)" in shell.refused("users", "add", "ann", "--role", "clerk")
    for name in ("ann", "bea"):
        typed(WORDS)
        shell.ok("users", "add", name)
    assert {one["name"]: one["roles"] for one in shell.json("users", "list")} == {
        "ann": ["clerk", "lead"],
        "bea": ["clerk"],
    }
    # One's own password takes no permission, that of somebody else does.
    sits("bea")
    typed(OTHERS)
    shell.ok("users", "password", "bea")
    for command in (("password", "ann"), ("disable", "bea"), ("remove", "bea"), ("logout", "ann")):
        typed(OTHERS)
        assert "'users' needs" in shell.refused("users", *command)


def test_a_token_is_shown_once_and_has_at_most_what_its_owner_has(
    guarded: Sandbox, shell: Terminal, sits: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sits("bea")
    assert "'bea' has the roles clerk, not 'lead'" in shell.refused("tokens", "make", "--role", "lead")
    assert "'tokens' needs" in shell.refused("tokens", "make", "--for", "ann")
    sits("ann")
    done = shell.run("tokens", "make", "--role", "lead", "--note", "nightly", "--read-only")
    secret = done.out.strip()
    assert secret.startswith("fsmflow_")
    assert len(secret) == len("fsmflow_") + 43
    (listed,) = shell.json("tokens", "list")
    assert (listed["owner"], listed["roles"], listed["read_only"], listed["note"]) == ("ann", ["lead"], True, "nightly")
    stored = current().store.tokens.of_kind(TokenKind.API)
    assert stored[0].digest == tokens.digest_of(secret)
    assert secret not in str(stored) + str(listed) + caplog.text
    token, actor = let_in(secret)
    assert (token.id, actor.name, actor.roles) == (listed["id"], "ann", frozenset({"lead"}))
    # What its owner loses, it loses.
    fewer = {**MAP, "people": {"ann": ["clerk"]}}
    runtime = current()
    with sandbox([], permissions=fewer) as inner:
        poorer = replace(runtime.settings, permissions=inner._runtime.settings.permissions)
    runtime.settings = poorer
    assert let_in(secret)[1].roles == set()
    sits("bea")
    assert shell.json("tokens", "list") == []
    assert "'tokens' needs" in shell.refused("tokens", "revoke", token.id)


def test_a_token_lets_in_until_it_ends_is_revoked_or_its_owner_is_disabled(
    box: Sandbox, shell: Terminal, typed: Any
) -> None:
    runtime = current()
    typed(WORDS)
    shell.ok("users", "add", "ann", "--role", "clerk")
    assert "is no user who may log in" in shell.refused("tokens", "make", "--for", "nobody")
    for lasts in ("800d", "0s"):
        assert "at most 730 days" in shell.refused("tokens", "make", "--for", "ann", "--lasts", lasts)
    short, long = (shell.json("tokens", "make", "--for", "ann", "--lasts", lasts) for lasts in ("1h", "30d"))
    shell.ok("users", "disable", "ann")
    assert tokens.let_in(runtime, long["secret"]) == f"token {long['id']}: 'ann' may not log in"
    shell.ok("users", "enable", "ann")
    box.advance(timedelta(hours=1))
    assert tokens.let_in(runtime, short["secret"]) == f"token {short['id']} of 'ann' has ended"
    assert not isinstance(tokens.let_in(runtime, long["secret"]), str)
    (used,) = shell.json("tokens", "list")
    assert used["used_at"] is not None
    shell.ok("tokens", "revoke", long["id"])
    assert tokens.let_in(runtime, long["secret"]) == f"token {long['id']} of 'ann' was revoked"
    assert [one["id"] for one in shell.json("tokens", "list")] == []
    assert len(shell.json("tokens", "list", "--all")) == 2
    assert "there is no token" in shell.refused("tokens", "revoke", "0" * 12)
    # The secret of a session is none of a token, nor the other way round.
    session = sessions.begin(runtime, users.known(runtime, "ann"), HOUR_MS)
    assert tokens.let_in(runtime, session) == "no such token"
    assert sessions.look(runtime, long["secret"], HOUR_MS) is None
    again = shell.json("tokens", "make", "--for", "ann")
    shell.ok("users", "remove", "ann")
    assert tokens.let_in(runtime, again["secret"]) == "no such token"


def test_users_of_a_file_are_read_again_when_it_changes(shell: Terminal, typed: Any, tmp_path: Path) -> None:
    runtime, file = current(), tmp_path / "users.toml"
    runtime.settings = replace(runtime.settings, users=str(file))
    assert "cannot be read" in shell.refused("users", "list")
    file.write_text("[users]\n")
    typed(WORDS)
    line = shell.ok("users", "add", "ann", "--role", "clerk")
    file.write_text(f"[users]\n{line}")
    (ann,) = shell.json("users", "list")
    assert (ann["name"], ann["roles"]) == ("ann", ["clerk"])
    user = users.known(runtime, "ann")
    assert is_right(WORDS, user.password)
    session = sessions.begin(runtime, user, HOUR_MS)
    assert sessions.look(runtime, session, HOUR_MS)
    assert f"stand in {file}" in shell.refused("users", "disable", "ann")
    typed(OTHERS)
    changed = shell.ok("users", "password", "ann")
    assert sessions.look(runtime, session, HOUR_MS), "nothing is changed before it stands in the file"
    file.write_text(f"[users]\n{changed}# another\n")
    assert sessions.look(runtime, session, HOUR_MS) is None
    file.write_text(f"[users]\n{changed.replace(' }', ', disabled = true }')}")
    assert users.actor_of(runtime, "ann") is None
    assert runtime.store.users.all() == []


def test_a_file_that_says_something_else_is_refused_and_no_hash_is_told(tmp_path: Path) -> None:
    file = tmp_path / "users.toml"
    for text, why in (
        ("[people]\nann = 'x'", "it has one table, [users]"),
        ("users = 'secret-thing'", "it has one table, [users]"),
        ("[users]\nann = 'secret-thing'", "users.ann has no hash of a password"),
        ("[users]\nann = { password = '$argon2id$secret-thing', role = 1 }", "'role' means nothing there"),
        ("[users]\nann = { password = '$argon2id$secret-thing', roles = 1 }", "users.ann.roles is 1"),
        ("[users]\nann = { password = '$argon2id$secret-thing', disabled = 1 }", "users.ann.disabled is 1"),
        ("[users", "cannot be read as users"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigurationError) as raised:
            read_users(str(file))
        assert why in str(raised.value)
        assert "secret-thing" not in str(raised.value)


def test_a_terminal_is_asked_for_the_password_twice_and_shows_none(shop: Shop) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, *CLI, "users", "add", "ann"]
    process = subprocess.Popen(
        command,
        cwd=shop.folder,
        env=shop.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    told = ""
    for asked in ("Password: ", "Repeat for confirmation: "):
        while not told.endswith(asked):
            told += os.read(ours, 1_000).decode()
        os.write(ours, f"{WORDS}\n".encode())
    with contextlib.suppress(OSError):  # the other end is closed
        while text := os.read(ours, 1_000):
            told += text.decode()
    os.close(ours)
    assert process.wait() == 0, told
    assert "ann may log in" in told
    assert WORDS not in told
    assert [one["name"] for one in shop.json("users", "list")] == ["ann"]
