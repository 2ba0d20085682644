"""A sparkline: how a number has gone, as a small SVG. How it looks is said by the style of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsmflow import clock
from fsmflow.diagram.markup import escaped, number

_WIDE: Final = 120.0
_HIGH: Final = 24.0
#: So that the line and the point at its end are not cut.
_EDGE: Final = 3.0


def sparkline(line: Sequence[tuple[int, int]], name: str) -> str:
    """The line through these moments and numbers, or nothing where there are none. A number stays what it was until the
    next look. ``name``: of what it tells, for whoever hears it."""
    if not line:
        return ""
    (began, _), (now, last) = line[0], line[-1]
    least, most = min(count for _, count in line), max(count for _, count in line)
    points: list[str] = []
    for moment, count in line:
        x = _EDGE + (_WIDE - 2 * _EDGE) * (moment - began) / max(1, now - began)
        y = _HIGH - _EDGE - (_HIGH - 2 * _EDGE) * (count - least) / max(1, most - least)
        if points:
            points.append(f"{number(x)},{points[-1].partition(',')[2]}")
        points.append(f"{number(x)},{number(y)}")
    end_x, _, end_y = points[-1].partition(",")
    heard = f"{name}: {line[0][1]:,} {clock.short(now - began)} ago, {last:,} now; {least:,} at least, {most:,} at most"
    return (
        f'<svg class="spark" role="img" width="{number(_WIDE)}" height="{number(_HIGH)}" '
        f'viewBox="0 0 {number(_WIDE)} {number(_HIGH)}" aria-label="{escaped(heard)}"><title>{escaped(heard)}</title>'
        f'<polyline points="{" ".join(points)}"/><circle cx="{end_x}" cy="{end_y}" r="2.5"/></svg>'
    )
