"""A machine as an SVG: text that a screen reader reads, in dark and in light, without a script or another file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from fsmflow.definition.names import FAIL, FINISHED, RETRY, WORKING, failed_from
from fsmflow.diagram.account import described
from fsmflow.diagram.chart import Arrow, Box, Chart, Way
from fsmflow.diagram.colours import STYLE
from fsmflow.diagram.layers import Point, Size
from fsmflow.diagram.letters import Line, wrapped
from fsmflow.diagram.markup import ascii_only, escaped, group, identity, linked, number, rect, text_of, titled
from fsmflow.diagram.place import Graph, Link, Placed, place
from fsmflow.diagram.strokes import course, headed
from fsmflow.values import dataclass

_TITLE: Final = 14.0
_SMALL: Final = 11.5
_LABEL: Final = 12.0
_HEAD: Final = 17.0
_PAD_X: Final = 16.0
_PAD_Y: Final = 10.0
_MARGIN: Final = 24.0
_DOT: Final = (14.0, 14.0)
#: How much wider than its text is what says where an entity is, and how far below the name it stands.
_PILL: Final = 14.0
_LOWER: Final = 1.5
#: How much room each arrow has at its box.
_APART: Final = 10.0
#: How often something was taken; what does not leave its box.
_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_BACK: Final = "\N{CLOCKWISE OPEN CIRCLE ARROW} "
_NARROWEST: Final = 300.0
_BOX_TEXT: Final = 230.0
_LABEL_TEXT: Final = 190.0


def svg(chart: Chart, *, styled: bool = True, titled: bool = True) -> str:
    """The whole picture; ``styled``: its style is in it, and need not be in the page around it. ``titled``: so is what
    it is of, and where an entity is, which a page may say around it. The same chart gives the same text. It is ASCII:
    other characters are references, so that it can be written wherever text can.

    What a machine holds of odd texts (guards, roles, ids may be anything) is text in it, never markup. Long texts are
    cut where they are drawn, and are whole in the title of what they belong to, which a pointer shows.
    """
    texts = [_box_lines(box) for box in chart.boxes]
    labels = [list(_label_lines(arrow)) for arrow in chart.arrows]
    boxes = [_box_size(lines, ends) for lines, ends in zip(texts, _ends(chart), strict=True)]
    placed = place(_graph(chart, boxes, labels))
    body = [*_arrows(chart, placed), _dot(placed.boxes[0])]
    drawn = zip(chart.boxes, texts, placed.boxes[1:], boxes, strict=True)
    body += [_box(box, lines, centre, size) for box, lines, centre, size in drawn]
    labelled = zip(chart.arrows, labels, placed.labels[1:], strict=True)
    body += [_label(arrow, lines, centre) for arrow, lines, centre in labelled if centre is not None]
    sizes = [_DOT, *boxes, *map(_label_size, labels)]
    return ascii_only(_page(chart, _Extent.of(placed, sizes), body, styled=styled, titled=titled))


def _ends(chart: Chart) -> list[int]:
    """How many arrows each box has."""
    found = Counter(key for arrow in chart.arrows for key in (arrow.source, arrow.dest))
    return [found[box.key] for box in chart.boxes]


def _graph(chart: Chart, boxes: list[Size], labels: list[list[Line]]) -> Graph:
    numbers = {box.key: number for number, box in enumerate(chart.boxes, 1)}
    links = [Link(source=0, dest=1)]
    for arrow, lines in zip(chart.arrows, labels, strict=True):
        links.append(Link(source=numbers[arrow.source], dest=numbers[arrow.dest], label=_label_size(lines)))
    return Graph(boxes=[_DOT, *boxes], links=links)


def _box_lines(box: Box) -> list[Line]:
    title = wrapped(box.title, _TITLE, _BOX_TEXT, lines=3, bold=True)
    found = [Line(text, _TITLE, "name", True) for text in title]
    if box.now:
        found += [Line(text, _SMALL, "now", True) for text in wrapped(box.now, _SMALL, 200, lines=2)]
    for text in box.lines:
        found += [Line(part, _SMALL, "mark") for part in wrapped(text, _SMALL, _BOX_TEXT, lines=2)]
    for way in box.inner:
        css = "inner taken" if way.taken else "inner"
        texts = wrapped(_BACK + _counted(way), _SMALL, _BOX_TEXT, lines=2)
        found += [Line(part, _SMALL, css, way.taken > 0) for part in texts]
    for note in box.notes:
        css = "note bad" if note.is_bad else "note late" if note.is_late else "note"
        found += [Line(text, _SMALL, css, True, note.href) for text in wrapped(note.text, _SMALL, 230, lines=2)]
    return found


def _label_lines(arrow: Arrow) -> Iterator[Line]:
    for way in arrow.ways:
        css = "label taken" if way.taken else "label made" if way.generated else "label"
        for text in wrapped(_counted(way), _LABEL, _LABEL_TEXT, lines=4, bold=way.taken > 0):
            yield Line(text, _LABEL, css, way.taken > 0)


def _counted(way: Way) -> str:
    return f"{way.text} {_TIMES}{way.taken:,}" if way.taken > 1 else way.text


def _box_size(lines: list[Line], ends: int) -> Size:
    wide, high = _size(lines)
    return max(wide + 2 * _PAD_X, 96.0, 28.0 + ends * _APART), max(high + 2 * _PAD_Y, 42.0)


def _label_size(lines: list[Line]) -> Size:
    wide, high = _size(lines)
    return wide + 8.0, high + 2.0


def _size(lines: list[Line]) -> Size:
    return max(map(_width, lines)), sum(line.height for line in lines)


def _width(line: Line) -> float:
    return line.width + (_PILL if line.css == "now" else 0.0)


def _box(box: Box, lines: list[Line], centre: Point, size: Size) -> str:
    wide, high = size
    found = [*(["made"] if box.generated else []), *(["visited"] if box.visited else [])]
    found += ["stuck" if box.has_failed else "here"] if box.now else []
    told = titled(". ".join([box.title, *box.lines, *(way.text for way in box.inner)]))
    looks = " ".join(found)
    frame = _frame(box, looks, centre[0] - wide / 2, centre[1] - high / 2, size, told)
    if box.href:
        frame = linked(box.href, [frame], box.title)
    return group(f"state {looks}".rstrip(), [frame, *_texts(lines, centre)])


def _frame(box: Box, looks: str, left: float, top: float, size: Size, told: str = "") -> str:
    wide, high = size
    small = min(1.0, high / 42.0)
    parts = [told, rect(left, top, wide, high, 9.0 * small)]
    if box.kind == FINISHED:
        by = max(2.5, 3.5 * small)
        parts.append(rect(left + by, top + by, wide - 2 * by, high - 2 * by, 6.0 * small))
    if box.kind == WORKING:
        bar = f"M{number(left + 7.0 * small)} {number(top + 8.0 * small)}v{number(high - 16.0 * small)}"
        parts.append(f'<path class="bar" d="{bar}"/>')
    return group(f"box {box.kind} {looks}".rstrip(), parts)


def _label(arrow: Arrow, lines: list[Line], centre: Point) -> str:
    return group("at", [titled("; ".join(way.text for way in arrow.ways)), *_texts(lines, centre)])


def _texts(lines: list[Line], centre: Point) -> Iterator[str]:
    """Lines below each other, around a centre."""
    y = centre[1] - _size(lines)[1] / 2
    for line in lines:
        if line.css == "now":
            wide = _width(line)
            yield rect(centre[0] - wide / 2, y + _LOWER, wide, line.height, line.height / 2, css="pill")
        yield text_of(line, centre[0], y + line.height * 0.76 + (_LOWER if line.css == "now" else 0.0))
        y += line.height


def _arrows(chart: Chart, placed: Placed) -> Iterator[str]:
    """Those that were taken last, so that they lie above others."""
    found = [("line", placed.paths[0])]
    for arrow, parts in zip(chart.arrows, placed.paths[1:], strict=True):
        css = "line taken" if arrow.is_taken else "line made" if arrow.is_generated else "line"
        found.append((css, parts))
    for css, parts in sorted(found, key=lambda item: "taken" in item[0]):
        for part in parts[:-1]:
            yield f'<path class="{css}" d="{course(part)}"/>'
        yield headed(css, parts[-1])


def _dot(centre: Point) -> str:
    return f'<circle class="start" cx="{number(centre[0])}" cy="{number(centre[1])}" r="6"/>'


@dataclass(frozen=True, kw_only=True)
class _Extent:
    """How far a drawing reaches."""

    left: float
    top: float
    wide: float
    high: float

    @classmethod
    def of(cls, placed: Placed, sizes: list[Size]) -> _Extent:
        points = [point for parts in placed.paths for part in parts for point in part]
        centres = [*placed.boxes, *(centre for centre in placed.labels if centre is not None)]
        for (x, y), (wide, high) in zip(centres, sizes, strict=True):
            points += [(x - wide / 2, y - high / 2), (x + wide / 2, y + high / 2)]
        left, top = min(x for x, _ in points), min(y for _, y in points)
        return cls(left=left, top=top, wide=max(x for x, _ in points) - left, high=max(y for _, y in points) - top)


def _page(chart: Chart, extent: _Extent, body: list[str], *, styled: bool, titled: bool) -> str:
    """The drawing with its heading above it, and below it what its looks mean."""
    wide = max(extent.wide, _NARROWEST)
    heading, y = _heading(chart, wide, titled=titled)
    x = _MARGIN + (wide - extent.wide) / 2 - extent.left
    legend, bottom = _legend(chart, wide, y + extent.high + 18.0)
    name = identity(chart.title)
    whole, high = number(wide + 2 * _MARGIN), number(bottom + _MARGIN - 8.0)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="fsmflow" role="{_role(chart)}" lang="en" width="{whole}" '
            f'height="{high}" viewBox="0 0 {whole} {high}" aria-labelledby="{name}-title {name}-desc">',
            f'<title id="{name}-title">{escaped(chart.title)}</title>',
            f'<desc id="{name}-desc">{escaped(described(chart))}</desc>',
            *([f"<style>{STYLE}</style>"] if styled else []),
            rect(0.5, 0.5, wide + 2 * _MARGIN - 1.0, bottom + _MARGIN - 9.0, 12.0, css="page"),
            *heading,
            f'<g transform="translate({number(x)} {number(y - extent.top)})">',
            *body,
            "</g>",
            *legend,
            "</svg>\n",
        ]
    )


def _role(chart: Chart) -> str:
    """A picture is one thing to whoever hears it, unless parts of it lead somewhere."""
    return "group" if any(box.href for box in chart.boxes) else "img"


def _heading(chart: Chart, wide: float, *, titled: bool) -> tuple[list[str], float]:
    """The title and what is below it; where the drawing begins."""
    title = wrapped(chart.title, _HEAD, wide, lines=2, bold=True) if titled else []
    lines = [Line(text, _HEAD, "left head1", True) for text in title]
    for told in chart.subtitle if titled or chart.journey is None else ():
        lines += [Line(text, 12.5, "left sub") for text in wrapped(told, 12.5, wide, lines=3)]
    found, y = [], _MARGIN - 6.0
    for line in lines:
        y += line.height
        found.append(text_of(line, _MARGIN, y))
    return found, y + 18.0


def _legend(chart: Chart, wide: float, y: float) -> tuple[list[str], float]:
    """What the looks of boxes and arrows mean: of those alone that there are. And where it ends."""
    found, x, y = [], _MARGIN, y + 12.0
    for css, told in _looks(chart):
        line = Line(told, 11.0, "left sub")
        beside = 32.0 if css else 0.0
        if x > _MARGIN and x + beside + 2.0 + line.width > _MARGIN + wide:
            x, y = _MARGIN, y + 20.0
        found += [*([_sample(css, x, y - 4.0)] if css else []), text_of(line, x + beside, y)]
        x += beside + line.width + 18.0
    return found, y


def _looks(chart: Chart) -> Iterator[tuple[str, str]]:
    """How something looks, or nothing where it is a text, and what it means."""
    kinds = {box.kind for box in chart.boxes}
    if "working" in kinds:
        yield "working", "runs a job"
    if "waiting" in kinds:
        yield "waiting", "waits"
    if "finished" in kinds:
        yield "finished", "the end"
    if any(arrow.is_generated and not arrow.is_taken for arrow in chart.arrows):
        yield "line made", "made by fsmflow"
    if chart.journey is not None:
        yield "line taken", "the way it came"
    if chart.can_fail:
        yield "", f"{_BACK}{FAIL} leads to {failed_from('X')}, {RETRY} back"
    if any(not way.generated for box in chart.boxes for way in box.inner):
        yield "", f"{_BACK}stays in its state"


def _sample(css: str, x: float, y: float) -> str:
    if "line" in css:
        return f'<path class="{css}" d="M{number(x)} {number(y)}h26"/>'
    box = Box(key="", title="", kind=css, generated=False)
    return _frame(box, "", x, y - 8.0, (26.0, 16.0))
