"""Lines from box to box, and their heads."""

from __future__ import annotations

from typing import Final

from fsmflow.diagram.layers import Path, Point
from fsmflow.diagram.markup import number

_ROUND: Final = 8.0


def headed(css: str, path: Path) -> str:
    """A line that ends in an arrow's head."""
    (x0, y0), (x, y) = path[-2:]
    upright = abs(y - y0) > 0.05
    dx, dy = (0.0, 1.0 if y > y0 else -1.0) if upright else (1.0 if x > x0 else -1.0, 0.0)
    neck = (x - 6.0 * dx, y - 6.0 * dy)
    base = [(x - 9.0 * dx - 4.5 * dy, y - 9.0 * dy - 4.5 * dx), (x - 9.0 * dx + 4.5 * dy, y - 9.0 * dy + 4.5 * dx)]
    head = "".join(f"L{number(a)} {number(b)}" for a, b in base)
    name = css.replace("line", "head")
    line = f'<path class="{css}" d="{course([*path[:-1], neck])}"/>'
    return f'{line}<path class="{name}" d="M{number(x)} {number(y)}{head}Z"/>'


def course(path: Path) -> str:
    """A line with round corners; what runs aslant from row to row swings."""
    first, *rest = path
    found, at = [f"M{_at(first)}"], first
    for step, (x, y) in enumerate(rest):
        if abs(x - at[0]) > 0.05 and abs(y - at[1]) > 0.05:
            middle = (at[1] + y) / 2
            found.append(f"C{number(at[0])} {number(middle)} {number(x)} {number(middle)} {number(x)} {number(y)}")
            at = (x, y)
            continue
        after = rest[step + 1] if step + 1 < len(rest) else None
        at = _turned(found, at, (x, y), after)
    return "".join(found)


def _turned(found: list[str], at: Point, corner: Point, after: Point | None) -> Point:
    """Go to a corner, and around it where the line turns there by a right angle."""
    if after is None or not _is_right_angle(at, corner, after):
        found.append(f"L{_at(corner)}")
        return corner
    room = min(_ROUND, _length(at, corner) / 2, _length(corner, after) / 2)
    begin, end = _towards(corner, at, room), _towards(corner, after, room)
    found.append(f"L{_at(begin)}Q{_at(corner)} {_at(end)}")
    return end


def _is_right_angle(one: Point, corner: Point, two: Point) -> bool:
    level = [abs(point[1] - corner[1]) < 0.05 for point in (one, two)]
    upright = [abs(point[0] - corner[0]) < 0.05 for point in (one, two)]
    return (level[0] and upright[1]) or (upright[0] and level[1])


def _length(one: Point, two: Point) -> float:
    return abs(one[0] - two[0]) + abs(one[1] - two[1])


def _towards(point: Point, other: Point, by: float) -> Point:
    part = by / (_length(point, other) or 1.0)
    return point[0] + (other[0] - point[0]) * part, point[1] + (other[1] - point[1]) * part


def _at(point: Point) -> str:
    return f"{number(point[0])} {number(point[1])}"
