"""How the parts of a picture look, in light and in dark. The style stands in the picture, and is about nothing else."""

from __future__ import annotations

from typing import Final

_FORM: Final = """
.fsmflow{direction:ltr;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.fsmflow text{text-anchor:middle;unicode-bidi:isolate;white-space:pre}
.fsmflow .left{text-anchor:start}
.fsmflow .name,.fsmflow .now,.fsmflow .note,.fsmflow text.taken,.fsmflow .head1{font-weight:600}
.fsmflow .line{fill:none;stroke-width:1.5}
.fsmflow .line.taken{stroke-width:3}
.fsmflow .line.made{stroke-dasharray:4 4}
.fsmflow .box rect{stroke-width:1.3}
.fsmflow .made rect{stroke-dasharray:5 4}
.fsmflow .visited rect{stroke-width:2}
.fsmflow .here rect,.fsmflow .stuck rect{stroke-width:3}
.fsmflow .here .pill,.fsmflow .stuck .pill{stroke:none}
.fsmflow .bar{stroke-width:4;stroke-linecap:round}
"""
#: What is coloured, by which property, in light and in dark.
_COLOURS: Final = (
    (".page", "fill", "#ffffff", "#12181f"),
    (".page", "stroke", "#d8dfe6", "#2b3642"),
    ("text", "fill", "#1c2733", "#e8eef4"),
    (".mark,.inner,.sub,.made .name,.label.made", "fill", "#586674", "#a3b1be"),
    (".line", "stroke", "#7d8b99", "#8190a0"),
    (".head,.start", "fill", "#66737f", "#93a2b1"),
    (".box rect", "fill", "#f4f7fa", "#1c2630"),
    (".box rect", "stroke", "#8494a4", "#5d7083"),
    (".bar", "stroke", "#2f6feb", "#6ea8fe"),
    (".visited rect", "fill", "#e6f0ff", "#16304f"),
    (".visited rect,.line.taken", "stroke", "#1f5fd6", "#6ea8fe"),
    (".head.taken,text.taken", "fill", "#1a52bd", "#8dbbff"),
    (".here rect", "fill", "#fff1c2", "#44360a"),
    (".here rect", "stroke", "#b86e00", "#f0b429"),
    (".stuck rect", "fill", "#ffe5e3", "#4a1a1c"),
    (".stuck rect", "stroke", "#c62828", "#ff7b72"),
    (".here .pill", "fill", "#935800", "#f0b429"),
    (".stuck .pill", "fill", "#c62828", "#ff7b72"),
    (".now", "fill", "#ffffff", "#12181f"),
    (".note", "fill", "#0b6b3a", "#66d19e"),
    (".note.bad", "fill", "#b3261e", "#ff8f87"),
    (".note.late", "fill", "#8a4b00", "#f2b33d"),
)


def _rules(colour: int) -> str:
    return "".join(
        f"{','.join(f'.fsmflow {part}' for part in which.split(','))}{{{rule[0]}:{rule[colour]}}}\n"
        for which, *rule in _COLOURS
    )


STYLE: Final = f"{_FORM}{_rules(1)}@media (prefers-color-scheme:dark){{\n{_rules(2)}}}\n"
