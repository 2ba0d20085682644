"""Draws the machines that a page shows, below the code that defines them: when the site is built, from that very code.

A page with few pictures has them open; on any other they are folded. They are part of the page: nothing is loaded for
them, and they are dark where the page is.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from importlib import invalidate_caches
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from fsmflow import Machine
from fsmflow.definition.model import Definition
from fsmflow.diagram import Journey, chart, svg
from fsmflow.diagram.colours import STYLE
from fsmflow.diagram.overlay import Move

SHEET = "pictures.css"
#: So many pictures on a page are open.
FEW = 3
BLOCK = re.compile(r"^( *)```python(?: +title=\"([^\"]+)\")?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"\s*```(?:text|json)\n")
#: Where the picture of an entity belongs: <!-- the way of order:1: submit, fail (ConnectionError) -->
WAY = re.compile(r"<!-- the way of (\w+):(\S+): (.+?) -->")
#: When all that was.
AT = datetime(2030, 1, 1, 9, tzinfo=UTC)
#: How a block comes out in the page.
SHOWN = re.compile(r'<div class="highlight">.*?</code></pre></div>', re.DOTALL)
#: What of it is no code: tags, and the name of the file.
MARKUP = re.compile(r'<span class="filename">.*?</span>|<[^>]+>')


def on_config(config: MkDocsConfig) -> None:
    """The style of all pictures is one file of the site."""
    config.extra_css.append(SHEET)


def on_files(files: Files, config: MkDocsConfig) -> None:
    """That file."""
    files.append(File.generated(config, SHEET, content=sheet()))


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return with_pictures(html, page.markdown or "")


def sheet() -> str:
    """The looks of pictures, light and dark as the reader has chosen on the page."""
    light, dark = STYLE.split("@media (prefers-color-scheme:dark)")
    rules = dark.strip().removeprefix("{").removesuffix("}")
    return light + rules.replace(".fsmflow", '[data-md-color-scheme="slate"] .fsmflow')


def with_pictures(html: str, markdown: str) -> str:
    """The page with a picture below each block that has a machine which was not drawn yet, and what that prints; and
    with the way of an entity where one is told in a comment."""
    found = list(_pictures(markdown))
    few = sum(len(block.pictures) for block in found) <= FEW
    known: dict[str, Definition] = {}
    parts, at = [], 0
    for block in found:
        shown = next((shown for shown in SHOWN.finditer(html, at) if _code(shown[0]) == block.code), None)
        if shown is None:
            raise ValueError(f"a block of code is not in the page: {block.code[:200]}")
        printed = SHOWN.search(html, shown.end()) if block.prints else None
        end = (printed or shown).end()
        parts += [_with_ways(html[at:end], known), *(_folded(picture, is_open=few) for picture in block.pictures)]
        known |= {definition.name: definition for definition in block.definitions}
        at = end
    return _with_own_ids("".join([*parts, _with_ways(html[at:], known)]))


def _with_ways(html: str, known: dict[str, Definition]) -> str:
    return WAY.sub(lambda told: _folded(_way(known[told[1]], *told.groups()), is_open=True), html)


def _way(definition: Definition, machine: str, id_: str, told: str) -> str:
    """The picture of an entity that came by these triggers, and failed as the brackets say."""
    moves, state, failure = (
        [Move(source=None, trigger="start", dest=definition.initial, at=AT)],
        definition.initial,
        None,
    )
    for trigger, error in re.findall(r"(\w+)(?: \((\w+)\))?", told):
        dest = next(one.dest for one in definition.transitions if (one.source, one.trigger) == (state, trigger))
        moves.append(Move(source=state, trigger=trigger, dest=dest, at=AT))
        state, failure = dest, error or None
    journey = Journey(address=f"{machine}:{id_}", state=state, since=AT, failure=failure, moves=tuple(moves))
    return svg(chart(definition, journey=journey))


def _with_own_ids(html: str) -> str:
    """Pictures of the same name have the same ids, and an id is there once."""
    numbers = count(1)
    return re.sub(r"<svg .*?</svg>", lambda one: _numbered(one[0], next(numbers)), html, flags=re.DOTALL)


def _numbered(picture: str, number: int) -> str:
    return re.sub(r"\bfsmflow-[0-9a-f]{8}\b", rf"\g<0>-{number}", picture)


def _code(shown: str) -> str:
    return unescape(MARKUP.sub("", shown)).strip()


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """A block of code with machines; whether what it prints stands right below it."""

    code: str
    definitions: list[Definition]
    pictures: list[str]
    prints: bool


def _pictures(markdown: str) -> Iterator[_Drawn]:
    """The blocks that have some."""
    drawn: set[str] = set()
    with TemporaryDirectory() as folder, _importing_from(folder):
        reading = _Reading(Path(folder))
        for block in BLOCK.finditer(markdown):
            indent, title, body = block.groups()
            code = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
            if title:
                reading.save(title, code)
            # What `fsmflow draw` finds by the machine's name has no name here: each page has an Order.
            definitions = [machine._compiled() for machine in reading.machines(code)]  # noqa: SLF001
            pictures = [svg(chart(definition)) for definition in definitions]
            if pictures := [picture for picture in pictures if picture not in drawn]:
                drawn.update(pictures)
                prints = PRINTED.match(markdown, block.end()) is not None
                yield _Drawn(code=code.strip(), definitions=definitions, pictures=pictures, prints=prints)


@contextmanager
def _importing_from(folder: str) -> Iterator[None]:
    """As Python does in a folder, whose modules are forgotten afterwards."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(f"{folder}{os.sep}"):
                del sys.modules[name]


@dataclass
class _Reading:
    """What the blocks of a page define. Only machines are made, and what they are made of: nothing else of the page is
    run. Blocks with a title are files of the folder, from which a job may be imported."""

    folder: Path
    own: set[str] = field(default_factory=set)
    #: By name, what defines it; and what was made of that.
    defined: dict[str, ast.stmt] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})

    def save(self, title: str, code: str) -> None:
        """A block with a title."""
        path = self.folder / title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
        self.own.add(title.removesuffix(".py").replace("/", "."))
        invalidate_caches()

    def machines(self, code: str) -> list[type[Machine]]:
        """Those that a block defines."""
        found = []
        for statement in map(_without_rows, ast.parse(code).body):
            if isinstance(statement, ast.ImportFrom) and statement.module in self.own:
                continue  # defined above
            names = list(_defines(statement))
            for name in names:
                self.defined[name] = statement
                self.made.pop(name, None)
            found += [self._make(name) for name in names if self._is_machine(statement)]
        return [one for one in found if isinstance(one, type) and issubclass(one, Machine)]

    def _is_machine(self, statement: ast.stmt | None) -> bool:
        """Whether it is a class that is one, by its bases."""
        match statement:
            case ast.ClassDef(bases=bases):
                names = [base.id for base in bases if isinstance(base, ast.Name)]
                return any(name == "Machine" or self._is_machine(self.defined.get(name)) for name in names)
        return False

    def _make(self, name: str) -> Any:
        if name not in self.made and name in self.defined:
            statement = self.defined.pop(name)
            for needed in _needs(statement):
                self._make(needed)
            # Its annotations are values, as they are for who reads the page.
            exec(compile(ast.Module([statement], []), "page", "exec", dont_inherit=True), self.made)
            self.defined[name] = statement
        return self.made.get(name)


def _without_rows(statement: ast.stmt) -> ast.stmt:
    """Without a status field: it is in no picture, and its library may have to be set up first, as Django has."""
    if isinstance(statement, ast.ClassDef):
        statement.body = [part for part in statement.body if "status_field" not in _defines(part)]
    return statement


def _defines(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in names)
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Assign(targets=[ast.Name(id=name)]):
            yield name


def _needs(node: ast.AST) -> Iterator[str]:
    """The names that a definition reads when it is made: those in the bodies of functions are read later."""
    if isinstance(node, ast.Name):
        yield node.id
    later = node.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
    for part in ast.iter_child_nodes(node):
        if part not in later:
            yield from _needs(part)


def _folded(picture: str, *, is_open: bool) -> str:
    """In the page, where a style of its own is not needed."""
    least = 0.8 * float(re.search(r'width="([\d.]+)"', picture)[1])
    name = re.search(r"<title[^>]*>(.*?)</title>", picture)[1]
    drawn = re.sub(r"<style>.*?</style>\n", "", picture, flags=re.DOTALL)
    drawn = drawn.replace("<svg ", f'<svg style="min-width:{least:.0f}px" ', 1)
    return (
        f'<details class="picture" data-search-exclude{" open" if is_open else ""}>'
        f"<summary>{name} as a picture</summary>\n{drawn}</details>\n"
    )
