"""Tables on a terminal: they fit, whole where they can, and no text is lost."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence

import click
import pytest

from fsmflow.cli.grid import grid, hanging
from tests.cli.shop import CLI, Shop

COLUMNS = ("ADDRESS", "STATE", "ACTOR", "DETAIL")
ROWS = [
    ("order:1", "charging -> failed_from_charging", "", "GatewayDown: the gateway does not answer"),
    ("order:2", "shipped", "", ""),
]


def lines(wide: int, rows: Sequence[tuple[str, ...]] = ROWS) -> list[str]:
    return [click.unstyle(line) for line in grid(COLUMNS, rows, wide)]


def test_what_fits_is_one_line_a_row() -> None:
    assert lines(100) == [
        "ADDRESS  STATE                             ACTOR  DETAIL",
        "order:1  charging -> failed_from_charging         GatewayDown: the gateway does not answer",
        "order:2  shipped",
    ]


def test_a_very_long_address_gives_way_in_its_middle_and_no_row_is_as_long_as_it() -> None:
    for letter, wide in (("x", 80), ("x", 120), ("字", 80)):
        head, first, last = lines(wide, [(f"order:{letter * 200}9", "new", "", ""), *ROWS[1:]])
        bound = wide * 2 // 3
        assert re.fullmatch(rf"order:{letter}+…{letter}+9", first.split()[0])
        assert bound - 2 <= sum(2 if char == "字" else 1 for char in first.split()[0]) <= bound
        assert "new" in first
        assert last.split() == ["order:2", "shipped"]
        assert len(head) < 120


def test_a_column_without_anything_in_it_gives_way_first() -> None:
    assert lines(85)[:2] == [
        "ADDRESS  STATE                             DETAIL",
        "order:1  charging -> failed_from_charging  GatewayDown: the gateway does not answer",
    ]


def test_then_sentences_stand_below_their_row() -> None:
    assert lines(45) == [
        "ADDRESS  STATE",
        "    DETAIL",
        "order:1  charging -> failed_from_charging",
        "    GatewayDown: the gateway does not answer",
        "order:2  shipped",
    ]


def test_then_the_last_columns_do_and_no_address_and_no_state_is_broken() -> None:
    columns = ("ADDRESS", "STATE", "PHASE", "SINCE (UTC)", "FAILURE")
    address = "invitation:onboarding:zoe/finding_mentors/0"
    row = (address, "failed_from_inviting", "failed", "2030-01-01 09:00:00", "MailDown: no mail goes to ann")
    found = [click.unstyle(line) for line in grid(columns, [row, row], 80)]
    assert found[:6] == [
        f"{'ADDRESS':45}{'STATE':22}PHASE",
        "    SINCE (UTC)",
        "    FAILURE",
        f"{address}  failed_from_inviting  failed",
        "    2030-01-01 09:00:00",
        "    MailDown: no mail goes to ann",
    ]
    assert f"{address}" in [click.unstyle(line) for line in grid(columns, [row], 30)]


def test_names_are_broken_between_words() -> None:
    assert lines(32)[2:5] == [
        "order:1  charging ->",
        "         failed_from_charging",
        "    GatewayDown: the gateway",
    ]


@pytest.mark.parametrize("wide", range(30, 100))
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(wide: int) -> None:
    found = lines(wide)
    assert max(map(len, found)) <= wide
    found = found[found.index(next(line for line in found if line.startswith("order"))) :]
    assert sorted("".join(found).replace(" ", "")) == sorted("".join("".join(row) for row in ROWS).replace(" ", ""))


def test_wide_letters_take_two_places() -> None:
    rows = [("order:1", "処理中", "", "x"), ("order:2", "shipped", "", "x")]
    assert lines(60, rows)[1:] == ["order:1  処理中          x", "order:2  shipped         x"]


def test_phases_have_their_colour() -> None:
    (_, line) = grid(("PHASE",), [("failed",)], 40)
    assert line == click.style("failed", fg="red")


class TestSentences:
    def test_what_fits_is_one_line(self) -> None:
        assert list(hanging("workers:     none listens", 80, 13)) == ["workers:     none listens"]

    def test_the_rest_stands_to_the_right_and_no_word_is_broken(self) -> None:
        assert list(hanging("blocked by:  GatewayDown: no answer for a minute", 30, 13)) == [
            "blocked by:  GatewayDown: no",
            "             answer for a",
            "             minute",
        ]

    def test_a_command_is_whole_wherever_it_stands(self) -> None:
        told = "no worker runs; start one with 'fsmflow worker --queues slow', or not"
        assert list(hanging(told, 40, 2)) == [
            "no worker runs; start one with",
            "  'fsmflow worker --queues slow', or not",
        ]
        retry = "fsmflow retry --machine order --error 'a b c'"
        assert list(hanging("    mend it: ", 20, 6, retry)) == ["    mend it:", f"      {retry}"]
        assert list(hanging("    ", 20, 6, retry)) == [f"    {retry}"]

    @pytest.mark.parametrize("wide", range(20, 90))
    def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(self, wide: int) -> None:
        text = "    12 x order:charging  GatewayDown: 処理中 the gateway does not answer, for example order:7"
        found = list(hanging(text, wide, 6))
        assert " ".join(found).split() == text.split()
        places = [len(line) + sum(char in "処理中" for char in line) for line in found]
        assert max(places) <= wide


@pytest.mark.parametrize("command", [("failures",), ("explain", "order:1")])
def test_sentences_fit_a_terminal_and_are_one_line_each_for_other_programs(
    busy: Shop, command: tuple[str, ...]
) -> None:
    ours, theirs = pty.openpty()
    typed, environment = [sys.executable, *CLI, *command], {**busy.environment, "COLUMNS": "60"}
    subprocess.run(typed, cwd=busy.folder, env=environment, stdout=theirs, check=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode().splitlines()
    os.close(ours)
    piped = busy.ok(*command).splitlines()
    assert " ".join(shown).split() == " ".join(piped).split()
    assert len(shown) > len(piped)
    assert [line for line in shown if len(line) > 60 and not line.strip().startswith("fsmflow retry")] == []
