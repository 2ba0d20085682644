"""The environment of each peer: made on demand, in the cache of this user, and kept for the next run."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from _packages import finish

_MADE_WITHIN_S = 600.0
_STAMP = "bench.json"
_VERSIONS = "import importlib.metadata as m, sys; print(*(m.version(name) for name in sys.argv[1:]))"


def cache() -> Path:
    """Where environments are kept. Removing it removes them all."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fsmflow-bench"


def python_of(packages: Sequence[str]) -> Path:
    """The Python of an environment with these packages; that of the benchmark, where there are none. Raises Unavailable
    where they cannot be installed."""
    if not packages:
        return Path(sys.executable)
    wanted = {"packages": list(packages), "python": sys.version}
    folder = cache() / hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:12]
    with _alone(folder):
        if not (folder / _STAMP).exists():
            _make(folder, packages)
            (folder / _STAMP).write_text(json.dumps(wanted))
    return folder / "bin" / "python"


def version_of(python: Path, packages: Sequence[str]) -> str:
    """The version of the first of these packages."""
    name = packages[0].partition("[")[0].partition(">")[0]
    found = subprocess.run([python, "-c", _VERSIONS, name], capture_output=True, text=True, check=True)
    return f"{name} {found.stdout.strip()}"


def _make(folder: Path, packages: Sequence[str]) -> None:
    print(f"an environment with {', '.join(packages)}…", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    finish([sys.executable, "-m", "venv", str(folder)], env=environment, timeout=_MADE_WITHIN_S)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input", *packages]
    finish(install, env=environment, timeout=_MADE_WITHIN_S)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two runs at once make one environment."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
