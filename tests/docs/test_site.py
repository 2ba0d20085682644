"""The site is built by what its extra brings. What is added to its pages: pictures of the machines, what the button of
a console copies, and the signatures of dataclasses."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import griffe
import pytest
from markdown import Markdown

from tests.docs.test_pages import DOCS, PAGES
from tests.support.extras import modules_outside
from tests.support.paths import ROOT

#: What a browser would load from another host.
ELSEWHERE = re.compile(
    r'<(?:script|img|iframe)[^>]* src="?(?:https?:)?//|<link[^>]* href="?(?:https?:)?//|class="mermaid"'
)
#: Runs mkdocs as its script does, without the folder in which it is called, and without these modules.
MKDOCS = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(",")))
runpy.run_module("mkdocs", run_name="__main__", alter_sys=True)
"""


def hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PICTURES = hook("_pictures")
CONSOLE = hook("_console")
SIGNATURES = hook("_signatures")


def html(text: str) -> str:
    """A page as mkdocs makes it."""
    made: str = Markdown(extensions=["pymdownx.highlight", "pymdownx.superfences", "tables"]).convert(text)
    return made


def machine(name: str, *, more: str = "", title: str = "") -> str:
    """A block that defines a machine."""
    states = f'["begin", State("end_of_{name.lower()}", final=True)]'
    named = f' title="{title}"' if title else ""
    return f"""```python{named}
from fsmflow import Machine, State


class {name}(Machine):
    initial = "begin"
    states = {states}
    transitions = [["go", "begin", "end_of_{name.lower()}"]]{more}
```
"""


def pictured(text: str) -> str:
    found = PICTURES.with_pictures(html(text), text)
    assert isinstance(found, str)
    return found


class TestPictures:
    def test_a_machine_is_drawn_below_its_code_and_what_that_prints(self) -> None:
        parts = re.split("(?=<details)", pictured(f"{machine('Order')}\n```text\nprinted\n```\n\nafter\n"))
        assert len(parts) == 2
        assert "printed" in parts[0]
        assert "end_of_order" in parts[1]
        assert "after" in parts[1]

    def test_it_is_part_of_the_page_and_follows_its_colours(self) -> None:
        page = pictured(machine("Order"))
        assert '<details class="picture" data-search-exclude open>' in page
        assert "<style>" not in page
        sheet = PICTURES.sheet()
        assert "prefers-color-scheme" not in sheet
        assert sheet.count('[data-md-color-scheme="slate"] .fsmflow .page{fill:') == 1

    def test_the_way_of_an_entity_is_drawn_where_a_comment_tells_it(self) -> None:
        text = machine("Order").replace('"begin", State', 'State("begin", job=print), State').replace("go", "done")
        page = pictured(f"{text}\n\nlook:\n\n<!-- the way of order:7: fail (OSError) -->\n")
        _, way = page.split("look:")
        assert "rests in failed_from_begin since 2030-01-01 09:00:00 UTC" in way
        assert ">OSError<" in way

    def test_an_id_is_there_once(self) -> None:
        page = pictured(f"{machine('Order')}\n{machine('Order').replace('go', 'leave')}")
        ids = re.findall(r' id="([^"]+)"', page)
        assert len(ids) == len(set(ids)) == 4
        assert set(" ".join(re.findall('aria-labelledby="([^"]+)"', page)).split()) == set(ids)

    def test_what_is_the_same_is_drawn_once_and_many_are_folded(self) -> None:
        page = pictured("\n".join(map(machine, ["One", "Two", "Two", "Three", "Four"])))
        assert page.count('<details class="picture" data-search-exclude>') == 4

    def test_of_a_page_only_definitions_are_run(self, tmp_path: Path) -> None:
        told = tmp_path / "told"
        more = f'\n\n\nopen("{told}", "w").close()\nopened = open("{told}", "w")'
        assert "end_of_order" in pictured(machine("Order", more=more))
        assert not told.exists()

    def test_a_job_may_be_imported_from_a_file_of_the_page(self) -> None:
        text = '```python title="work.py"\ndef act(machine): ...\n```\n'
        text += (
            machine("Order").replace('"begin", State', 'State("begin", job="work.act"), State').replace("go", "done")
        )
        assert "job work.act" in pictured(text)
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("work")

    def test_nothing_is_drawn_where_there_is_no_machine(self) -> None:
        text = "```python\nprint(1)\n```\n"
        assert pictured(text) == html(text)


class TestCopying:
    def test_only_what_is_typed_is_copied(self) -> None:
        text = '```console title="here"\n$ fsmflow start order 1 note="a & b" \\\n      amount:=20\norder:1  pending\n'
        text += "$ fsmflow list\nx\n```\n"
        (copied,) = re.findall('data-copy="([^"]*)"', CONSOLE.on_page_content(html(text)))
        assert copied == "fsmflow start order 1 note=&quot;a &amp; b&quot; \\\n      amount:=20\nfsmflow list"

    def test_other_blocks_are_left_as_they_are(self) -> None:
        page = html("```python\nprint(1)\n```\n\n```text\n$ 5\n```\n")
        assert CONSOLE.on_page_content(page) == page


def test_the_reference_shows_how_a_dataclass_is_called() -> None:
    extensions = griffe.load_extensions(SIGNATURES.Signatures())
    package = griffe.load("fsmflow", search_paths=[ROOT], extensions=extensions)
    retry = package["definition.retry.Retry"]
    assert "dataclass" in retry.labels
    assert [each.name for each in retry.parameters][:3] == ["self", "max", "interval"]


def test_each_page_is_found_by_the_reader_of_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert sorted(re.findall(r"- (\S+\.md)$", text, re.MULTILINE)) == [str(page.relative_to(DOCS)) for page in PAGES]


def test_the_documentation_is_built_without_a_warning_by_what_its_extra_brings(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "fsmflow").symlink_to(ROOT / "fsmflow")
    command = [sys.executable, "-P", "-c", MKDOCS, ",".join(modules_outside("docs"))]
    command += ["build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    ours = {"NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "", "PYTHONPATH": str(installed)}
    environment = {**os.environ, **ours}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    for page in PAGES:
        name = page.relative_to(DOCS).with_suffix("")
        folder = name.parent if name.name == "index" else name
        html = (tmp_path / "site" / folder / "index.html").read_text(encoding="utf-8")
        # A diagram in Mermaid would be drawn by a script from elsewhere.
        assert not ELSEWHERE.search(html)
    tutorial = (tmp_path / "site" / "tutorial" / "index.html").read_text(encoding="utf-8")
    assert tutorial.count('<details class="picture"') == 4
    # How the theme is told what to copy of a block.
    assert 'data-copy="fsmflow worker"' in tutorial
    (script,) = (tmp_path / "site" / "assets" / "javascripts").glob("bundle.*.js")
    assert '.closest("[data-copy]")' in script.read_text(encoding="utf-8")
