"""Where boxes stand and how arrows run: nothing lies over anything, with either layout, whatever the machine."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from fsmflow.diagram import place as place_module
from fsmflow.diagram.layers import Path, Point, Size, spread
from fsmflow.diagram.place import Graph, Link, Placed, place

LABEL = (60.0, 18.0)
#: What a line may touch of a box that it does not lead to.
SLACK = 1.0


@pytest.fixture(params=["graphlay", "layers"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "layers":
        monkeypatch.setattr(place_module, "_engine", None)
    else:
        pytest.importorskip("graphlay")


def graph(boxes: int, *ways: tuple[int, int]) -> Graph:
    sizes = [(90.0 + 30.0 * (number % 4), 40.0 + 15.0 * (number % 3)) for number in range(boxes)]
    return Graph(boxes=sizes, links=[Link(source=source, dest=dest, label=LABEL) for source, dest in ways])


def shapes(wanted: Graph, placed: Placed) -> list[tuple[Point, Size]]:
    labels = [(centre, LABEL) for centre in placed.labels if centre is not None]
    return [*zip(placed.boxes, wanted.boxes, strict=True), *labels]


def overlap(one: tuple[Point, Size], two: tuple[Point, Size]) -> bool:
    (x0, y0), (w0, h0) = one
    (x1, y1), (w1, h1) = two
    return abs(x0 - x1) < (w0 + w1) / 2 - SLACK and abs(y0 - y1) < (h0 + h1) / 2 - SLACK


def crosses(path: Path, shape: tuple[Point, Size]) -> bool:
    """Whether a line runs through a shape, beside its ends, which touch the shapes that it joins."""
    (x, y), (wide, high) = shape
    for (x0, y0), (x1, y1) in pairwise(path):
        for part in range(21):
            px, py = x0 + (x1 - x0) * part / 20, y0 + (y1 - y0) * part / 20
            if abs(px - x) < wide / 2 - SLACK and abs(py - y) < high / 2 - SLACK:
                return True
    return False


def meet(one: tuple[Point, Point], two: tuple[Point, Point]) -> bool:
    """Whether two pieces of lines cross."""

    def side(line: tuple[Point, Point], point: Point) -> float:
        (x0, y0), (x1, y1) = line
        return (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)

    return all(side(a, b[0]) * side(a, b[1]) < -SLACK for a, b in ((one, two), (two, one)))


CHAIN = graph(4, (0, 1), (1, 2), (2, 3))
LOOP = graph(3, (0, 1), (1, 2), (2, 1), (1, 0), (2, 0))
FAN = graph(9, *[(0, number) for number in range(1, 8)], *[(number, 8) for number in range(1, 8)])
LEAPS = graph(12, *[(number, number + 1) for number in range(11)], (0, 6), (2, 11), (10, 1), (7, 3), (0, 11), (11, 0))
TWINS = graph(2, (0, 1), (1, 0))


def anything(seed: int) -> Graph:
    chance = random.Random(seed)
    boxes = chance.randrange(3, 26)
    ways = {(chance.randrange(number), number) for number in range(1, boxes)}
    ways |= {(chance.randrange(boxes), chance.randrange(boxes)) for _ in range(boxes // 2)}
    return graph(boxes, *sorted((source, dest) for source, dest in ways if source != dest))


GRAPHS = [CHAIN, LOOP, FAN, LEAPS, TWINS, *map(anything, range(8))]


@pytest.mark.parametrize("wanted", GRAPHS)
class TestAny:
    def test_no_box_and_no_label_lies_over_another(self, wanted: Graph) -> None:
        found = shapes(wanted, place(wanted))
        assert [pair for pair in combinations(found, 2) if overlap(*pair)] == []

    def test_each_arrow_runs_from_its_box_to_its_box_past_its_label(self, wanted: Graph) -> None:
        placed = place(wanted)
        for link, label, (first, second) in zip(wanted.links, placed.labels, placed.paths, strict=True):
            assert label is not None
            for point, centre, size in (
                (first[0], placed.boxes[link.source], wanted.boxes[link.source]),
                (first[-1], label, LABEL),
                (second[0], label, LABEL),
                (second[-1], placed.boxes[link.dest], wanted.boxes[link.dest]),
            ):
                # On an edge of it: how far beyond that it is, to the side and up or down.
                beyond = [abs(at - middle) - length / 2 for at, middle, length in zip(point, centre, size, strict=True)]
                assert max(beyond) == pytest.approx(0.0, abs=SLACK)

    def test_the_same_is_placed_the_same(self, wanted: Graph) -> None:
        assert place(wanted) == place(wanted)


@pytest.mark.parametrize("engine", ["layers"], indirect=True)
@pytest.mark.parametrize("wanted", GRAPHS)
def test_no_line_of_our_own_layout_runs_through_a_box_or_a_label(wanted: Graph) -> None:
    placed = place(wanted)
    lines = [path for parts in placed.paths for path in parts]
    assert [line for line in lines for shape in shapes(wanted, placed) if crosses(line, shape)] == []


def test_a_chain_runs_straight_down() -> None:
    placed = place(CHAIN)
    assert len({round(x) for x, _ in [*placed.boxes, *(label for label in placed.labels if label)]}) == 1
    assert [y for _, y in placed.boxes] == sorted(y for _, y in placed.boxes)


def test_the_main_way_runs_straight_down_beside_others() -> None:
    placed = place(graph(5, (0, 1), (1, 2), (2, 3), (0, 4), (1, 4), (2, 4)))
    assert len({round(x) for x, _ in placed.boxes[:4]}) == 1


def test_what_passes_a_box_does_not_run_along_its_edge() -> None:
    """As if it began there: steps one below the other, each of which may fail into the same."""
    end, steps = (96.0, 42.0), [(124.8, 54.7), (139.0, 54.7), (141.3, 54.7)]
    sizes = [(14.0, 14.0), end, *steps, end, (216.6, 86.0), end]
    done, fail, undone = (37.3, 18.3), (28.4, 18.3), (51.9, 18.3)
    ways = [(0, 1, None), *[(at, at + 1, done) for at in range(1, 5)], *[(at, 6, fail) for at in (2, 3, 4)]]
    ways.append((6, 7, undone))
    wanted = Graph(boxes=sizes, links=[Link(source=source, dest=dest, label=label) for source, dest, label in ways])
    placed = place(wanted)
    wider = [(centre, (wide + 8.0, high)) for centre, (wide, high) in zip(placed.boxes, sizes, strict=True)]
    passed = [
        (link, number)
        for link, parts in zip(wanted.links, placed.paths, strict=True)
        for number, shape in enumerate(wider)
        if number not in (link.source, link.dest) and any(crosses(part, shape) for part in parts)
    ]
    assert passed == []


def test_what_passes_a_box_crosses_nothing_where_it_can_go_around() -> None:
    placed = place(graph(4, (0, 1), (0, 2), (1, 2), (1, 3)))
    parts = [pair for path in placed.paths for line in path for pair in pairwise(line)]
    assert [pair for pair in combinations(parts, 2) if meet(*pair)] == []


@pytest.mark.parametrize("wanted", [FAN, TWINS, LEAPS])
def test_arrows_stay_apart_at_their_box(wanted: Graph) -> None:
    placed = place(wanted)
    ends = [end for first, second in placed.paths for end in (first[0], second[-1])]
    near = [abs(one[0] - two[0]) for one, two in combinations(ends, 2) if abs(one[1] - two[1]) < SLACK]
    assert min(near) > 4.0


@pytest.mark.parametrize("engine", ["layers"], indirect=True)
def test_a_line_of_our_own_layout_runs_through_the_middle_of_what_is_written_at_it() -> None:
    placed = place(LEAPS)
    for label, (first, second) in zip(placed.labels, placed.paths, strict=True):
        assert label is not None
        assert first[-1][0] == second[0][0] == label[0]


def test_an_arrow_back_runs_up() -> None:
    placed = place(TWINS)
    there, back = placed.paths
    assert there[0][0][1] < there[-1][-1][1]
    assert back[0][0][1] > back[-1][-1][1]


def test_what_is_not_written_on_is_one_line() -> None:
    placed = place(Graph(boxes=[LABEL, LABEL], links=[Link(source=0, dest=1)]))
    assert placed.labels == [None]
    assert [len(parts) for parts in placed.paths] == [1]


def test_numbers_that_come_too_close_move_apart_together() -> None:
    assert spread([0, 0, 10], [4, 4], [1, 1, 1]) == [-2, 2, 10]
    assert spread([0, 0], [4], [3, 1]) == [-1, 3]
    assert spread([], [], []) == []
