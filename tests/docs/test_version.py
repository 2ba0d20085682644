"""The version stands in one place, and all who tell it tell that."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from setuptools.dist import Distribution

import fsmflow
from tests.support.paths import ROOT


def built_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version that a package built from this folder gets."""
    monkeypatch.chdir(folder)
    distribution = Distribution()
    distribution.parse_config_files(["setup.cfg"])
    return str(distribution.get_version())


def test_pip_the_command_line_and_the_module_tell_the_same_version() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "fsmflow.cli", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == f"fsmflow, version {fsmflow.__version__}\n"
    assert metadata.version("fsmflow") == fsmflow.__version__


def test_what_is_built_has_the_version_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    assert built_version(ROOT, monkeypatch) == fsmflow.__version__


def test_it_is_read_without_importing_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fsmflow").mkdir()
    (tmp_path / "setup.cfg").write_text((ROOT / "setup.cfg").read_text(encoding="utf-8"), encoding="utf-8")
    for named in ("README.md", "LICENSE"):
        (tmp_path / named).touch()
    source = Path(fsmflow.__file__).read_text(encoding="utf-8")
    changed = source.replace(f'"{fsmflow.__version__}"', '"9.8.7"') + "\nraise AssertionError\n"
    (tmp_path / "fsmflow" / "__init__.py").write_text(changed, encoding="utf-8")
    assert built_version(tmp_path, monkeypatch) == "9.8.7"


def test_it_is_written_nowhere_else() -> None:
    sources = [ROOT / "setup.cfg", ROOT / "pyproject.toml", *ROOT.glob("fsmflow/**/*.py"), *ROOT.glob("docs/**/*.md")]
    written = re.compile(rf"(?<![\d.]){re.escape(fsmflow.__version__)}(?![\d.])")
    assert [path for path in sources if written.search(path.read_text(encoding="utf-8"))] == [Path(fsmflow.__file__)]


def test_the_changelog_has_it() -> None:
    assert f"\n## [{fsmflow.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
