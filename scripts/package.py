"""Builds fsmflow as it is published, sdist and wheel, and checks both.

    python scripts/package.py [--out dist]     # build from the files that git knows, then check
    python scripts/package.py --check dist     # check what was built before

The wheel is built from the sdist. Checked are the metadata, what both hold, and that the README's first machine runs in
an empty environment: nothing is there but the wheel and the packages that it asks for. These are taken from the
environment of this Python, so nothing is downloaded. The exit status is 1 if anything is wrong.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

from _bootstrap import ensure_venv

if __name__ == "__main__":
    ensure_venv("test")

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 300.0
#: Before that it took another package.
WITH_WHEELS = Version("70.1")
#: What is asked for with the package where it is tried, so that no server is needed.
EXTRA = "embedded"
EXAMPLE = re.compile(r'<!-- runs as a test -->\n```python title="machines.py"\n(.*?)```\n', re.DOTALL)
#: What a sdist has besides the package, to be built and read.
BESIDE = {"LICENSE", "README.md", "PKG-INFO", "pyproject.toml", "setup.cfg"}
#: Folders of which the package has every file, as its pages need them.
OF_PAGES = (
    "fsmflow/web/templates",
    "fsmflow/web/static",
    "fsmflow/django/static/fsmflow",
    "fsmflow/django/templates/admin/fsmflow",
)
BUILD = "from setuptools import build_meta as backend; backend.build_sdist({out!r})"


class Wrong(Exception):
    """The package is not as it has to be; the text says what, a line each."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Build fsmflow as it is published, and check that.")
    parser.add_argument("--out", type=Path, default=Path("dist"), help="where to (default: dist)")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="build nothing, check what is in FOLDER")
    options = parser.parse_args()
    try:
        out = options.check or build(options.out.absolute())
        for line in check(out):
            print(line, flush=True)
    except Wrong as wrong:
        print(f"Error: {wrong}", file=sys.stderr)
        return 1
    return 0


def build(out: Path) -> Path:
    """Build both into a folder, which is made and must hold no others. Raises Wrong."""
    if Version(metadata.version("setuptools")) < WITH_WHEELS:
        raise Wrong(f"this environment's setuptools cannot make wheels; pip install 'setuptools>={WITH_WHEELS}'")
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise Wrong(f"{out} is not empty; remove what is in it, so that nothing old is published")
    with tempfile.TemporaryDirectory() as folder:
        _export(Path(folder))
        _run([sys.executable, "-c", BUILD.format(out=str(out))], Path(folder))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    _run([*pip, "--wheel-dir", str(out), str(one_of(out, "*.tar.gz"))], out)
    return out


def check(out: Path) -> Iterator[str]:
    """Check what a folder holds; what was found, a line each. Raises Wrong."""
    wheel = one_of(out, "*.whl")
    with zipfile.ZipFile(wheel) as zipped:
        held = _contents(wheel.name, zipped.namelist(), set())
        told = _metadata(zipped)
    sdist = one_of(out, "*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = [str(PurePosixPath(*PurePosixPath(one.name).parts[1:])) for one in archive if one.isfile()]
    yield f"{sdist.name}: {_contents(sdist.name, inside, BESIDE):,} files of the package"
    yield f"{wheel.name}: {held:,} files of the package"
    licence = told.license_expression or told.license
    yield f"{told.name} {told.version}, Python {told.requires_python}, licence {licence}"
    if sdist.name != f"fsmflow-{told.version}.tar.gz" or not wheel.name.startswith(f"fsmflow-{told.version}-py3-"):
        raise Wrong(f"{sdist.name} and {wheel.name} are not both of version {told.version}")
    yield f"installed into an empty environment: the README's first machine is in {try_out(wheel)}"


def _contents(archive: str, names: list[str], beside: set[str]) -> int:
    """How many files of the package an archive has. Raises Wrong where these are not all, or where there are others."""
    found = {name for name in names if name.startswith("fsmflow/")}
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / "fsmflow").rglob("*.py")} | {"fsmflow/py.typed"}
    wanted |= {str(path.relative_to(ROOT)) for folder in OF_PAGES for path in (ROOT / folder).iterdir()}
    made = re.compile(r"fsmflow(-[^/]+)?\.(dist-info|egg-info)/")
    others = {name for name in names if not made.match(name)} - found - beside
    faults = [f"{name} is missing" for name in sorted((wanted | beside) - {*names})]
    faults += [f"{name} does not belong into it" for name in sorted(found - wanted | others)]
    if not any(PurePosixPath(name).name == "LICENSE" for name in names):
        faults.append("the licence is missing")
    if faults:
        raise Wrong("\n".join(f"{archive}: {fault}" for fault in faults))
    return len(found)


def _metadata(wheel: zipfile.ZipFile) -> Metadata:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    try:
        told = Metadata.from_email(wheel.read(name), validate=True)
    except ExceptionGroup as wrong:
        raise Wrong("\n".join(f"metadata: {fault}" for fault in wrong.exceptions)) from wrong
    if told.description_content_type != "text/markdown" or "Typing :: Typed" not in (told.classifiers or []):
        raise Wrong("metadata: the README is to be its description, as Markdown, and its types are to be named")
    return told


def try_out(wheel: Path) -> str:
    """Install the wheel into an empty environment, and run the README's first machine there; the state it comes to."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        venv.create(folder / "env", with_pip=False, symlinks=True)
        programs = folder / "env" / "bin"
        pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "--quiet"]
        _run([*pip, "install", "--no-deps", "--no-index", str(wheel)], folder)
        (site,) = (folder / "env").glob("lib/python*/site-packages")
        _lend(site, f"fsmflow[{EXTRA}]", metadata.Distribution.at(next(site.glob("fsmflow-*.dist-info"))))
        _run([*pip, "check"], folder)
        (folder / "home").mkdir()
        (example,) = EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
        (folder / "home" / "machines.py").write_text(example, encoding="utf-8")
        (folder / "home" / "letter.txt").write_text("welcome aboard\n", encoding="utf-8")
        _run([str(programs / "python"), "machines.py"], folder / "home")
        _run([str(programs / "fsmflow"), "worker", "--burst"], folder / "home")
        shown = json.loads(_run([str(programs / "fsmflow"), "show", "signup:1", "--json"], folder / "home"))
        if shown["state"] != "welcomed":
            raise Wrong(f"the README's first machine is in {shown['state']}, not in welcomed: {shown['failure']}")
        return str(shown["state"])


def _lend(site: Path, name: str, distribution: metadata.Distribution) -> None:
    """Have what a package asks for stand in an environment, and what that asks for: links to what this one has."""
    extras = Requirement(name).extras or {""}
    for text in distribution.requires or []:
        asked = Requirement(text)
        if asked.marker is not None and not any(asked.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        found = metadata.distribution(asked.name)
        tops = {site / PurePosixPath(str(file)).parts[0] for file in found.files or [] if ".." not in file.parts}
        missing = [top for top in tops if not top.exists() and top.name != "__pycache__"]
        for top in missing:
            top.symlink_to(Path(str(found.locate_file(top.name))))
        if missing:
            _lend(site, text.partition(";")[0], found)


def one_of(folder: Path, pattern: str) -> Path:
    """The only file of its kind. Raises Wrong."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise Wrong(f"{folder} has {len(found)} files {pattern}, and is to have one")
    return found[0]


def _export(folder: Path) -> None:
    """Copy what git knows, as it is in this checkout: what lies about beside it is not built."""
    for name in _run(["git", "ls-files", "-z"], ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


def _run(command: list[str], folder: Path) -> str:
    """Run a program; what it prints. It sees no other fsmflow than the one that is installed. Raises Wrong."""
    ours = ("PYTHONPATH", "FSMFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if ended.returncode:
        raise Wrong(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
