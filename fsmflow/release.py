"""Which code a process runs: what ``FSMFLOW_RELEASE`` says, else its commit, else a digest of the machines' source."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from fsmflow.settings import MachineSource, Settings
from fsmflow.values import dataclass

_LENGTH: Final = 12
#: Of a digest: it is no commit, and no name that somebody gave.
_DIGEST: Final = "source-"


@dataclass(frozen=True, kw_only=True)
class Release:
    """``name``: what the code is called; None where nothing tells. ``source``: a digest of the machines' source files,
    which differs where these were edited since the commit; None where there are none."""

    name: str | None = None
    source: str | None = None

    @property
    def is_digest(self) -> bool:
        """Whether nothing but its source tells what it is called."""
        return self.name == f"{_DIGEST}{self.source}"


class _Noted:
    """What this process runs, as it was when that was first asked: files may change under a process that lives."""

    key: tuple[object, ...] | None = None
    release = Release()


def note(settings: Settings) -> Release:
    """What this process runs by these settings; looked for once, as early as can be. Reads a few files, runs nothing,
    and never raises."""
    key = (settings.release, settings.machines)
    if _Noted.key != key:
        _Noted.release = look(settings)
        _Noted.key = key
    return _Noted.release


def here() -> str | None:
    """What ``note`` found last. Reads nothing."""
    return _Noted.release.name


def look(settings: Settings) -> Release:
    """The release of the code as its files are now."""
    files = list(dict.fromkeys(files_of(settings.machines)))
    source = _digest_of(files)
    folder = files[0].parent if files else Path.cwd()
    name = settings.release or _commit_of(folder) or (None if source is None else f"{_DIGEST}{source}")
    return Release(name=name, source=source)


def files_of(sources: Iterable[MachineSource]) -> Iterator[Path]:
    """The source files of the machines, by what is imported already, or would be found; nothing is imported for it."""
    for source in sources:
        if isinstance(source, str):
            yield from _of_module(source)
        else:
            module = source if isinstance(source, ModuleType) else sys.modules.get(source.__module__)
            yield from _of_file(getattr(module, "__file__", None))


def _of_module(name: str) -> Iterator[Path]:
    first, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError, AttributeError):  # its entry in sys.modules may be anything
        return
    if spec is None:
        return
    if not rest:
        yield from _of_file(spec.origin)
        return
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        yield from _of_file(str(path / "__init__.py") if path.is_dir() else f"{path}.py")


def _of_file(name: str | None) -> Iterator[Path]:
    """A module's file, and all that lies below a package's."""
    path = Path(name or "")
    if path.suffix != ".py":
        return
    if path.name == "__init__.py":
        yield from sorted(path.parent.rglob("*.py"))
    elif path.is_file():
        yield path


def _digest_of(files: list[Path]) -> str | None:
    digest = hashlib.sha256()
    try:
        for file in files:
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    except OSError:
        return None
    return digest.hexdigest()[:_LENGTH] if files else None


def _commit_of(folder: Path) -> str | None:
    """The commit that is checked out around a folder, as git's files tell it; None where they do not."""
    found = (above / ".git" for above in (folder, *folder.parents))
    git = next((path for path in found if path.exists()), None)
    try:
        return None if git is None else _head_of(git)
    except (OSError, ValueError):  # not ours to read; no text
        return None


def _head_of(git: Path) -> str | None:
    if git.is_file():  # of a worktree, or a submodule
        git = git.parent / git.read_text().removeprefix("gitdir:").strip()
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return _commit(head)
    name = head.removeprefix("ref:").strip()
    shared = git / "commondir"
    common = git / shared.read_text().strip() if shared.is_file() else git
    loose = common / name
    if loose.is_file():
        return _commit(loose.read_text())
    packed = common / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((_commit(line) for line in lines if line.endswith(f" {name}")), None)


def _commit(text: str) -> str | None:
    word = text.split(maxsplit=1)[0] if text.strip() else ""
    is_hash = len(word) >= _LENGTH and all(digit in "0123456789abcdef" for digit in word)
    return word[:_LENGTH] if is_hash else None
