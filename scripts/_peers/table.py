"""Findings for people: as tables in a terminal, and as a block of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import Final

from _peers.lines import TABLES, Findings, Line, spread

BEGIN: Final = "<!-- figures: python scripts/bench.py --markdown writes all up to the next mark -->"
END: Final = "<!-- end of figures -->"
#: What is measured takes no more than so much of all cores.
_BUSY: Final = 1.2
#: How long a line of a page may be, but for those of tables.
_LINE: Final = 120


def text(findings: Findings) -> str:
    """Tables with columns as wide as they have to be."""
    return "\n".join(_text(findings)) + "\n"


def _text(findings: Findings) -> Iterator[str]:
    yield machine(findings)
    for title, head, rows in _tables(findings):
        yield from ("", title)
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        for row in [head, *rows]:
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            yield "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()
    yield from ("", *_remarks(findings)) if _remarks(findings) else ()


def markdown(findings: Findings) -> str:
    """The block of a page, from its first mark to its last."""
    parts = [BEGIN, fill(f"{machine(findings)}.", _LINE)]
    for title, head, rows in _tables(findings):
        table = [head, ["---"] * len(head), *rows]
        parts += [f"**{title}**", "\n".join(f"| {' | '.join(row)} |" for row in table)]
    if remarks := _remarks(findings):
        parts.append("\n".join(fill(f"- {remark}.", _LINE, subsequent_indent="  ") for remark in remarks))
    return "\n\n".join([*parts, END])


def put(page: Path, block: str) -> None:
    """Put the block in the place of that which the page has. Raises SystemExit where it has none."""
    before = page.read_text(encoding="utf-8")
    marked = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if not marked.search(before):
        raise SystemExit(f"{page} has no block of figures: it begins with {BEGIN} and ends with {END}")
    page.write_text(marked.sub(lambda _: block, before), encoding="utf-8")


def machine(findings: Findings) -> str:
    """Where it was measured, and when."""
    told = findings.machine
    commits = ", ".join(f"{kind} {value:.2f} ms" for kind, value in told.get("commit_ms", {}).items())
    busy = " (the machine was busy with other things)" if told["load"] > told["cores"] * _BUSY else ""
    rounds = "one round" if told["rounds"] == 1 else f"{told['rounds']} rounds"
    return (
        f"{told['date']}, {rounds}, {told['cores']} cores, load up to {told['load']:.1f}{busy}; "
        + ", ".join(("Python " + told["python"], *told["versions"]))
        + (f"; one commit of one row takes {commits}" if commits else "")
    )


def _tables(findings: Findings) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    for section, title, columns in TABLES:
        lines = [line for line in findings.of(section) if columns.keys() & line.figures.keys()]
        there = [name for name in columns if any(name in line.figures for line in lines)]
        if not there:
            continue
        keeps = "ratio" in there
        head = ["", *(columns[name][0] for name in there), *(["keeps"] if keeps else [])]
        rows = [[line.label, *_cells(line, there, columns), *([line.keeps] if keeps else [])] for line in lines]
        yield title, head, rows


def _cells(line: Line, names: Sequence[str], columns: dict[str, tuple[str, str]]) -> Iterator[str]:
    for name in names:
        yield shown(line.figures[name], columns[name][1]) if name in line.figures else ""


def shown(values: Sequence[float], form: str) -> str:
    """The median, and from where to where it was."""
    found = {name: format(value, form) for name, value in spread(values).items()}
    if found["least"] == found["most"]:
        return found["median"]
    return f"{found['median']} ({found['least']} to {found['most']})"


def _remarks(findings: Findings) -> list[str]:
    told = [f"{line.label}: {remark}" for line in findings.lines for remark in line.remarks]
    return [*told, *(f"{name} was left out: {why}" for name, why in findings.skipped.items())]
