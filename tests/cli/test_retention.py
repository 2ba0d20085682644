"""``fsmflow prune``: what it deletes, what it asks for, and the copy that it leaves."""

from __future__ import annotations

import fcntl
import gzip
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow.engine.retention import Pruned
from fsmflow.engine.runtime import current
from fsmflow.store.tables import ENTITY
from fsmflow.testing import Sandbox
from fsmflow.verify import verify
from tests.cli.orders import Order
from tests.support.terminal import Terminal


def test_whoever_is_asked_is_told_how_much_it_is(
    finished: Sandbox, shell: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", lambda text, **options: asked.append(text))
    assert shell.ok("prune", "order", "--older", "12h").startswith(
        "order  3 finished entities with 2 of their branches"
    )
    assert asked == ["Delete for good of order 3 finished entities with 2 of their branches and children?"]


@pytest.fixture
def finished(box: Sandbox) -> Sandbox:
    """Three orders that have been finished for a day, one of them with branches, and one that goes on."""
    for id_ in ("1", "2"):
        Order.start(id_).cancel(reason="test")
    Order.start("3", lines=["a", "b"]).go(actor="alice")
    box.run()
    box.advance(hours=2)
    Order.start("4")
    box.advance(days=1)
    return box


def rows() -> int:
    ((count,),) = current().store.link.query(f"SELECT COUNT(*) FROM {ENTITY}")
    return int(count)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Its lines, by address: those of one final state come after those of another one."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return sorted((json.loads(line) for line in file), key=lambda line: str(line["address"]))


def test_it_says_what_it_would_do_and_then_does_it(finished: Sandbox, shell: Terminal) -> None:
    assert shell.ok("prune", "order", "--older", "2d", "--yes") == "order  0 finished entities deleted\n"
    would = shell.ok("prune", "order", "--older", "12h", "--dry-run")
    assert would == "order  3 finished entities with 2 of their branches and children would be deleted\n"
    assert rows() == 6
    assert shell.json("prune", "--older", "12h", "--yes") == {
        "machines": [
            {"machine": "order", "trees": 3, "entities": 5},
            {"machine": "shipment", "trees": 0, "entities": 0},
        ],
        "archive": None,
        "dry_run": False,
    }
    assert rows() == 1
    runtime = current()
    report = verify(runtime.store, runtime.machines.all(), strict=True)
    assert (report.holds, report.checked["entities_pruned"]) == (True, 5)


def test_it_does_not_delete_unasked(finished: Sandbox, shell: Terminal) -> None:
    told = shell.misused("prune", "order", "--older", "90m")
    assert "look first with 'fsmflow prune order --older 90m --dry-run', then say --yes" in told
    assert "no machine says retention" in shell.misused("prune", "--yes")
    assert "says no retention" in shell.refused("prune", "order", "--yes")
    assert rows() == 6


def test_the_archive_has_a_line_for_each_tree_with_its_history_and_branches(
    finished: Sandbox, shell: Terminal, tmp_path: Path
) -> None:
    path = tmp_path / "orders.jsonl.gz"
    shell.ok("prune", "order", "--older", "12h", "--yes", "--archive", str(path))
    one, two, three = lines_of(path)
    assert [one["address"], two["address"], three["address"]] == ["order:1", "order:2", "order:3"]
    assert one["history"][-1]["reason"] == "test"
    assert one["branches"] == []
    assert three["data"] == {"lines": ["a", "b"], "charged": True}
    assert [(each["address"], each["parent"], each["item"]) for each in three["branches"]] == [
        ("order:3/packing/0", "order:3", "a"),
        ("order:3/packing/1", "order:3", "b"),
    ]
    assert three["branches"][0]["result"] == {"box": "a"}
    assert [line["seq"] for line in three["history"]] == list(range(1, len(three["history"]) + 1))


def test_an_archive_is_appended_to_and_what_a_dead_one_left_half_is_cut_off(
    finished: Sandbox, shell: Terminal, tmp_path: Path
) -> None:
    path = tmp_path / "orders.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(b'{"address": "order:0"}\n')
    with path.open("ab") as file:
        file.write(gzip.compress(b'{"address": "order:1"}\n')[:-12])
    shell.ok("prune", "order", "--older", "12h", "--yes", "--archive", str(path))
    assert [line["address"] for line in lines_of(path)] == ["order:0", "order:1", "order:2", "order:3"]


def test_what_could_not_be_kept_is_not_deleted(finished: Sandbox, shell: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl.gz"
    with patch("os.fsync", side_effect=[None, OSError(28, "No space left on device")]):
        told = shell.refused("prune", "order", "--older", "12h", "--yes", "--archive", str(path))
    assert "cannot be written (No space left on device); what is not in it was not deleted" in told
    assert (rows(), path.stat().st_size) == (6, 0)
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        told = shell.refused("prune", "order", "--older", "12h", "--yes", "--archive", str(path))
    assert "another program is writing" in told
    path.write_bytes(b"plain text")
    told = shell.refused("prune", "order", "--older", "12h", "--yes", "--archive", str(path))
    assert "is no file that gzip can read" in told
    assert rows() == 6


def test_what_moves_on_meanwhile_is_neither_deleted_nor_in_the_archive(
    finished: Sandbox, shell: Terminal, tmp_path: Path
) -> None:
    path, store = tmp_path / "orders.jsonl.gz", current().store.retention
    original = store.trees

    def trees(*given: Any) -> Any:
        found = original(*given)
        Order.get("2").rewind("new")
        return found

    with patch.object(store, "trees", trees):
        shell.ok("prune", "order", "--older", "12h", "--yes", "--archive", str(path))
    assert [line["address"] for line in lines_of(path)] == ["order:1", "order:3"]
    assert [one.entity_id for one in Order.find()] == ["2", "4"]


def test_the_name_of_an_archive_says_how_it_is_compressed(finished: Sandbox, shell: Terminal) -> None:
    told = shell.misused("prune", "order", "--older", "1h", "--yes", "--archive", "orders.jsonl")
    assert "call it orders.jsonl.gz" in told


def test_what_was_pruned_is_told_in_words() -> None:
    assert str(Pruned(trees=1, entities=1)) == "1 finished entity"
    assert str(Pruned(trees=1_000, entities=1_001)) == "1,000 finished entities with 1 of their branches and children"
