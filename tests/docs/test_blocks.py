"""The code of the pages stands by itself: a block that begins with imports imports all that it takes, and nothing is
imported for nothing. Where machines stand in a module of another name, the page says how they are found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_pages import DOCS, PAGES, Block, blocks_of
from tests.support.paths import ROOT

ALL = [*PAGES, ROOT / "README.md"]
#: What is looked for in the code: names that nothing defines, and imports that nothing uses.
UNDEFINED, UNUSED = "F821", "F401"


def code_of(page: Path) -> list[Block]:
    return [block for block in blocks_of(page.read_text(encoding="utf-8"), page.name) if block.language == "python"]


def found_in(folder: Path, *rules: str) -> list[str]:
    """What ruff finds in the files of a folder."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--quiet", "--output-format=concise"]
    ended = subprocess.run(
        [*command, "--select", ",".join(rules), str(folder)], capture_output=True, text=True, check=False
    )
    assert not ended.stderr
    return ended.stdout.splitlines()


def test_a_block_that_begins_with_imports_imports_all_that_it_takes(tmp_path: Path) -> None:
    for page in ALL:
        for block in code_of(page):
            if block.title or block.body.startswith(("from ", "import ")):
                (tmp_path / f"{page.stem}-{block.line}.py").write_text(block.body, encoding="utf-8")
    assert found_in(tmp_path, UNDEFINED) == []


def test_nothing_is_imported_for_nothing(tmp_path: Path) -> None:
    for page in ALL:
        blocks = code_of(page)
        for block in blocks:
            if block.title:
                (tmp_path / f"{page.stem}-{block.line}.py").write_text(block.body, encoding="utf-8")
        # What one block imports a later one may use.
        rest = "".join(block.body for block in blocks if not block.title)
        (tmp_path / f"{page.stem}.py").write_text(rest, encoding="utf-8")
    assert found_in(tmp_path, UNUSED) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_machines_in_a_module_of_another_name_are_told_how_they_are_found(page: Path) -> None:
    named = re.findall(r"export\s+FSMFLOW_MACHINES=([\w,]+)", page.read_text(encoding="utf-8"))
    for block in code_of(page):
        module = (block.title or "").removesuffix(".py")
        if re.search(r"^class \w+\(Machine\)", block.body, re.MULTILINE) and module.isidentifier():
            assert module == "machines" or module in ",".join(named).split(",") or "sandbox(" in block.body, module
