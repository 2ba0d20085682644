"""``channels``: what is shown of them, what is tried, and what nobody is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsmflow import Machine, OldestDue, State, Stuck, Tell, configure
from fsmflow.channels import new_secret
from fsmflow.channels.kinds import Webhook
from fsmflow.errors import ConfigurationError
from fsmflow.settings.channels import read_channels, read_file
from tests.support.receivers import receiver
from tests.support.terminal import Terminal

FILE = """
[ops]
kind = "email"
to = ["ops@shop.example"]
sender = "shop@shop.example"
user = "shop"
password = "hush-hush"

[shop]
kind = "webhook"
url = "env:SHOP_URL"
secret = ["env:SHOP_SECRET", "{secret}"]
allow_private = true

[pager]
kind = "command"
arguments = ["false", "--hush"]
"""


class Parcel(Machine):
    name = "parcel"
    initial = "new"
    states = [State("new"), State("shipped", final=True)]
    transitions = [["ship", "new", "shipped"]]
    tell = {"shipped": ["shop", Tell("elsewhere", trigger="sh*", source="new")]}
    alarms = [Stuck(tell=["elsewhere", "ops"])]


def test_channels_are_shown_and_tried_and_their_secrets_are_not(
    shell: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = new_secret()
    (tmp_path / "channels.toml").write_text(FILE.replace("{secret}", secret))
    monkeypatch.setenv("FSMFLOW_CHANNELS", str(tmp_path / "channels.toml"))
    monkeypatch.setenv("SHOP_SECRET", new_secret())
    configure(machines=[Parcel], alarms=[OldestDue(60, tell=["elsewhere", "pagerx"])])
    assert "SHOP_URL is not set here" in shell.ok("channels")
    with receiver((500, {}, b"not today"), (204, {}, b"")) as there:
        monkeypatch.setenv("SHOP_URL", there.url)
        told = [shell.ok("channels"), shell.json("channels"), shell.ok("info"), shell.ok("check")]
        assert shell.refused("channels", "test", "shop").endswith("answered 500 Internal Server Error: not today\n")
        assert shell.ok("channels", "test", "shop").endswith("answered 204 No Content\n")
    assert json.loads(there.taken[1].body)["type"] == "fsmflow.test"
    assert "the command false ended with status 1" in shell.refused("channels", "test", "pager")
    assert "no channel 'shpo' here; did you mean 'shop'?" in shell.refused("channels", "test", "shpo")
    assert [(each["name"], each["kind"], each["place"], each["told_of"]) for each in told[1]] == [
        ("log", "log", "lines of level WARNING", []),
        ("ops", "email", "ops@shop.example by localhost", ["alarm stuck of parcel"]),
        ("shop", "webhook", "$SHOP_URL", ["parcel.shipped"]),
        ("pager", "command", "false", []),
        ("elsewhere", None, None, ["parcel.shipped by ship from new", "alarm oldest-due-60", "alarm stuck of parcel"]),
        ("pagerx", None, None, ["alarm oldest-due-60"]),
    ]
    assert "alarm stuck of parcel; not configured here" in told[0]
    assert "log (log), ops (email), shop (webhook), pager (command)" in told[2]
    named = (
        "elsewhere' is told of parcel.shipped by ship from new, alarm oldest-due-60, alarm",
        "pagerx' is told of alarm oldest-due-60, and",
    )
    assert all(f"channel '{words}" in one for words in named for one in told[2:])
    assert len(shell.json("info")["strange_channels"]) == len(shell.json("check")["channels"]) == 2
    assert "is not configured here; did you mean 'pager'?; FSMFLOW_CHANNELS or configure(channels=...)" in told[3]
    assert not any(hidden in str(told) for hidden in (secret, "hush", "hooks?", "whsec"))
    assert shell.ok("channels", "secret") != shell.ok("channels", "secret")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ops", "it is a mapping of names to channels"),
        ({"": {}}, "a name of 1 to 64 characters"),
        ({"ops": "https://hush.example"}, "ops is no channel; each is a table, as [ops] with a line kind = "),
        (
            {"ops": {"url": "https://hush.example"}},
            'ops has no kind; each is a table, as [ops] with a line kind = "log"',
        ),
        ({"ops": {"kind": "webhoook"}}, "ops: kind is 'webhoook'; did you mean 'webhook'?"),
        ({"ops": {"kind": ["a"]}}, "ops: kind is ['a']; it is one of log, command, email, webhook"),
        ({"ops": {"kind": "webhook", "url": "env:A"}}, 'ops: kind = "webhook" needs secret; write secret = "env:'),
        ({"ops": {"kind": "email"}}, 'needs to and sender; write to = ["ops@shop.example"] and sender = "fsm'),
        ({"ops": {"kind": "log", "levels": "INFO"}}, "ops: Log(...) takes no 'levels'; did you mean 'level'?"),
        ({"ops": {"kind": "log", "level": "WARN"}}, "ops: Log(level='WARN') is no level; did you mean 'WARNING'?"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place(given: object, words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_channels(given, "channels.toml")
    told = str(raised.value)
    assert told.startswith("channels.toml")
    assert all(part in told for part in words.split(".*"))
    assert "hush" not in told


def test_a_file_says_what_python_would_and_is_handed_on_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "channels.toml").write_text(FILE.replace("{secret}", new_secret()))
    found = read_file(str(tmp_path / "channels.toml"))
    assert read_channels(json.loads(json.dumps({name: each.as_plain() for name, each in found.items()}))) == found
    assert isinstance(found["shop"], Webhook)
    with pytest.raises(ConfigurationError, match="nothing.toml cannot be read as channels"):
        read_file("nothing.toml")
