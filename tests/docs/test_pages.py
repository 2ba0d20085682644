"""Every page of the documentation does what it says: its code runs, in order, and what it shows is what comes of it.

How a page is read: each page has a folder of its own, and its blocks share a namespace and that folder, in the order of
the page.

- ``python`` with a ``title`` is saved as a file of that name. Any other ``python`` is executed; what opens no sandbox
  of its own runs in one with the example machines of this checkout, twice.
- ``console``: what follows ``$`` is typed into a shell; it must exit with 0. Lines after a command are what it prints.
  With the title ``second terminal`` it is left running until the page ends, or until it is typed again: the first one
  is stopped then.
- ``text``, ``mermaid`` and ``json`` right after one of these is what it printed; ``...`` stands for anything, and any
  moment for any other. In a table with a cell of ``...``, columns may be wider than they are shown.

Nothing else is run: text of other kinds, and the code of other systems, are in other languages.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fsmflow.testing import sandbox
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SHOWING = ("text", "mermaid", "json")
#: Of what is in no language of these, nobody could say whether it is meant to run.
LANGUAGES = {"python", "console", *SHOWING, "ini", "yaml", "php", "sql", "toml", "dockerfile"}
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)(?: +title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
#: 2030-01-01 09:00:00, and how long something took.
MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b|\b\d+\.\d\d ?s\b")
#: A cell of a table that may be anything, and so may be the width of its column.
ANY_CELL = re.compile(r"\S {2,}\.\.\.( {2,}\S|$)", re.MULTILINE)
GAP = re.compile(r"(?<=\S) {2,}(?=\S)")
#: A command that runs a script of the page.
SCRIPT = re.compile(r"python \w+\.py\b[^&|<>;]*")
LIMIT_S = 60.0
#: The title of what is typed where nothing else is.
SECOND = "second terminal"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page. ``shown`` is what the block right after it says that it prints."""

    page: str
    line: int
    language: str
    title: str | None
    body: str
    shown: str | None


def blocks_of(text: str, page: str) -> list[Block]:
    """The blocks of a page, each with what is shown right after it."""
    found = list(FENCE.finditer(text))
    blocks = []
    for fence, after in pairwise([*found, None]):
        assert fence is not None
        is_shown = (
            after is not None
            and fence["language"] in ("python", "console")
            and after["language"] in SHOWING
            and not after["title"]
            and not text[fence.end() : after.start()].strip()
        )
        blocks.append(
            Block(
                page=page,
                line=text.count("\n", 0, fence.start()) + 2,
                language=fence["language"],
                title=fence["title"],
                body=dedented(fence),
                shown=dedented(after) if is_shown and after is not None else None,
            )
        )
    return blocks


def dedented(fence: re.Match[str]) -> str:
    """The body of a block, without the indent of its fence."""
    return "".join(line.removeprefix(fence["indent"]) for line in fence["body"].splitlines(keepends=True))


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path, programs: Path, **environment: str) -> None:
        self._folder = folder
        self._namespace: dict[str, Any] = {"__name__": "page"}
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        ours = {"FSMFLOW_HOME": str(folder / ".fsmflow"), "PYTHONPATH": str(programs / "site"), "PATH": path}
        shown = {"COLUMNS": "110", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        self._environment = {**os.environ, **ours, **environment, **shown}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._loaded = set(sys.modules)
        self._hidden: dict[str, ModuleType] = {}
        sys.path.insert(0, str(folder))

    def read(self, blocks: list[Block]) -> None:
        """Do what all the blocks of a page say."""
        for block in blocks:
            if block.language == "python" and block.title:
                self._save(block.title, block.body)
            elif block.language == "python":
                self._same(self._execute(block), block.shown or "", block)
            elif block.language == "console":
                self._type(block)

    def leave(self) -> None:
        """Forget the modules of the page, and stop what was left running; each exits with status 0."""
        sys.path.remove(str(self._folder))
        for name in set(sys.modules) - self._loaded:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(f"{self._folder}{os.sep}"):
                del sys.modules[name]
        sys.modules.update(self._hidden)
        for command in list(self._running):
            self._stop(command)

    def _stop(self, command: str) -> None:
        """As Ctrl-C does. Exit status 0."""
        process = self._running.pop(command)
        process.terminate()
        try:
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()
            process.wait()

    def _save(self, name: str, text: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self._hide(path.relative_to(self._folder).parts[0].removesuffix(".py"))

    def _hide(self, package: str) -> None:
        """What was loaded under the name of a file of the page is another one, as the examples of this checkout are."""
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == package and not str(module.__file__).startswith(f"{self._folder}{os.sep}"):
                self._hidden[name] = sys.modules.pop(name)

    def _execute(self, block: Block) -> str:
        # Line numbers and file name are those of the page, so that a traceback points into it.
        code = compile("\n" * (block.line - 1) + block.body, block.page, "exec", dont_inherit=True)
        with contextlib.ExitStack() as stack:
            if "sandbox(" not in block.body:
                stack.enter_context(sandbox("machines"))
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(code, self._namespace)
            if "sandbox(" not in block.body:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(code, dict(self._namespace))
        return printed.getvalue()

    def _type(self, block: Block) -> None:
        """Type the commands of a block; what is shown after the block is what its last command prints."""
        commands = re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]
        assert commands, f"{block.page}:{block.line}: a console block has a line that begins with '$ '"
        for number, command in enumerate(commands, 1):
            while (line := command.partition("\n"))[0].endswith("\\"):
                command = line[0][:-1] + line[2].lstrip()
            typed, _, expected = command.partition("\n")
            if block.title == SECOND:
                self._leave_running(typed)
                continue
            printed = self._run(typed, block)
            if SCRIPT.fullmatch(typed):
                self._run(typed, block)
            if number == len(commands) and block.shown is not None:
                expected = block.shown
            if expected.strip():
                self._same(printed, expected, block)

    def _leave_running(self, command: str) -> None:
        if command in self._running:
            self._stop(command)
        with (self._folder / "left-running.log").open("ab") as log:
            self._running[command] = subprocess.Popen(
                shlex.split(command),
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _run(self, command: str, block: Block) -> str:
        run = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert run.returncode == 0, f"{block.page}:{block.line}: {command}\nexit status {run.returncode}\n{run.stdout}"
        return run.stdout

    @staticmethod
    def _same(printed: str, shown: str, block: Block) -> None:
        """Printed is what is shown, but for ``...``, moments, and blanks at the ends of lines."""
        got, wanted = (plain(text) for text in (printed, shown))
        if ANY_CELL.search(wanted):
            # How long something has lasted takes more room than its heading from ten seconds on.
            got, wanted = (GAP.sub("  ", text) for text in (got, wanted))
        is_same = doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS)
        assert is_same, f"{block.page}:{block.line}: the page shows\n{wanted}\nand this was printed\n{got}"


def plain(text: str) -> str:
    """What is compared of a text."""
    return "".join(f"{MOMENT.sub('(a moment)', line).rstrip()}\n" for line in text.rstrip().split("\n"))


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a reader has installed: fsmflow alone, without the examples of this checkout; python is the
    one that runs the tests."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "site").mkdir()
    (folder / "site" / "fsmflow").symlink_to(ROOT / "fsmflow")
    for name, command in (("python", ""), ("fsmflow", " -m fsmflow.cli"), ("rq", " -m rq.cli")):
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{command} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def reader(tmp_path: Path, programs: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader, whose processes end with the page, and whose other applications have a Redis."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FSMFLOW_HOME", str(tmp_path / ".fsmflow"))
    made = Reader(tmp_path, programs, REDIS_URL=redis_url)
    yield made
    made.leave()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path, reader: Reader) -> None:
    reader.read(blocks_of(page.read_text(encoding="utf-8"), str(page)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
class TestForm:
    def test_each_block_is_in_a_language_that_is_run_or_known_not_to_be(self, page: Path) -> None:
        text = page.read_text(encoding="utf-8")
        blocks = blocks_of(text, page.name)
        assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(blocks)
        assert {block.language for block in blocks} <= LANGUAGES

    def test_its_code_runs_in_a_folder_of_ones_own(self, page: Path) -> None:
        """It imports what the page has saved there, and nothing of the examples of this checkout."""
        blocks = blocks_of(page.read_text(encoding="utf-8"), page.name)
        saved = {(block.title or "").removesuffix(".py").replace("/", ".") for block in blocks}
        nodes = [node for block in blocks if block.language == "python" for node in ast.walk(ast.parse(block.body))]
        taken = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        taken |= {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
        assert {name for name in taken if name.partition(".")[0] == "machines"} <= saved

    def test_lines_are_short_enough_to_be_read(self, page: Path) -> None:
        lines = page.read_text(encoding="utf-8").splitlines()
        # A row of a table cannot be broken.
        assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []

    def test_it_begins_with_a_heading_and_says_at_once_what_it_is_about(self, page: Path) -> None:
        heading, blank, first = page.read_text(encoding="utf-8").splitlines()[:3]
        assert heading.startswith("# ")
        assert not blank
        assert re.match(r"[A-Z`*\[]", first)


class TestReading:
    """That a page which is wrong is found out."""

    def test_what_runs_and_prints_what_is_shown(self, reader: Reader) -> None:
        page = '```python title="a/b.py"\nx = 41\n```\n```python\nprint(1)\n```\n\n```text\n1\n```\n'
        page += "```console\n$ python a/b.py\n$ echo one; echo 20:47\none\n...:...\n```\n"
        reader.read(blocks_of(page, "page"))
        assert Path("a/b.py").read_text(encoding="utf-8") == "x = 41\n"

    @pytest.mark.parametrize("table", ["ID  FOR  WHY\nx   1 s  a b\n", "ID  FOR   WHY\nx   10 s  a b\n"])
    def test_a_cell_that_may_be_anything_may_be_of_any_width(self, reader: Reader, table: str) -> None:
        page = f"```python\nprint({table!r}, end='')\n```\n\n```text\nID  FOR  WHY\nx   ...  a b\n```\n"
        reader.read(blocks_of(page, "page"))

    def test_so_may_one_after_which_the_row_is_empty(self, reader: Reader) -> None:
        page = "```python\nprint('ID  FOR   WHY\\nx   10 s')\n```\n\n```text\nID  FOR  WHY\nx   ...\n```\n"
        reader.read(blocks_of(page, "page"))

    @pytest.mark.parametrize(
        "page",
        [
            "```python\nassert 1 == 2\n```\n",
            "```python\nprint(1)\n```\n\n```text\n2\n```\n",
            "```python\nprint(1)\n```\n\nThis is what comes of it:\n\n```text\n1\n```\n",
            "```python\npass\n```\n\n```text\n1\n```\n",
            "```python\nprint('one   two')\n```\n\n```text\none  two\n```\n",
            "```python\nprint('one  2 s  three')\n```\n\n```text\none  ...  four\n```\n",
            "```console\n$ echo one\ntwo\n```\n",
            "```console\n$ echo one\n```\n\n```text\ntwo\n```\n",
            "```console\n$ false\n```\n",
            '```python title="a.py"\nopen("once", "x")\n```\n```console\n$ python a.py\n```\n',
            "```console\necho one\n```\n",
            '- in a list:\n\n    ```python\n    x = 1\n    assert x == 2, "indented"\n    ```\n',
        ],
    )
    def test_what_is_not_as_the_page_says(self, reader: Reader, page: str) -> None:
        with pytest.raises(AssertionError):
            reader.read(blocks_of(page, "page"))

    def test_a_file_of_the_page_goes_before_a_module_of_that_name(self, tmp_path: Path, programs: Path) -> None:
        import machines  # noqa: PLC0415 - loaded before the page is read

        reader = Reader(tmp_path, programs)
        page = '```python title="machines.py"\nx = 41\n```\n```python\nfrom machines import x\nprint(x)\n```\n'
        reader.read(blocks_of(f"{page}\n```text\n41\n```\n", "page"))
        reader.leave()
        assert sys.modules["machines"] is machines

    def test_a_traceback_points_into_the_page(self, reader: Reader) -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            reader.read(blocks_of("# Title\n\n```python\nx = 1\n1 / 0\n```\n", "page.md"))
        last = traceback.extract_tb(caught.value.__traceback__)[-1]
        assert (last.filename, last.lineno) == ("page.md", 5)

    def test_what_is_left_running_ends_with_the_page(self, tmp_path: Path, programs: Path) -> None:
        reader = Reader(tmp_path, programs)
        page = """```console title="second terminal"
$ bash -c 'trap "echo stopped >> told; exit" TERM; echo begun >> told; touch up; while true; do sleep 0.1; done'
```

```console
$ until test -f up; do sleep 0.1; done; rm up
```
"""
        reader.read(blocks_of(page * 2, "page"))
        reader.leave()
        assert (tmp_path / "told").read_text(encoding="utf-8").split() == ["begun", "stopped"] * 2

    def test_what_is_left_running_and_fails(self, tmp_path: Path, programs: Path) -> None:
        reader = Reader(tmp_path, programs)
        reader.read(blocks_of(f'```console title="{SECOND}"\n$ sleep 100\n```\n', "page"))
        with pytest.raises(AssertionError):
            reader.leave()  # by SIGTERM, not with status 0
