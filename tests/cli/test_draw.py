"""``fsmflow draw``: Mermaid text that Mermaid's grammar for stateDiagram-v2 takes, whatever names a machine has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fsmflow import Machine, State
from fsmflow.diagram import mermaid
from tests.support.deployments import definition_of
from tests.support.paths import ROOT

MACHINES = """
from fsmflow import Machine, State

def risky(machine):
    return True
risky.__name__ = 'a:b; "c" <d> %% --> #1 `e`'

class Order(Machine):
    initial = "pending"
    states = ["pending", State("note", job="charge"), State("note_"), State("shipped", final=True)]
    transitions = [
        ["submit", "pending", "note", "has_amount", "is_blocked"],
        ["rate", "pending", None],
        ["price", "pending", "="],
        ["done", "note", "note_", risky],
        ["done", "note", "shipped"],
        {"trigger": "approve", "source": "note_", "dest": "shipped", "roles": ["manager", "boss"]},
    ]

    def has_amount(self):
        return True

    def is_blocked(self):
        return False

    def charge(self):
        pass

class Lamp(Machine):
    initial = "on"
    states = ["on", State("off", final=True)]
    transitions = [["switch", "on", "off"], ["cancel", "on", "cancelled"]]
"""

ID = r"(\[\*\]|[a-z][a-z0-9_]*)"
#: What the lexer lets stand after a colon: no colon, no semicolon but that of an entity code, no line break.
LABEL = r"([^:;\n#]|#\w+;)+"
STATEMENTS = (
    rf"{ID} --> {ID}(: {LABEL})?",
    r'state "[a-z][a-z0-9_]*( \(([^:;\n#"]|#\w+;)+\))?" as [a-z][a-z0-9_]*',
    r"state [a-z][a-z0-9_]* <<choice>>",
    r"classDef [a-z]+ [^\n]+",
    r"class [a-z0-9_]+(,[a-z0-9_]+)* [a-z]+",
)

SAGA = """
class Trip(Machine):
    initial = "new"
    on_failure = "undo"
    on_cancel = "undo"
    states = [
        State("new", defer=["approve"], ignore=["ping"]),
        State("car", job="book", undo="unbook", transactional=True, timeout=5),
        State("hotel", job="book", undo="unbook", at_most_once=True),
        State("flight", job="fly", each="seats", undo="unbook", limit=3, branch_failure="stop"),
        State("checking", jobs={"ground": "book", "air": "unbook"}, only="wanted"),
        State("asking", job="book", wait=True),
        State("moving", machine="lamp", each=lambda trip: []),
        State("next_to_undo", final=True),
    ]
    transitions = [
        ["go", "new", "car"],
        ["done", "car", "hotel"],
        ["done", "hotel", "flight"],
        ["done", "flight", "checking"],
        ["done", "checking", "asking"],
        ["approve", "asking", "moving"],
        ["branch_done", "moving", "next_to_undo"],
        ["branch_failed", "moving", "next_to_undo"],
        ["done", "moving", "next_to_undo"],
        ["ping", "asking", None],
    ]

    def book(self):
        pass

    def unbook(self):
        pass

    def fly(self, item):
        pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "machines.py").write_text(MACHINES)
    return tmp_path


def fsmflow(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FSMFLOW_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "fsmflow.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def drawn(folder: Path, *arguments: str) -> list[str]:
    """The statements of a diagram, each checked against the grammar."""
    done = fsmflow(folder, "draw", *arguments)
    assert done.returncode == 0, done.stderr
    first, *statements = [line.strip() for line in done.stdout.splitlines()]
    assert first == "stateDiagram-v2"
    for statement in statements:
        assert any(re.fullmatch(pattern, statement) for pattern in STATEMENTS), statement
    return statements


def test_a_machine_is_drawn_with_its_generated_states_and_without_generated_cancel(folder: Path) -> None:
    statements = drawn(folder, "order")
    assert statements[1] == "[*] --> pending"
    assert "note__ --> failed_from_note: fail" in statements
    assert "failed_from_note --> note__: retry" in statements
    assert "shipped --> [*]" in statements
    assert "class failed_from_note failed" in statements
    assert not [statement for statement in statements if "cancel" in statement]


def test_all_shows_the_generated_cancel_too(folder: Path) -> None:
    statements = drawn(folder, "order", "--all")
    assert {"pending --> cancelled: cancel", "failed_from_note --> cancelled: cancel"} <= set(statements)
    assert "cancelled --> [*]" in statements


def test_a_cancel_of_ones_own_is_always_shown(folder: Path) -> None:
    statements = drawn(folder, "lamp")
    assert statements[:3] == ["[*] --> on", "on --> off: switch", "on --> cancelled: cancel"]
    assert statements[3:] == ["off --> [*]", "cancelled --> [*]"]


def test_guards_roles_and_internal_transitions_are_labelled(folder: Path) -> None:
    statements = drawn(folder, "order")
    assert "pending --> note__: submit [has_amount and not is_blocked]" in statements
    assert "pending --> pending: rate (internal) | price" in statements
    assert "note_ --> shipped: approve (boss or manager)" in statements


@pytest.fixture
def trip(folder: Path) -> Path:
    (folder / "machines.py").write_text(MACHINES + SAGA)
    return folder


def test_what_states_do_is_marked(trip: Path) -> None:
    statements = drawn(trip, "trip")
    marked = {
        'state "new (defers approve, ignores ping)" as new',
        'state "car (transactional)" as car',
        'state "hotel (at most once)" as hotel',
        'state "flight (for each of seats, 3 at once, stops at a failure)" as flight',
        'state "checking (jobs ground and air, only wanted)" as checking',
        'state "asking (asks and waits)" as asking',
        'state "moving (machine lamp, for each of #60;lambda#62;)" as moving',
    }
    assert marked <= set(statements)
    assert "moving --> next_to_undo: branch_done | branch_failed | done" in statements


def test_children_of_several_machines_are_named() -> None:
    class Street(Machine):
        initial = "lighting"
        states = [State("lighting", machines={"near": "lamp", "lantern": "lantern"}), State("lit", final=True)]
        transitions = [["done", "lighting", "lit"]]

    assert 'state "lighting (machines lamp as near and lantern)" as lighting' in mermaid(definition_of(Street))


def test_all_ways_of_undo_lead_through_one_choice(trip: Path) -> None:
    statements = drawn(trip, "trip")
    assert "state next_to_undo_ <<choice>>" in statements
    for step in ("car", "hotel", "flight"):
        assert f"{step} --> next_to_undo_: fail" in statements
        assert f"next_to_undo_ --> undoing_{step}: next is {step}" in statements
        assert f"undoing_{step} --> next_to_undo_: done" in statements
        assert f"undoing_{step} --> failed_from_undoing_{step}: fail" in statements
        assert f"failed_from_undoing_{step} --> undoing_{step}: retry" in statements
    assert "failed_from_car --> next_to_undo_: undo" in statements
    assert "next_to_undo_ --> undone: undone" in statements
    assert "class undoing_car,undoing_hotel,undoing_flight undoing" in statements
    assert not [statement for statement in statements if statement.startswith("undoing_car --> undoing_")]
    everything = drawn(trip, "trip", "--all")
    assert "new --> next_to_undo_: cancel | undo" in everything
    assert len(everything) < 90


def test_what_follows_an_undo_is_drawn_where_it_belongs(trip: Path) -> None:
    own = """[
        ["undone", "undoing_car", "new"],"""
    (trip / "machines.py").write_text(
        (MACHINES + SAGA).replace('[\n        ["go", "new", "car"]', own + '["go", "new", "car"]')
    )
    statements = drawn(trip, "trip")
    assert "undoing_car --> new: undone" in statements
    assert "next_to_undo_ --> undone: undone" in statements
    (trip / "machines.py").write_text(
        (MACHINES + SAGA).replace(
            '[\n        ["go", "new", "car"]', own.replace("undoing_car", "*") + '["go", "new", "car"]'
        )
    )
    statements = drawn(trip, "trip")
    assert "next_to_undo_ --> new: undone" in statements


def test_names_that_mermaid_would_misread_are_escaped(folder: Path) -> None:
    statements = drawn(folder, "order")
    assert statements[0] == 'state "note" as note__'
    (label,) = [statement for statement in statements if statement.startswith("note__ --> note_:")]
    assert label.endswith("done [a#58;b#59; #34;c#34; #60;d#62; #37;#37; #45;#45;#62; #35;1 #96;e#96;]")


def test_states_named_like_keywords_get_other_ids(folder: Path) -> None:
    names = ["class", "classdef", "click", "default", "direction", "href", "note"]
    names += ["root", "root_start", "root_end", "scale", "state", "style"]
    chain = [["go", *pair] for pair in zip(names, [*names[1:], "over"], strict=True)]
    machine = f"""
class Keywords(Machine):
    initial = {names[0]!r}
    states = [*{names!r}, State("over", final=True)]
    transitions = {chain!r}
"""
    (folder / "machines.py").write_text(MACHINES + machine)
    statements = drawn(folder, "keywords")
    assert [f'state "{name}" as {name}_' for name in names] == statements[: len(names)]
    assert "style_ --> over: go" in statements


def test_the_state_of_an_entity_is_highlighted(folder: Path) -> None:
    fsmflow(folder, "start", "order", "7")
    assert "class pending current" in drawn(folder, "order:7")
    assert "class pending current" in drawn(folder, "7")
    fsmflow(folder, "cancel", "order:7")
    statements = drawn(folder, "order:7")
    assert "class cancelled current" in statements
    assert "cancelled --> [*]" in statements


def test_json_holds_what_is_drawn(folder: Path) -> None:
    fsmflow(folder, "start", "order", "7")
    found = json.loads(fsmflow(folder, "draw", "order:7", "--json").stdout)
    assert (found["machine"], found["state"]) == ("order", "pending")
    assert [state["name"] for state in found["states"]][:4] == ["pending", "note", "note_", "shipped"]


def test_a_machine_is_drawn_where_there_is_no_database(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSMFLOW_DATABASE_URL", "postgresql://127.0.0.1:1/nosuch")
    assert drawn(folder, "order")


@pytest.mark.parametrize(
    ("what", "why"),
    [("ordre", "did you mean 'order'?"), ("order:8", "order:8 does not exist"), ("ordre:8", "did you mean 'order'?")],
)
def test_what_does_not_exist_cannot_be_drawn(folder: Path, what: str, why: str) -> None:
    done = fsmflow(folder, "draw", what)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
