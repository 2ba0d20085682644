"""Where each box of a picture stands, and how each arrow runs: the one function that knows who lays it out.

The package ``graphlay`` (the extra ``draw``) does that well and quickly, without a program beside it. Where it is not
installed, as on a platform without a wheel of it, ``layers`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from fsmflow.diagram import layers
from fsmflow.diagram.layers import Edge, Path, Point, Size
from fsmflow.values import dataclass

#: The engine of graphlay, where that is installed.
_engine: Callable[..., Any] | None
try:
    import graphlay
except ImportError:
    _engine = None
else:
    _engine = graphlay.layout

_OPTIONS: Final = {
    "direction": "topbottom",
    "spacing": {"layer_gap": 30.0, "node_gap": 30.0, "dummy_gap": 20.0, "port_gap": 20.0, "stub": 12.0},
    # No bend is taken out of a line that would run along the edge of a box then, as if it left that one.
    "tuning": {"routing": {"step_flatten": 10.0}},
}


@dataclass(frozen=True, kw_only=True)
class Link:
    """An arrow from one box to another, by their numbers, and how large what is written at it is: None for nothing."""

    source: int
    dest: int
    label: Size | None = None


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Boxes of these sizes, the one in which all begins first, and the arrows between them; none leads to its own
    box."""

    boxes: Sequence[Size]
    links: Sequence[Link]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """The centres of boxes, and of what is written at arrows (None where that is nothing); of each arrow the line from
    box to box, in the direction of the arrow, in one part, or in two where it is written on."""

    boxes: Sequence[Point]
    labels: Sequence[Point | None]
    paths: Sequence[Sequence[Path]]


def place(graph: Graph) -> Placed:
    """Lay a graph out from top to bottom. The same graph is always laid out the same.

    What is written at an arrow has a place of its own in that arrow, as if it were a box: so nothing lies over it.
    """
    back = _back(graph)
    sizes, parts = list(graph.boxes), []
    edges: list[Edge] = []
    for link, is_back in zip(graph.links, back, strict=True):
        ends = [link.dest, link.source] if is_back else [link.source, link.dest]
        if link.label is not None:
            ends.insert(1, len(sizes))
            sizes.append(link.label)
        parts.append(range(len(edges), len(edges) + len(ends) - 1))
        edges += pairwise(ends)
    if _engine is None:
        centres, lines = layers.layered(sizes, edges, labels=len(sizes) - len(graph.boxes))
    else:
        centres, lines = _laid_out(_engine, sizes, edges)
    rest = iter(centres[len(graph.boxes) :])
    return Placed(
        boxes=centres[: len(graph.boxes)],
        labels=[None if link.label is None else next(rest) for link in graph.links],
        paths=[
            [lines[part][::-1] for part in reversed(own)] if is_back else [lines[part] for part in own]
            for own, is_back in zip(parts, back, strict=True)
        ],
    )


def _back(graph: Graph) -> list[bool]:
    """Which arrows lead back to where somebody following them has come from: all others run downwards."""
    ways: list[list[int]] = [[] for _ in graph.boxes]
    for number, link in enumerate(graph.links):
        ways[link.source].append(number)
    found, on_the_way, done = [False] * len(graph.links), set[int](), set[int]()
    for start in range(len(graph.boxes)):
        open_ = [(start, iter(ways[start]))] if start not in done else []
        on_the_way |= {box for box, _ in open_}
        while open_:
            box, left = open_[-1]
            number = next(left, -1)
            if number < 0:
                open_.pop()
                on_the_way.discard(box)
                done.add(box)
                continue
            dest = graph.links[number].dest
            found[number] = dest in on_the_way
            if dest not in on_the_way and dest not in done:
                on_the_way.add(dest)
                open_.append((dest, iter(ways[dest])))
    return found


def _laid_out(
    engine: Callable[..., Any], sizes: Sequence[Size], edges: Sequence[Edge]
) -> tuple[list[Point], list[Path]]:
    nodes = [{"size": {"width": width, "height": height}, "shape": "box"} for width, height in sizes]
    joined = [{"source": source, "target": dest, "weight": 1.0} for source, dest in edges]
    found = engine({"nodes": nodes, "edges": joined}, preset="process_map", options=_OPTIONS)
    centres = [(node["center"]["x"], node["center"]["y"]) for node in found.nodes]
    return centres, [[(point["x"], point["y"]) for point in edge["points"]] for edge in found.edges]
