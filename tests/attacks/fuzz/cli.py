"""Command lines, in this process: exit status 0, 1 or 2, an error told in words, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
from hypothesis import strategies as st

import fsmflow
from fsmflow import Fail, Machine, Schedule, State, settings
from fsmflow.cli import metrics, web
from fsmflow.cli.catalogue import CATALOGUE
from fsmflow.cli.main import cli, run
from fsmflow.engine import runtime
from fsmflow.engine.feeds import Feed
from fsmflow.engine.runtime import current
from fsmflow.running.executor import Executor
from fsmflow.running.reload import Reload
from fsmflow.running.supervisor import Supervisor
from fsmflow.store.store import create_store
from fsmflow.store.work import ticket_of
from tests.attacks.fuzz.driver import ACCEPTED, Check, Servers
from tests.attacks.fuzz.inputs import ADDRESSES, DURATIONS, FIELDS, LONG_TEXTS, TEXTS, Made, build
from tests.support.machines import Counter, Order, play

_KNOWN = ["order:1", "order:2", "order:3", "order:4", "counter:1", "1", "2", "order", "counter", "pending", "charging"]
_KNOWN += ["failed_from_charging", "failed_from_*", "submit", "note", "approve", "timeout", "add", "close", "cancelled"]
_KNOWN += ["nightly", "2026-11-01", "2026-11-01T02:30", "2026-10-25T02:30Z", "1990-01-01", "9999-12-31", "0001-01-01"]
_NUMBERS = ["0", "1", "-1", "1000000000", "1000000001", "9" * 30, "1e3", "0x10", "\uff11", ""]
_NAMES: list[Any] = [
    "a=b",
    "amount:=5",
    "amount:=1e999",
    "k:={",
    "k:=[1,{}]",
    "=",
    ":=1",
    "\ud800=\udcff",
    "a=\x00",
    Made("k= and 300,000 letters", lambda: "k=" + "x" * 300_000),
]
_FILES = ["-", "@-", "@in.json", "in.json", "in.csv", "@nowhere", "nowhere", "@", ".", "/dev/null", "\x00"]
_TYPED = ["90s", "10m", "9" * 12 + "w", '{"a": 1}', "[]", "--", "-h", "--help", "--json", "--version", "-x", "--nope"]
WORDS = st.one_of(
    *(st.sampled_from(words) for words in (_KNOWN, _KNOWN, _NUMBERS, _NAMES, _FILES, _TYPED)),
    *(ADDRESSES, DURATIONS, FIELDS, TEXTS, LONG_TEXTS),
)


class Nightly(Machine):
    """Has a schedule to be paused, resumed, run and backfilled."""

    schedule = Schedule("30 2 * * *", zone="Europe/Vienna")
    initial = "open"
    states = ["open", State("shut", final=True)]
    transitions = [["close", "open", "shut"]]


@dataclass(frozen=True)
class Line:
    """A command line, and what it finds on standard input and in the files ``in.json`` and ``in.csv``."""

    words: tuple[str | Made, ...]
    contents: bytes | Made


_WELL_FORMED = st.sampled_from([*_KNOWN, "a=b", "amount:=5", "90s", "3", "{}", "@in.json", "in.csv"])


def _option(parameter: click.Option) -> st.SearchStrategy[tuple[str, ...]]:
    name = st.sampled_from(parameter.opts)
    if parameter.is_flag:
        return name.map(lambda option: (option,))
    kinds = parameter.type.choices if isinstance(parameter.type, click.Choice) else _KNOWN
    values = st.sampled_from([str(kind) for kind in kinds])
    return st.tuples(name, st.one_of(values, _WELL_FORMED, WORDS))


def _command(command: click.Command, *above: str) -> st.SearchStrategy[tuple[str, ...]]:
    words = (*above, str(command.name))
    if isinstance(command, click.Group):
        return st.one_of(*(_command(below, *words) for below in command.commands.values()))
    options = [_option(parameter) for parameter in command.params if isinstance(parameter, click.Option)]
    arguments = [
        st.one_of(st.sampled_from(_KNOWN), _WELL_FORMED, WORDS)
        for parameter in command.params
        if isinstance(parameter, click.Argument)
    ]
    more = st.lists(st.one_of(*options, _WELL_FORMED.map(lambda word: (word,))), max_size=3)
    return st.tuples(st.tuples(*arguments), more).map(
        lambda found: (*words, *found[0], *itertools.chain.from_iterable(found[1]))
    )


_JSON_LINES = st.lists(st.sampled_from(['{"id": "%d", "a": 1}', '{"id": %d}', "{}", "[]", '{"id": "a/b"}', "", "nul"]))
_CONTENTS = st.one_of(
    st.binary(max_size=30),
    _JSON_LINES.map(lambda lines: "\n".join(line.replace("%d", str(n)) for n, line in enumerate(lines)).encode()),
    st.sampled_from(
        [b"id,a:\n7,1\n8,{\n", b"id\n\x00\n", b"\xef\xbb\xbfid,b\n9,x\n", b'id,a\n1,"x', b'{"id": {"$dict": 1}}']
    ),
    st.sampled_from(
        [
            b'{"a": "\\ud800"}',
            b'{"a": 1e999}',
            Made("100,000 brackets", lambda: b"[" * 100_000),
            Made("a long id", lambda: b'{"id":"' + b"x" * 300_000 + b'"}'),
            b"{}",
        ]
    ),
)
LINES = st.builds(
    Line,
    words=st.one_of(
        *(_command(entry.load()) for entry in CATALOGUE),
        st.lists(st.one_of(WORDS, st.sampled_from([entry.name for entry in CATALOGUE])), max_size=6).map(tuple),
    ),
    contents=_CONTENTS,
)


@contextmanager
def command_lines(servers: Servers) -> Iterator[Check]:
    """Any command line, with entities in several states to hit."""
    path = servers.folder / "cli.db"
    path.unlink(missing_ok=True)
    url = servers.database_url or f"sqlite:///{path}"
    machines = [Order, Counter, Nightly]
    fsmflow.configure(database_url=url, redis_url=servers.redis_url, machines=machines, home=servers.folder)
    create_store(settings.current()).link.forget_connection()
    _people()
    path_before = list(sys.path)
    try:
        with (
            contextlib.chdir(servers.folder),
            patch.object(Supervisor, "run", lambda self: 0),
            patch.object(Reload, "run", lambda self: 0),
            # What goes on until it is stopped ends at once, and a feed where there is no more.
            patch.object(metrics, "_serve", lambda host, port, page: 0),
            patch.object(web, "_serve", lambda app, host, port, who: 0),
            patch.object(Feed, "_follow", property(lambda self: False, lambda self, value: None), create=True),
        ):
            yield lambda line: [_outcome(line)]
    finally:
        sys.path[:] = path_before
        runtime.close()
        settings._chosen.settings = None


def _people() -> None:
    """One that waits, one that works, one that is over, one that has failed with a message that is up to no good."""
    for number in range(1, 5):
        Order.start(str(number), amount=number)
    Counter.start("1")
    Order.get("2").trigger("submit")
    Order.get("3").cancel()
    Order.get("4").trigger("submit")
    with patch.dict(play, charging=_decline):
        failing = current().store.entities.load("order", "4")
        ring = None if failing is None else ticket_of(failing)
        assert ring is not None
        Executor(current()).execute(ring[0])
    assert Order.get("4").state == "failed_from_charging"


def _decline(machine: Any) -> None:
    raise Fail(f"card \x1b[31m of {machine.entity_id} was declined\nfor good \u202e {{}}")


def _outcome(line: Line) -> str:
    words, contents = build(line.words), build(line.contents)
    for name in ("in.json", "in.csv"):
        Path(name).write_bytes(contents)
    told, error = _Stream(), _Stream()
    given = io.TextIOWrapper(io.BytesIO(contents), encoding="utf-8")
    with patch.object(sys, "stdin", given), patch.object(sys, "stdout", told), patch.object(sys, "stderr", error):
        status = run(cli, words, "fsmflow")
    said = error.text()
    assert status in (0, 1, 2), f"exit status {status!r}: {said}"
    assert "Traceback" not in said, said
    # What 'check' and 'verify' have found is their result.
    found = told.text() if words[:1] in (("check",), ("verify",)) else ""
    assert status == 0 or (said + found).strip(), f"exit status {status}, and nothing was said"
    return ACCEPTED if status == 0 else "refused" if status == 1 else "wrong usage"


class _Stream(io.TextIOWrapper):
    """A standard stream that keeps what is written."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode("utf-8", "replace")
