"""The named points of the code are those that are documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fsmflow
from fsmflow import points
from fsmflow.points import POINTS

SOURCES = Path(fsmflow.__file__).parent


def test_every_point_that_is_passed_is_documented_and_the_other_way_round() -> None:
    passed = {
        name
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r"\bpoint\(\s*\"([a-z.]+)\"", path.read_text(encoding="utf-8"))
    }
    assert passed == set(POINTS)


def test_a_listener_is_told_the_name_and_what_it_is_about_until_it_is_dismissed() -> None:
    heard: list[tuple[str, str]] = []
    points.listen(lambda name, about: heard.append((name, about)))
    try:
        points.point("claim.before", 17)
        points.point("claim.after", "order:1")
    finally:
        points.listen(None)
    points.point("claim.after", "order:2")
    assert heard == [("claim.before", "#17"), ("claim.after", "order:1")]


def test_what_a_listener_raises_reaches_the_code_that_passes_the_point() -> None:
    def refuse(name: str, about: str) -> None:
        raise KeyboardInterrupt

    points.listen(refuse)
    try:
        with pytest.raises(KeyboardInterrupt):
            points.point("claim.before", 1)
    finally:
        points.listen(None)
