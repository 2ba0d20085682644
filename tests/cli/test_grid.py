"""Tables on a terminal: they fit, whole where they can, and no text is lost."""

from __future__ import annotations

from collections.abc import Sequence

import click
import pytest

from fsmflow.cli.grid import grid

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


def test_names_are_broken_at_last() -> None:
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
