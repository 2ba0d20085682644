"""Gives a script of this checkout its packages: a .venv beside setup.cfg, made and kept up to date without being asked.

A script calls ``ensure_venv("embedded")`` before it imports anything that is not in the standard library. It returns
inside .venv with fsmflow and these extras installed, or ends the script with a line that says why not. Two scripts
may do so at once; one that was killed half-way is made good by the next. Where FSMFLOW_SKIP_VENV is set it does
nothing, and the script runs with the Python and the packages that it was started with.

This file must stay readable for old Pythons (3.6), which are told here that they are too old.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Set

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "fsmflow-setup.json")
# Beside .venv, not in it: it must outlive a .venv that is made anew. While one is being built it holds a word.
LOCK = os.path.join(ROOT, ".venv.lock")
OLDEST = (3, 11)
TAIL = 15


def ensure_venv(extras: str) -> None:
    """Go on in the checkout's .venv, with these extras (comma-separated) installed; starts the script anew there."""
    if sys.version_info < OLDEST:
        _end("fsmflow needs Python 3.11 or newer, this is {}.{}; run it with a newer one".format(*sys.version_info), 2)
    if os.environ.get("FSMFLOW_SKIP_VENV"):
        return
    wanted = {extra.strip() for extra in extras.split(",") if extra.strip()}
    try:
        if not _up_to_date(wanted):
            _build(wanted)
    except OSError as error:
        _end("cannot set up {}: {}; this checkout has to be writable".format(VENV, error))
    except KeyboardInterrupt:
        _end("interrupted; the next run makes .venv anew", 130)
    if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
        sys.stdout.flush()
        os.execv(PYTHON, [PYTHON, *sys.orig_argv[1:]])


def _build(wanted: Set[str]) -> None:
    with _lock() as lock:
        if _up_to_date(wanted):
            return  # somebody else did it while this process waited for the lock
        fresh = _interrupted(lock) or _moved() or not _runs()
        extras = wanted if fresh else wanted | set(_stamp().get("extras", ()))
        _say("setting up .venv (the first time this takes a minute)" if fresh else "bringing .venv up to date")
        _mark(lock, "building")
        if fresh:
            _say("  a virtual environment with Python {}.{}.{}…".format(*sys.version_info))
            _create(lock)
        _say("  fsmflow and what it needs ({}), with pip…".format(", ".join(sorted(extras)) or "nothing optional"))
        _install(extras, lock)
        _write_stamp(extras)
        _mark(lock, "")


def _create(lock: int) -> None:
    # The base interpreter: the one that runs may be inside the very .venv that is cleared.
    base = getattr(sys, "_base_executable", None) or sys.executable
    made = _run([base, "-m", "venv", "--clear", VENV], lock)
    if made.returncode:
        _mark(lock, "")
        advice = "where ensurepip is missing, 'apt-get install python3-venv' brings it; then run this again"
        _fail("Python could not make a virtual environment in .venv", made.stdout, advice)


def _install(extras: Set[str], lock: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(STAMP)
    if _run([PYTHON, "-c", "import pip"], lock).returncode:
        _run([PYTHON, "-m", "ensurepip"], lock)
    what = "{}[{}]".format(ROOT, ",".join(sorted(extras))) if extras else ROOT
    pip = _run([PYTHON, "-m", "pip", "install", "--quiet", "--no-input", "--editable", what], lock)
    if pip.returncode:
        _mark(lock, "")
        advice = "check the network, or the index that pip is set to use, and run this again; rm -r .venv starts anew"
        _fail("pip could not install what fsmflow needs", pip.stdout, advice)


def _run(command: List[str], lock: int) -> "subprocess.CompletedProcess[str]":
    # The child holds the lock too: where this process is killed and the child is not, nobody else touches .venv
    # before the child has ended.
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1")
    environment.pop("PYTHONHOME", None)
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        env=environment,
        pass_fds=(lock,),
        check=False,
    )


def _up_to_date(wanted: Set[str]) -> bool:
    stamp = _stamp()
    return (
        wanted <= set(stamp.get("extras", ()))
        and stamp.get("hash") == _fingerprint()
        and not _moved()
        and os.access(PYTHON, os.X_OK)
    )


def _moved() -> bool:
    """Whether .venv was made for another folder or by a Python that is gone: its scripts and packages point there."""
    stamp = _stamp()
    return bool(stamp) and (stamp.get("root") != ROOT or stamp.get("python") != os.path.realpath(PYTHON))


def _runs() -> bool:
    try:
        return subprocess.call([PYTHON, "-c", ""], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def _stamp() -> Dict[str, Any]:
    try:
        with open(STAMP, encoding="utf-8") as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(extras: Set[str]) -> None:
    stamp = {"root": ROOT, "python": os.path.realpath(PYTHON), "hash": _fingerprint(), "extras": sorted(extras)}
    with open(STAMP + ".new", "w", encoding="utf-8") as file:
        json.dump(stamp, file)
    os.replace(STAMP + ".new", STAMP)


def _fingerprint() -> str:
    digest = hashlib.sha256()
    # The version is in the last of these.
    for name in ("setup.cfg", "pyproject.toml", os.path.join("fsmflow", "__init__.py")):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read() + b"\0")
    return digest.hexdigest()


@contextlib.contextmanager
def _lock() -> Iterator[int]:
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another run that sets up .venv…")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _interrupted(lock: int) -> bool:
    """Whether whoever built last was killed before the end: what it left may be half of a package."""
    return os.fstat(lock).st_size > 0


def _mark(lock: int, word: str) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, word.encode(), 0)


def _fail(what: str, output: str, advice: str) -> None:
    lines = output.strip().splitlines()[-TAIL:]
    _end("\n".join([what + ":"] + ["    " + line for line in lines] + [advice]))


def _end(message: str, status: int = 1) -> None:
    _say(message)
    sys.exit(status)


def _say(message: str) -> None:
    # Not on stdout: that belongs to what the script prints, which may be JSON.
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
