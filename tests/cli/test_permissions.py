"""Who types: the system's user, with the roles that the installation gives, or whoever that may speak for."""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Iterator
from signal import SIGINT, raise_signal
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import Machine, State, Two
from fsmflow import person as people
from fsmflow.cli import person
from fsmflow.operations import repair
from fsmflow.operations.members import Members
from fsmflow.testing import Sandbox, sandbox
from tests.support.interruptions import after_nth
from tests.support.terminal import Terminal

MAP = {
    "people": {"ann": ["lead"], "bea": ["agent"], "cat": ["chief"]},
    "roles": {"lead": ["door.*"], "agent": ["door.pause"], "chief": ["act_as", "door.pause"]},
}


class Door(Machine):
    initial = "shut"
    operators = {"force": Two("lead")}
    states = ["shut", State("open", final=True)]
    transitions = [{"trigger": "unlock", "source": "shut", "dest": "open", "roles": ["porter"]}]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Door], permissions=MAP) as box:
        Door.start("1")
        yield box


@pytest.fixture
def sits(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has somebody sit at the terminal."""
    return lambda login: monkeypatch.setattr(person, "login", lambda: login)


def by_whom() -> list[str | None]:
    return [entry.actor for entry in Door.get("1").history[1:]]


def test_the_login_is_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert people.login() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)
    assert people.login() == f"uid-{2**31 - 5}"


def test_who_says_no_name_is_the_systems_user_with_his_roles(box: Sandbox, shell: Terminal, sits: Any) -> None:
    sits("bea")
    shell.ok("pause", "door:1")
    assert "'cancel' needs an actor with one of the roles lead; 'bea' has none" in shell.refused("cancel", "door:1")
    sits("dan")
    assert "'dan' has none" in shell.refused("resume", "door:1")
    sits("ann")
    shell.ok("resume", "door:1")
    assert by_whom() == ["bea", "ann"]
    assert "allowed now: unlock, cancel" in shell.ok("explain", "door:1")


def test_to_be_somebody_else_takes_a_permission(box: Sandbox, shell: Terminal, sits: Any) -> None:
    sits("bea")
    for more in (("--actor", "ann"), ("--role", "lead"), ("--actor", "bea", "--role", "lead")):
        told = shell.refused("pause", "door:1", *more)
        assert "'bea' may not be" in told
        assert "under [people] in the permissions of this installation, give 'bea' those roles" in told
    shell.ok("pause", "door:1", "--actor", "bea", "--role", "agent")
    sits("cat")
    shell.ok("cancel", "door:1", "--actor", "ann")
    assert by_whom() == ["bea", "ann"]


def test_one_login_under_two_names_is_not_two_people(box: Sandbox, shell: Terminal, sits: Any) -> None:
    sits("cat")
    noted = shell.ok("force", "door:1", "open", "--actor", "ann")
    assert noted == "door:1  shut, noted; another person types: fsmflow force door:1 open\n"
    assert "it takes two people" in shell.refused("force", "door:1", "open", "--actor", "ben", "--role", "lead")
    assert "asked:       force open, by 'ann'" in shell.ok("explain", "door:1")
    assert "  asked     force open, by 'ann'" in shell.ok("show", "door:1")
    assert "force open, by 'ann'" in shell.json("show", "door:1")["asked"][0]
    sits("ann")
    assert shell.ok("force", "door:1", "open") == "door:1  shut -> open\n"
    assert by_whom() == ["ann", "ann"]


def test_who_may_do_it_to_one_may_do_it_to_a_selection_and_owns_the_repair(
    box: Sandbox, shell: Terminal, sits: Any
) -> None:
    for number in range(2, 5):
        Door.start(str(number))
    sits("bea")
    assert "'cancel' needs an actor with one of the roles lead" in shell.run("cancel", "--machine", "door").err
    with patch.object(repair, "_SLICE_S", 0.0), after_nth(Members, "ask", 2, lambda: raise_signal(SIGINT)):
        done = shell.run("pause", "--machine", "door")
    assert (done.status, done.out) == (130, "door:1  shut, paused\ndoor:2  shut, paused\n")
    id_ = done.err.rpartition(" ")[2].strip()
    sits("dan")
    assert "'dan' has none" in shell.refused("repair", "resume", id_)
    sits("bea")
    assert shell.ok("repair", "resume", id_) == "door:3  shut, paused\ndoor:4  shut, paused\n"


def test_what_takes_two_people_is_noted_of_each_of_a_selection(box: Sandbox, shell: Terminal, sits: Any) -> None:
    Door.start("2")
    sits("ann")
    lines = [f"door:{number}  shut, noted; another person types: fsmflow force door:{number} open" for number in (1, 2)]
    done = shell.run("force", "--state", "shut", "open")
    assert (done.status, done.out.splitlines()) == (0, lines)
    id_ = done.err.splitlines()[-1].partition(" ")[0].strip(":")
    assert shell.ok("repair", "show", id_).splitlines()[-1] == "    2 in all: 2 wait for a second person"
    sits("cat")
    done = shell.run("force", "--state", "shut", "open", "--actor", "ben", "--role", "lead")
    assert (done.status, Door.counts()) == (0, {"open": 2})


def test_without_permissions_everybody_is_who_they_say(shell: Terminal, sits: Any) -> None:
    with sandbox([Door]):
        Door.start("1")
        sits("dan")
        shell.ok("pause", "door:1")
        shell.ok("resume", "door:1", "--actor", "eve")
        shell.ok("trigger", "door:1", "unlock", "--role", "porter")
        assert by_whom() == ["dan", "eve", "dan"]


def test_what_is_refused_is_one_line_for_who_types_and_one_of_the_log(
    box: Sandbox, shell: Terminal, sits: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sits("dan")
    with caplog.at_level(logging.WARNING):
        told = shell.refused("pause", "door:1")
    assert told.count("Error: ") == 1
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["permission.refused"]


def test_what_is_said_of_a_failure_group_takes_a_permission(shell: Terminal, sits: Any) -> None:
    given = {
        **MAP,
        "people": {"ann": ["lead"], "bea": ["agent"]},
        "roles": {"lead": ["torn.failures"], "agent": ["torn.x"]},
    }
    with sandbox([Torn], permissions=given) as box:
        Torn.start("1")
        box.run()
        group = shell.json("failures")[0]["group"]
        for words in (
            ("resolve", group),
            ("ignore", group),
            ("reopen", group),
            ("note", group, "hm"),
            ("merge", group, group),
        ):
            sits("bea")
            assert "'failures' needs an actor with one of the roles lead; 'bea' has none" in shell.refused(
                "failures", *words
            )
        sits("ann")
        shell.ok("failures", "note", group, "the bank is asked")
        assert shell.json("failures", "resolve", group)["life"] == "resolved"


class Torn(Machine):
    initial = "tearing"
    states = [State("tearing", job="work"), State("ready", final=True)]
    transitions = [["done", "tearing", "ready"]]

    def work(self) -> None:
        raise ValueError("it is torn")


class Card(Machine):
    initial = "new"
    redact = ["number"]
    operators = {"see": ["fraud"]}
    states = ["new", State("paid", final=True)]
    transitions = [["pay", "new", "paid"]]


class Locked(Card):
    operators = {}


def test_what_is_redacted_is_shown_to_who_may_see_it_and_the_log_tells_so(
    shell: Terminal, sits: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with sandbox([Card, Locked]), caplog.at_level(logging.WARNING):
        Card.start("1", number="4242-4242")
        Locked.start("1", number="4242-4242")
        sits("ann")
        assert "4242" not in shell.ok("show", "card:1")
        assert "'see' needs an actor with one of the roles fraud" in shell.refused("show", "card:1", "--reveal")
        assert "nobody is named who may" in shell.refused("show", "locked:1", "--reveal", "--role", "fraud")
        assert "4242-4242" in shell.ok("show", "card:1", "--reveal", "--role", "fraud")
        assert shell.json("show", "card:1", "--reveal", "--role", "fraud")["data"] == {"number": "4242-4242"}
    told = [record.getMessage().split(": ")[0] for record in caplog.records]
    assert told == ["permission.refused"] * 2 + ["redacted.seen"] * 2
