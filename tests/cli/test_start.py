"""``init`` and ``start``: one entity, many from a file or a pipe, and what is refused."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from tests.cli.orders import Order
from tests.cli.shop import Shop
from tests.support.terminal import Terminal


def test_init_says_where_the_tables_are_and_whether_redis_answers(shop: Shop) -> None:
    assert shop.ok("init").splitlines() == [
        f"the tables of fsmflow are ready in sqlite:///{shop.folder}/home/fsmflow.db",
        "Redis answers (the embedded server)",
    ]
    assert shop.json("init")["redis"]["answers"] is True


def test_start_takes_text_json_and_a_file_and_single_fields_win(shop: Shop) -> None:
    (shop.folder / "order.json").write_text('{"amount": 1, "lines": [1, 2], "url": "a"}')
    started = shop.json("start", "order", "7", "--data", "@order.json", "amount:=5", "note=a=b", "url=http://x/?a:=1")
    assert started["data"] == {"amount": 5, "lines": [1, 2], "note": "a=b", "url": "http://x/?a:=1"}
    assert (started["address"], started["state"], started["epoch"]) == ("order:7", "pending", 1)


def test_start_takes_data_from_standard_input(shop: Shop) -> None:
    assert shop.ok("start", "order", "7", "--data", "@-", text='{"amount": 2}') == "order:7  pending\n"
    assert shop.json("show", "7")["data"] == {"amount": 2}


def test_start_refuses_an_entity_that_exists_unless_told_to_take_it(shop: Shop) -> None:
    shop.ok("start", "order", "7", "--key", "mail-1")
    assert "order:7 exists already, in 'pending'" in shop.refused("start", "order", "7")
    assert shop.ok("start", "order", "7", "--if-exists", "return") == "order:7  pending\n"
    assert shop.ok("start", "order", "7", "--key", "mail-1") == "order:7  pending\n"


def test_start_of_an_unknown_machine_is_refused_with_a_suggestion(shop: Shop) -> None:
    assert "no machine 'ordre'; did you mean 'order'?" in shop.refused("start", "ordre", "7")


@pytest.mark.parametrize(
    ("entity_id", "why"), [("", "empty"), ("a" * 201, "201 characters"), ("a\tb", "control"), ("a/b", "has a '/'")]
)
def test_ids_that_cannot_be_stored_are_refused(shop: Shop, entity_id: str, why: str) -> None:
    assert why in shop.refused("start", "order", entity_id)
    assert why in shop.refused("show", f"order:{entity_id}")


def test_data_over_256_kilobytes_is_refused(shop: Shop) -> None:
    (shop.folder / "big.json").write_text(json.dumps({"text": "x" * 262_144}))
    assert "262,144 are allowed" in shop.refused("start", "order", "7", "--data", "@big.json")
    assert shop.json("list") == []


@pytest.mark.parametrize(
    "wrong",
    [
        ("amount",),
        ("=5",),
        ("amount:={",),
        ("--data", "{"),
        ("--data", "[1]"),
        ("--data", "@nofile"),
    ],
)
def test_malformed_data_is_wrong_usage_and_is_named(shop: Shop, wrong: tuple[str, ...]) -> None:
    assert wrong[-1].removeprefix("@") in shop.misused("start", "order", "7", *wrong) or wrong[-1] == "{"


def test_many_are_started_from_a_pipe_and_json_lines(shop: Shop) -> None:
    lines = '{"id": "a", "amount": 1}\n{"id": "b"}\n'
    assert shop.ok("start", "order", "--from", "-", text=lines) == "2 started\n"
    assert (
        shop.ok("start", "order", "--from", "-", "--if-exists", "return", text=lines) == "0 started, 2 there already\n"
    )
    assert shop.states() == {"order:a": "pending", "order:b": "pending"}


def test_start_adopts_in_mid_life(shell: Terminal) -> None:
    assert shell.ok("start", "order", "9", "--state", "charging") == "order:9  charging\n"
    found = shell.json("show", "9")
    assert (found["phase"], found["work"]) == ("waiting", None)
    assert "has no state 'chargin'; did you mean 'charging'?" in shell.refused(
        "start", "order", "8", "--state", "chargin"
    )


def test_start_takes_json_lines(shell: Terminal, folder: Path) -> None:
    lines = [{"id": 1, "lines": [1]}, {"id": "b", "note": "Ω", "shop": "own"}]
    (folder / "x.jsonl").write_text("\ufeff" + "\n\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    assert shell.ok("start", "order", "--from", "x.jsonl", "--dry-run") == "2 would be started\n"
    assert shell.json("list") == []
    assert shell.ok("start", "order", "--from", "x.jsonl", "shop=web", "--actor", "ada") == "2 started\n"
    assert Order.get("1").data == {"lines": [1], "shop": "web"}
    assert Order.get("b").data == {"note": "Ω", "shop": "own"}
    assert "order:1 exists already" in shell.refused("start", "order", "--from", "x.jsonl")
    assert "order:1 exists already" in shell.refused("start", "order", "--from", "x.jsonl", "--dry-run")
    again = shell.json("start", "order", "--from", "x.jsonl", "--if-exists", "return")
    assert again == {"machine": "order", "started": 0, "already_there": 2, "dry_run": False}


def test_start_takes_csv_with_json_columns(shell: Terminal, folder: Path) -> None:
    (folder / "x.csv").write_text('id,customer,amount:,note\n7,ada,1500,"two\nlines"\n8,bob,,\n')
    assert shell.ok("start", "order", "--from", "x.csv", "--state", "asking") == "2 started\n"
    assert Order.get("7").data == {"customer": "ada", "amount": 1500, "note": "two\nlines"}
    assert Order.get("8").data == {"customer": "bob", "note": ""}
    assert Order.get("8").state == "asking"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.jsonl", '{"id": 1}\n{"id": 2', "x.jsonl, line 2: it is not JSON"),
        ("x.jsonl", '{"id": 1}\n[2]', "line 2: '[2]' is no object with \"id\""),
        ("x.jsonl", '{"id": "a/b"}', "line 1: the id 'a/b' has a '/'"),
        ("x.jsonl", '{"id": null}', "line 1: the id None"),
        ("x.csv", "name\n1", "line 1: a CSV begins with the names of its columns"),
        ("x.csv", "id,a,a\n1,2,3", "column 'a' is there twice"),
        ("x.csv", "id,a\n1", "line 2: it has 1 cells; there are 2 columns"),
        ("x.csv", "id,a:\n1,{", "line 2: column 'a:': '{' is not JSON"),
        ("x.csv", 'id,a\n1,"b" c', "line 2: "),
    ],
)
def test_what_a_file_has_wrong_is_named_with_its_line(
    shell: Terminal, folder: Path, name: str, text: str, why: str
) -> None:
    (folder / name).write_text(text)
    assert why in shell.refused("start", "order", "--from", name)
    assert shell.json("list") == []


def test_start_from_what_cannot_be_read_is_wrong_usage(shell: Terminal, folder: Path) -> None:
    assert "nofile" in shell.misused("start", "order", "--from", "nofile")
    assert "--key is for one entity" in shell.misused("start", "order", "--from", "x", "--key", "k")
    (folder / "x.jsonl").write_bytes(b'{"id": "\xff"}')
    assert "line 1: 'utf-8'" in shell.refused("start", "order", "--from", "x.jsonl")
    assert os.listdir(folder) == ["x.jsonl"]


def test_start_reads_from_a_pipe_by_its_name(shell: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsmflow.cli.start._PAGE", 1)
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=lambda: (folder / "pipe").write_text('{"id": 1}\n{"id": 2}\n'))
    writer.start()
    assert shell.ok("start", "order", "--from", "pipe") == "2 started\n"
    writer.join()


def test_a_load_that_is_interrupted_says_how_to_go_on(
    shell: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsmflow.cli.start._PAGE", 2)
    lines = [json.dumps({"id": number}) for number in range(3)]
    (folder / "x.jsonl").write_text("\n".join([*lines, "{"]))
    assert "2 were started before; '--if-exists return' goes on" in shell.refused("start", "order", "--from", "x.jsonl")
    (folder / "x.jsonl").write_text("\n".join(lines))
    assert shell.ok("start", "order", "--from", "x.jsonl", "--if-exists", "return") == "1 started, 2 there already\n"
