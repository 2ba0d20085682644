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
from html import unescape
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from fsmflow import Machine
from fsmflow.diagram import chart, svg
from fsmflow.diagram.colours import STYLE

SHEET = "pictures.css"
#: So many pictures on a page are open.
FEW = 3
BLOCK = re.compile(r"^( *)```python(?: +title=\"([^\"]+)\")?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"\s*```(?:text|json)\n")
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
    """The page with a picture below each block that has a machine which was not drawn yet, and what that prints."""
    found = list(_pictures(markdown))
    few = sum(len(block.pictures) for block in found) <= FEW
    parts, at = [], 0
    for block in found:
        shown = next((shown for shown in SHOWN.finditer(html, at) if _code(shown[0]) == block.code), None)
        if shown is None:
            raise ValueError(f"a block of code is not in the page: {block.code[:200]}")
        printed = SHOWN.search(html, shown.end()) if block.prints else None
        end = (printed or shown).end()
        parts += [html[at:end], *(_folded(picture, is_open=few) for picture in block.pictures)]
        at = end
    return "".join([*parts, html[at:]])


def _code(shown: str) -> str:
    return unescape(MARKUP.sub("", shown)).strip()


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """A block of code with machines; whether what it prints stands right below it."""

    code: str
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
                yield _Drawn(code=code.strip(), pictures=pictures, prints=prints)


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
    """What the blocks of a page define, without running what they do. Those with a title are files of the folder, from
    which a job may be imported."""

    folder: Path
    own: set[str] = field(default_factory=set)
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})

    def save(self, title: str, code: str) -> None:
        """A block with a title."""
        path = self.folder / title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
        self.own.add(title.removesuffix(".py").replace("/", "."))
        invalidate_caches()

    def machines(self, code: str) -> list[type[Machine]]:
        """Those that a block defines, or takes from the examples."""
        found = []
        for statement in ast.parse(code).body:
            if self._is_definition(statement):
                exec(compile(ast.Module([statement], []), "page", "exec"), self.names)
                found += [self.names[name] for name in _named(statement)]
        return [one for one in found if isinstance(one, type) and issubclass(one, Machine) and one is not Machine]

    def _is_definition(self, statement: ast.stmt) -> bool:
        match statement:
            case ast.Import(names=[ast.alias(name=name)]) | ast.ImportFrom(module=str(name), level=0):
                return name not in self.own and name != "__future__" and _is_there(name)
            case ast.ClassDef():
                return True
            case ast.FunctionDef(decorator_list=[]) | ast.AsyncFunctionDef(decorator_list=[]):
                return True
            case ast.Assign(value=ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called))):
                # A value of some class, made of what is known here.
                return called[0].isupper() and all(name in self.names for name in _read(statement.value))
            case ast.Assign(value=ast.Constant()):
                return True
        return False


def _read(expression: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(expression) if isinstance(node, ast.Name))


def _is_there(module: str) -> bool:
    top = module.partition(".")[0]
    return module != "machines" and (top in sys.stdlib_module_names or find_spec(top) is not None)


def _named(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.ClassDef(name=name):
            return [name]
        case ast.ImportFrom(names=names, module=str(module)) if module.startswith("machines."):
            return [alias.asname or alias.name for alias in names]
    return []


def _folded(picture: str, *, is_open: bool) -> str:
    """In the page, where a style of its own is not needed, and an id is there once."""
    least = 0.8 * float(re.search(r'width="([\d.]+)"', picture)[1])
    name = re.search(r"<title[^>]*>(.*?)</title>", picture)[1]
    drawn = re.sub(r"<style>.*?</style>\n", "", picture, flags=re.DOTALL)
    drawn = drawn.replace("<svg ", f'<svg style="min-width:{least:.0f}px" ', 1)
    return (
        f'<details class="picture" data-search-exclude{" open" if is_open else ""}>'
        f"<summary>{name} as a picture</summary>\n{drawn}</details>\n"
    )
