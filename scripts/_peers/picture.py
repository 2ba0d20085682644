"""Findings as a picture: bars with their spread, as SVG that follows light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from _peers.lines import Findings, Line, spread
from _peers.table import machine

#: In pixels: of the whole, of what is left of the bars and right of them, around all of it; of a line, a bar, a title.
_WIDTH, _LEFT, _RIGHT, _MARGIN = 860, 270, 190, 20
_ROW, _BAR, _TITLE = 26, 14, 46
#: What is drawn: a section, a figure, a title, how a value is written, and whether more is better.
_PANELS: Final = (
    ("chains", "steps_per_s", "Steps a second: chains of steps that do nothing", ",.0f", True),
    ("chains", "cpu_ms", "Processor time of the workers for a step, in ms", ".2f", False),
    ("latency", "p50_ms", "From the call to the first line of the job, p50 in ms", ".2f", False),
)
_LEGEND: Final = {"ours": "fsmflow", "lasting": "keeps outcomes, or where a chain stands", "other": "keeps neither"}
#: What such systems keep.
_LASTING: Final = ("each outcome", "the last step")
_STYLE: Final = """
.ground { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, sans-serif }
.title { font-weight: 600; font-size: 15px } .note, .spread { fill: #59636e } .note { font-size: 11px }
.ours { fill: #2f6fd6 } .lasting { fill: #7d8b99 } .other { fill: #cdd5dd }
.whisker { stroke: #1f2328; stroke-width: 1.5 } .axis { stroke: #c8d0d9 }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117 } text { fill: #e6edf3 } .note, .spread { fill: #9aa5b1 }
.ours { fill: #5b9bff } .lasting { fill: #7d8b99 } .other { fill: #39424d }
.whisker { stroke: #e6edf3 } .axis { stroke: #3d4650 }
}
"""


def draw(findings: Findings) -> str:
    """The whole picture; without panels where nothing of theirs was measured."""
    parts: list[str] = []
    top = float(_MARGIN + 10)
    if findings.of("chains"):
        parts += _legend(top)
        top += _MARGIN
    for section, figure, title, form, more in _PANELS:
        lines = [line for line in findings.of(section) if figure in line.figures]
        if lines:
            ordered = sorted(lines, key=lambda line: spread(line.figures[figure])["median"], reverse=more)
            parts += _panel(ordered, figure, title, form, top)
            top += _TITLE + _ROW * len(lines) + _MARGIN
    notes = list(_wrapped(machine(findings), 135))
    for note in notes:
        top += 15
        parts.append(f'<text class="note" x="{_MARGIN}" y="{top:.0f}">{escape(note)}</text>')
    height = top + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="fsmflow beside other systems"><style>{_STYLE}</style>'
        f'<rect class="ground" width="{_WIDTH}" height="{height:.0f}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(lines: Sequence[Line], figure: str, title: str, form: str, top: float) -> Iterator[str]:
    spreads = [spread(line.figures[figure]) for line in lines]
    scale = (_WIDTH - _LEFT - _RIGHT) / max(found["most"] for found in spreads)
    yield f'<text class="title" x="{_MARGIN}" y="{top + 20:.0f}">{escape(title)}</text>'
    first = top + _TITLE - 10
    yield f'<line class="axis" x1="{_LEFT}" x2="{_LEFT}" y1="{first:.0f}" y2="{first + _ROW * len(lines):.0f}"/>'
    for number, (line, found) in enumerate(zip(lines, spreads, strict=True)):
        middle = first + _ROW * (number + 0.5)
        kind = _kind(line)
        width = found["median"] * scale
        yield f'<text x="{_LEFT - 10}" y="{middle + 4.5:.1f}" text-anchor="end">{escape(line.label)}</text>'
        yield f'<path class="{kind}" d="{_bar(_LEFT, middle - _BAR / 2, width)}"/>'
        least, most = _LEFT + found["least"] * scale, _LEFT + found["most"] * scale
        if most - least > 1:
            ends = "".join(f"M{end:.1f} {middle - 4:.1f}v8" for end in (least, most))
            yield f'<path class="whisker" d="M{least:.1f} {middle:.1f}H{most:.1f}{ends}"/>'
        told = {name: format(value, form) for name, value in found.items()}
        apart = f' <tspan class="spread">({told["least"]} to {told["most"]})</tspan>' if most > least else ""
        yield f'<text x="{max(most, _LEFT + width) + 8:.1f}" y="{middle + 4.5:.1f}">{told["median"]}{apart}</text>'


def _kind(line: Line) -> str:
    if line.label.startswith("fsmflow"):
        return "ours"
    return "lasting" if line.keeps.startswith(_LASTING) else "other"


def _legend(top: float) -> Iterator[str]:
    left = float(_MARGIN)
    for kind, told in _LEGEND.items():
        yield f'<rect class="{kind}" x="{left:.0f}" y="{top - 10:.0f}" width="12" height="12" rx="2"/>'
        yield f'<text class="note" x="{left + 18:.0f}" y="{top:.0f}">{told}</text>'
        left += 40 + 6 * len(told)


def _bar(left: float, top: float, width: float) -> str:
    """A bar whose end is round, and whose beginning stands on the axis."""
    round_px = min(4.0, width / 2)
    corner = f"a{round_px} {round_px} 0 0 1"
    return (
        f"M{left} {top:.1f}h{width - round_px:.1f}{corner} {round_px} {round_px}"
        f"v{_BAR - 2 * round_px:.1f}{corner} -{round_px} {round_px}h-{width - round_px:.1f}z"
    )


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Its words in lines of at most this length."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line
