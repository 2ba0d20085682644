"""What a type checker tells users: what is right is understood, and what is wrong is told, line by line."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fsmflow
from tests.support.paths import ROOT
from tests.support.projects import copy_of
from tests.support.servers import WHOLE

HERE = Path(__file__).parent
RIGHT = (HERE / "right.py", HERE / "right_types.py")
WRONG = (HERE / "wrong.py", HERE / "wrong_types.py")
#: What a line of those says that is wrong.
IGNORED = re.compile(r"  # type: ignore\[[a-z-]+\]$")
#: Other checkers, with how they are asked: each prints a file, a line and an error on one line.
OTHERS = {
    "pyright": ("--pythonpath", sys.executable),
    "ty": ("check", "--output-format", "concise", "--python", sys.prefix),
}

#: mypy understands the models of Django by a plugin alone, pyright by the stubs that come with that.
SETTINGS = """[mypy]
strict = True
ignore_missing_imports = True
[mypy-django.*]
follow_imports = skip
follow_imports_for_stubs = True
"""
STUBS = [Path(folder, "django-stubs") for folder in sys.path if Path(folder, "django-stubs").is_dir()]
#: What mypy is told for each besides.
EXAMPLES = {
    "django_shop": ("--allow-subclassing-any", "--allow-untyped-decorators"),
    "fastapi_shop": (),
    "flask_shop": (),
    "peewee_shop": (),
}


def test_right_lines_have_their_types_and_wrong_ones_their_errors(tmp_path: Path) -> None:
    # The last of these says that a line is wrong which is not: so it is seen that mypy tells.
    untrue = tmp_path / "untrue.py"
    untrue.write_text("total: int = 1  # type: ignore[assignment]\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, (*RIGHT, *WRONG, untrue))]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    # Without its folder: mypy repeats from its cache what it said of a file of this name before.
    told = checked.stdout.rpartition("/")[2]
    assert checked.stdout.count("\n") == 1
    assert told == 'untrue.py:1: error: Unused "type: ignore" comment  [unused-ignore]\n'


@pytest.mark.skipif(not WHOLE, reason="other checkers are asked with FSMFLOW_TEST_WHOLE=1, where they are installed")
@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.name)
@pytest.mark.parametrize("checker", OTHERS)
def test_other_checkers_understand_types_of_triggers_and_data_too(checker: str, path: Path, tmp_path: Path) -> None:
    program = shutil.which(checker)
    if program is None:
        pytest.skip(f"pip install {checker}")
    right, wrong = (tmp_path / one.name for one in (RIGHT[1], path))
    shutil.copy(RIGHT[1], right)
    lines = path.read_text(encoding="utf-8").splitlines()
    wrong.write_text("\n".join(IGNORED.sub("", line) for line in lines), encoding="utf-8")
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(f'{{"extraPaths": ["{ROOT}"]}}', encoding="utf-8")
    command = [program, *OTHERS[checker], *(("--extra-search-path", str(ROOT)) if checker == "ty" else ())]
    environment = {**os.environ, "NO_COLOR": "1"}
    told = subprocess.run(
        [*command, str(right), str(wrong)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    ).stdout
    found = {(name, int(number)) for name, number in re.findall(r"(\w+\.py):(\d+):\d+.*error", told)}
    assert found == {(wrong.name, number) for number, line in enumerate(lines, 1) if IGNORED.search(line)}, told


@pytest.mark.skipif(not WHOLE, reason="examples are checked with FSMFLOW_TEST_WHOLE=1: each takes some 15 s")
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_types_of_each_example_are_right(name: str, tmp_path: Path) -> None:
    folder = copy_of(name, tmp_path)
    (folder / "mypy.ini").write_text(SETTINGS)
    command = [sys.executable, "-m", "mypy", *EXAMPLES[name], "."]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    checked = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    program = shutil.which("pyright")
    if program is None or (name == "django_shop" and not STUBS):
        return
    (folder / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"]}}')
    command = [program, "--pythonpath", sys.executable]
    checked = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.name)
def test_each_wrong_line_names_the_error_that_it_is_to_get(path: Path) -> None:
    calls = re.findall(
        r"^    (?!with |def )(.+)$", path.read_text(encoding="utf-8").partition("\ndef ")[2], re.MULTILINE
    )
    assert len(calls) > (60 if path.name == "wrong.py" else 15)
    assert [call for call in calls if not IGNORED.search(call)] == []


def test_each_public_name_has_its_right_lines() -> None:
    public = {name for name in fsmflow.__all__ if not is_error(getattr(fsmflow, name))}
    assert public <= {name for path in RIGHT for name in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


def is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)
