"""``draw --as``: pictures of machines and of entities, and how many are where, as the command line prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import pytest

from fsmflow.engine.registry import Registry
from fsmflow.store.link import Link
from fsmflow.store.tables import ENTITY
from fsmflow.testing import Sandbox
from tests.cli.orders import Order, Shipment
from tests.support.terminal import Terminal
from tests.support.traces import failing

SPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsmflow.cli.draw.machines", lambda: Registry([Order, Shipment]))


def marked(shell: Terminal, *arguments: str) -> dict[str, str]:
    """How each text of a picture is styled."""
    root = ElementTree.fromstring(shell.ok("draw", *arguments, "--as", "svg"))
    return {line.text or "": line.get("class", "") for line in root.iter(f"{SPACE}text")}


def test_the_way_of_an_entity_is_marked(shell: Terminal, packing: Order) -> None:
    css = marked(shell, "order:1")
    assert css["order:1"] == "left head1"
    assert (css["go"], css["approve"]) == ("label taken", "label")
    assert "rests in failed_from_packing since" in " ".join(css)
    assert css["BranchesFailed"] == "left sub"


def test_a_branch_is_drawn_on_its_small_machine(shell: Terminal, packing: Order) -> None:
    css = marked(shell, "order:1/packing/2")
    assert css["failed_from_packing"] == "now"
    assert "charging" not in css


def test_a_child_is_drawn_and_counted_with_its_machine(shell: Terminal, box: Sandbox, packing: Order) -> None:
    failing.clear()
    packing.retry()
    box.run()
    packing.trigger("approve")
    box.run()
    assert "now" in marked(shell, "shipment:order:1/shipping/0")
    assert any(css == "note" for css in marked(shell, "shipment", "--counts").values())


def test_counts_tell_how_many_are_where_and_since_when_in_three_queries(
    shell: Terminal, packing: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    Order.start("2")
    asked: list[str] = []
    rows = Link.rows

    def noted(link: Link, sql: str, params: Sequence[Any] = ()) -> Any:
        asked.append(sql)
        return rows(link, sql, params)

    with monkeypatch.context() as patch:
        patch.setattr(Link, "rows", noted)
        css = marked(shell, "order", "--counts")
    assert [css[text] for text in css if "oldest" in text] == ["note", "note bad"]
    assert len([sql for sql in asked if ENTITY in sql]) == 3
    text = shell.ok("draw", "order", "--counts")
    assert 'state "failed_from_packing (1, oldest 0 s)" as failed_from_packing' in text
    found = shell.json("draw", "order", "--counts")
    assert {state["name"]: state["entities"] for state in found["states"] if state["entities"]} == {
        "new": 1,
        "failed_from_packing": 1,
    }


def test_json_is_the_same_by_both_options(shell: Terminal, packing: Order) -> None:
    assert shell.ok("draw", "order:1", "--json") == shell.ok("draw", "order:1", "--as", "json")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("order", "--as", "svg", "--json"), "--json is --as json"),
        (("order:1", "--counts"), "--counts is about a machine, and order:1 is one entity: fsmflow draw order"),
        (("order:1", "--as", "scxml"), "SCXML describes a machine"),
        (("order", "--as", "scxml", "--counts"), "SCXML describes a machine"),
        (("order", "--as", "png"), "'svg', 'mermaid', 'json', 'scxml'"),
    ],
)
def test_what_cannot_be_drawn_like_that_is_refused(
    shell: Terminal, packing: Order, arguments: tuple[str, ...], why: str
) -> None:
    assert why in shell.misused("draw", *arguments)
