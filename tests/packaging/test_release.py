"""A release: refused where it would be a wrong one; else what is built is what is checked, and a tag is all it leaves.

The tests work on a repository of their own, with the files of this checkout that are published or build that.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fsmflow
from tests.support.paths import ROOT

NAMED = ["README.md", "LICENSE", "CHANGELOG.md", "setup.cfg", "pyproject.toml", ".gitignore"]
SCRIPTS = ["_bootstrap.py", "package.py", "release.py"]
#: What must not be published.
STRAY = ["tests/packaging/test_something.py", "machines/order.py", "docs/index.md"]
TAG = f"v{fsmflow.__version__}"
LIMIT_S = 300


class Checkout:
    """A repository with one commit that could be released."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "fsmflow", folder / "fsmflow", ignore=shutil.ignore_patterns("__pycache__"))
        for name in [*NAMED, *(f"scripts/{script}" for script in SCRIPTS)]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        for name in STRAY:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("", encoding="utf-8")
        self.replace("CHANGELOG.md", re.compile(rf"## \[{fsmflow.__version__}\] - .*"), f"## [{TAG[1:]}] - 2030-01-31")
        self.git("init", "--quiet")
        self.commit()

    def replace(self, name: str, pattern: re.Pattern[str], text: str) -> None:
        path = self.folder / name
        path.write_text(pattern.sub(text, path.read_text(encoding="utf-8"), count=1), encoding="utf-8")

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("-c", "user.name=ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--message", "One")

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def run(self, script: str, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "FSMFLOW_SKIP_VENV": "1"}
        command = [sys.executable, f"scripts/{script}", *options]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    def refused(self, *options: str) -> str:
        """Why a release is refused."""
        ended = self.run("release.py", *options)
        assert (ended.returncode, ended.stdout) == (1, "")
        return ended.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_a_dry_run_builds_checks_and_tries_all_of_it_and_leaves_nothing(checkout: Checkout) -> None:
    ended = checkout.run("release.py", "--dry-run")
    assert (ended.returncode, ended.stderr) == (0, "")
    sdist, wheel, told, tried, last = ended.stdout.splitlines()
    folders = ("web/templates", "web/static", "django/static/fsmflow", "django/templates/admin/fsmflow")
    of_pages = [file for folder in folders for file in (ROOT / "fsmflow" / folder).iterdir()]
    files = len([*(ROOT / "fsmflow").rglob("*.py"), *of_pages]) + 1
    assert sdist == f"fsmflow-{fsmflow.__version__}.tar.gz: {files:,} files of the package"
    assert wheel == f"fsmflow-{fsmflow.__version__}-py3-none-any.whl: {files:,} files of the package"
    assert told == f"fsmflow {fsmflow.__version__}, Python >=3.11, licence MIT"
    assert tried == "installed into an empty environment: the README's first machine is in welcomed"
    assert last == f"{fsmflow.__version__} can be released; nothing was kept"
    assert checkout.git("status", "--porcelain", "--ignored") == checkout.git("tag") == ""


def test_what_is_not_committed_is_not_released(checkout: Checkout) -> None:
    (checkout.folder / "notes.txt").touch()
    assert "1 files are not committed, such as notes.txt: commit them, or put them away" in checkout.refused()
    assert checkout.git("tag") == ""


def test_the_changelog_has_to_name_the_version_and_the_day(checkout: Checkout) -> None:
    checkout.replace("CHANGELOG.md", re.compile(r" - 2030-01-31"), " - unreleased")
    checkout.commit()
    assert f"CHANGELOG.md has 'unreleased' for {fsmflow.__version__}: write the day" in checkout.refused()
    checkout.replace("fsmflow/__init__.py", re.compile(r'__version__ = ".*"'), '__version__ = "9.8.7"')
    checkout.commit()
    assert (
        f"the first version in CHANGELOG.md is {fsmflow.__version__}, and fsmflow/__init__.py has 9.8.7"
        in checkout.refused()
    )


def test_a_version_is_released_once(checkout: Checkout) -> None:
    checkout.git("-c", "user.name=ada", "-c", "user.email=a@b.c", "tag", "--annotate", TAG, "--message", "fsmflow")
    (checkout.folder / "more.txt").touch()
    checkout.commit()
    assert f"{TAG} is tagged at " in checkout.refused()


def test_upload_and_dry_run_exclude_each_other(checkout: Checkout) -> None:
    ended = checkout.run("release.py", "--dry-run", "--upload")
    assert ended.returncode == 2
    assert "not allowed with" in ended.stderr


@pytest.mark.parametrize(
    ("missing", "added", "told"),
    [
        ("fsmflow/py.typed", None, "fsmflow/py.typed is missing"),
        ("LICENSE", None, "the licence is missing"),
        (None, "tests/test_something.py", "tests/test_something.py does not belong into it"),
        (None, "fsmflow/old.py", "fsmflow/old.py does not belong into it"),
    ],
)
def test_a_wheel_that_lacks_something_or_has_too_much_is_refused(
    checkout: Checkout, missing: str | None, added: str | None, told: str
) -> None:
    dist = checkout.folder / "dist"
    dist.mkdir()
    with zipfile.ZipFile(dist / "fsmflow-1-py3-none-any.whl", "w") as wheel:
        names = [str(path.relative_to(ROOT)) for path in (ROOT / "fsmflow").rglob("*.py")]
        for name in {*names, "fsmflow/py.typed", "fsmflow-1.dist-info/licenses/LICENSE", added} - {missing, None}:
            if name is not None and not (missing and name.endswith(missing)):
                wheel.writestr(name, "")
        wheel.writestr("fsmflow-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: fsmflow\nVersion: 1\n")
    ended = checkout.run("package.py", "--check", "dist")
    assert ended.returncode == 1
    assert told in ended.stderr
