"""Releases the version that fsmflow/__init__.py names, from the commit that is checked out.

    python scripts/release.py --dry-run     # look, build and check; nothing is kept
    python scripts/release.py               # build into dist, check, and tag the commit
    python scripts/release.py --upload      # and upload what was built, by twine

A release is refused where something is not committed, where the first version in CHANGELOG.md is not this one with a
date, and where this version is tagged elsewhere. Nothing is pushed. The exit status is 1 if it was refused.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _bootstrap import ensure_venv

if __name__ == "__main__":
    ensure_venv("test,release" if "--upload" in sys.argv else "test")

from package import Wrong, build, check

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
HEADING = re.compile(r"^## \[([^\]]+)\] - (.+)$", re.MULTILINE)
DATE = re.compile(r"\d{4}-\d\d-\d\d")


def main() -> int:
    options = _read_arguments()
    version = _first(VERSION, "fsmflow/__init__.py")[0]
    faults = list(_faults(version))
    for fault in faults:
        print(f"Error: {fault}", file=sys.stderr, flush=True)
    if faults and not options.dry_run:
        return 1
    try:
        if options.dry_run:
            with tempfile.TemporaryDirectory() as folder:
                _build(Path(folder))
            print(f"{version} {'is not ready to be released' if faults else 'can be released'}; nothing was kept")
            return 1 if faults else 0
        _release(version, upload=options.upload)
    except Wrong as wrong:
        print(f"Error: {wrong}", file=sys.stderr)
        return 1
    return 0


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Release the version that fsmflow/__init__.py names.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="look, build and check; keep nothing, tag nothing")
    what.add_argument("--upload", action="store_true", help="upload to the package index that twine is set to use")
    return parser.parse_args()


def _release(version: str, *, upload: bool) -> None:
    _build(ROOT / "dist")
    tag = f"v{version}"
    if not _tagged(tag):
        _git("tag", "--annotate", tag, "--message", f"fsmflow {version}")
    print(f"{tag} is tagged; it is pushed by: git push origin {tag}")
    if upload:
        files = [str(path) for path in sorted((ROOT / "dist").iterdir())]
        for what in (["check", "--strict"], ["upload"]):
            if subprocess.run([sys.executable, "-m", "twine", *what, *files], cwd=ROOT, check=False).returncode:
                raise Wrong(f"twine {what[0]} failed; what was built is in dist, and {tag} stays")


def _build(out: Path) -> None:
    for line in check(build(out)):
        print(line, flush=True)


def _faults(version: str) -> Iterator[str]:
    """Why this commit cannot be released as this version."""
    changed = _git("status", "--porcelain").splitlines()
    if changed:
        yield f"{len(changed)} files are not committed, such as {changed[0][3:]}: commit them, or put them away"
    named, date = _first(HEADING, "CHANGELOG.md")
    if named != version:
        yield f"the first version in CHANGELOG.md is {named}, and fsmflow/__init__.py has {version}: make them one"
    elif not DATE.fullmatch(date):
        yield f"CHANGELOG.md has {date!r} for {version}: write the day of the release there, as 2030-01-31"
    tagged = _tagged(f"v{version}")
    if tagged and tagged != _git("rev-parse", "HEAD").strip():
        yield f"v{version} is tagged at {tagged[:10]}, which is another commit: a version is released once"


def _tagged(tag: str) -> str:
    """The commit that a tag names; nothing where there is no such tag."""
    return _git("for-each-ref", "--format=%(*objectname)", f"refs/tags/{tag}").strip()


def _first(pattern: re.Pattern[str], file: str) -> tuple[str, ...]:
    found = pattern.search((ROOT / file).read_text(encoding="utf-8"))
    return found.groups() if found else ("none", "none")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
