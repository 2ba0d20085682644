"""Packages that the tests need besides those of Python: installed where that can be done, else said in a line."""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INSTALLS_WITHIN_S = 900.0
APT_OPTIONS = ["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::http::Timeout=20"]
_APT_ENVIRONMENT = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
CHROMIUM = "/usr/bin/chromium"
#: What mysqlclient is built with.
_HEADERS = ("default-libmysqlclient-dev", "pkg-config", "gcc", "libc6-dev")


class Unavailable(Exception):
    """A server cannot be had here; the text says why."""


def install_packages(label: str, packages: Sequence[str]) -> str:
    """Install Debian packages where that can be done; the reason where it cannot."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "its programs were not found, and installing them takes root and apt-get"
    print(f"installing {label} with apt-get…", flush=True)
    install = ["apt-get", *APT_OPTIONS, "install", "--yes", "--no-install-recommends", *packages]
    try:
        _read_lists()
        finish(install, env=_APT_ENVIRONMENT, timeout=INSTALLS_WITHIN_S)
    except Unavailable as why:
        return str(why)
    return ""


@functools.cache
def _read_lists() -> None:
    """Read anew what packages there are, once for all of them."""
    finish(["apt-get", *APT_OPTIONS, "update"], env=_APT_ENVIRONMENT, timeout=INSTALLS_WITHIN_S)


def ensure_mysqlclient() -> None:
    """Build mysqlclient for the Python that runs, where that lacks it; else say why its tests are skipped."""
    if importlib.util.find_spec("MySQLdb") is not None:
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "mysqlclient"]
    try:
        if not shutil.which("gcc") or not shutil.which("pkg-config") or not shutil.which("mariadb_config"):
            why = install_packages("what mysqlclient is built with", _HEADERS)
            if why:
                raise Unavailable(why)
        finish(pip, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, timeout=INSTALLS_WITHIN_S)
    except Unavailable as why:
        print(f"mysqlclient: {why}; its tests are skipped", flush=True)


def ensure_chromium() -> None:
    """Install the browser in which pages are tested, where there is none; else say why its tests are skipped."""
    why = "" if Path(CHROMIUM).exists() else install_packages("the browser in which pages are tested", ("chromium",))
    if why:
        print(f"chromium: {why}; its tests are skipped", flush=True)


def finish(
    command: list[str],
    *,
    env: dict[str, str],
    timeout: float,
    cwd: Path | None = None,
    user: str | None = None,
) -> None:
    """Run a program to its end. Raises Unavailable with the last line of what it says, where that is not well."""
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            cwd=cwd,
            user=user,
            extra_groups=[] if user else None,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{Path(command[0]).name}: {error}") from error
    if ended.returncode:
        raise Unavailable(f"{Path(command[0]).name} failed: {last_line(ended.stdout)}")


def last_line(output: str) -> str:
    """The last line of what a program said."""
    return (output.strip().splitlines() or ["it said nothing"])[-1]
