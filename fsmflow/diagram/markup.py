"""The few elements of SVG that a picture is made of, as text. Whatever is handed in as text is text in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape

from fsmflow.diagram.letters import Line

#: What is whole in a title: more would be read by nobody, and heard by no one to its end.
_MOST: Final = 20_000


def escaped(text: str) -> str:
    """Text in an element, or between double quotes."""
    return escape(text, {'"': "&quot;"})


def ascii_only(text: str) -> str:
    """XML without a character that some encoding does not have: as references."""
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def identity(title: str) -> str:
    """An id for a picture: pages may hold several, in which each id is to be one of its own."""
    return f"fsmflow-{hashlib.sha256(title.encode()).hexdigest()[:8]}"


def number(value: float) -> str:
    """A length as SVG has it, to a tenth."""
    # No -0.
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def group(css: str, parts: Iterable[str]) -> str:
    """What belongs together."""
    return f'<g class="{css}">{"".join(parts)}</g>'


def titled(text: str) -> str:
    """What a pointer shows of a group."""
    return f"<title>{escaped(text[:_MOST])}</title>"


def rect(left: float, top: float, wide: float, high: float, corner: float, *, css: str = "") -> str:
    """A box with round corners."""
    look = f' class="{css}"' if css else ""
    place = f'x="{number(left)}" y="{number(top)}" width="{number(wide)}" height="{number(high)}"'
    return f'<rect{look} {place} rx="{number(corner)}"/>'


def text_of(line: Line, x: float, y: float) -> str:
    """A line of text; ``y`` is that of its foot."""
    look = f'class="{line.css}" font-size="{number(line.size)}"'
    found = f'<text {look} x="{number(x)}" y="{number(y)}">{escaped(line.text)}</text>'
    return linked(line.href, [found]) if line.href else found


def linked(href: str, parts: Iterable[str], told: str = "") -> str:
    """Parts that lead somewhere. ``told``: what a screen reader calls it, where the parts do not say."""
    name = f' aria-label="{escaped(told)}"' if told else ""
    return f'<a href="{escaped(href)}"{name}>{"".join(parts)}</a>'
