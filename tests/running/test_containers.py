"""As in a container: the first process of all, a root that is read-only, workers that never start."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.processes import COMMAND, Supervisor, World
from tests.support.unruly_flows import Unruly

APART = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def needs(command: Sequence[str], what: str) -> None:
    """Skip where the system does not let this user do it."""
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"{what}: {error}")
    if tried.returncode:
        pytest.skip(f"{what} is not allowed here: {tried.stderr.strip()}")


def read_only(folder: Path) -> tuple[str, ...]:
    """What a command begins with to find everything but one folder read-only."""
    script = 'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec "$@"'
    return ("unshare", "--mount", "sh", "-c", script, str(folder))


def started(place: World, before: Sequence[str]) -> Supervisor:
    supervisor = Supervisor(place, ["worker", "--processes", "1"], command=[*before, *COMMAND])
    place.supervisors.append(supervisor)
    return supervisor


def test_as_the_first_process_it_leaves_no_zombies_and_ends_as_told(place: World) -> None:
    needs(APART, "a process namespace")
    supervisor = started(place, APART)
    unruly = Unruly.start("1", how="orphans")
    unruly.trigger("go")
    unruly.wait("over", timeout=30)
    assert "fsmflow" in unruly.data["first"]
    assert unruly.data["zombies"] == 0
    (first,) = supervisor.workers()
    os.kill(first, 15)
    assert supervisor.ended() == 0
    assert "supervisor.stopping: finishing the running steps" in supervisor.log


def test_it_works_where_nothing_but_the_database_can_be_written(place: World) -> None:
    before = read_only(place.folder)
    needs(before, "a mount namespace")
    supervisor = started(place, before)
    unruly = Unruly.start("1", how="nothing")
    unruly.trigger("go")
    unruly.wait("over", timeout=30)
    supervisor.terminate()
    assert supervisor.ended() == 0


def test_without_a_place_for_the_embedded_servers_it_ends_with_one_line(place: World, tmp_path: Path) -> None:
    before = read_only(place.folder)
    needs(before, "a mount namespace")
    for name in ("FSMFLOW_DATABASE_URL", "FSMFLOW_REDIS_URL"):
        place.environment.pop(name)
    place.environment["FSMFLOW_HOME"] = "/nowhere"
    supervisor = started(place, before)
    assert supervisor.ended() == 1
    (line,) = supervisor.log.splitlines()
    assert "/nowhere" in line
    assert "FSMFLOW_" in line


@pytest.mark.parametrize("ends", ["raise RuntimeError('only here')", "os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_supervisor_whose_workers_never_start_ends_with_status_1_and_says_why(place: World, ends: str) -> None:
    (place.folder / "broken.py").write_text(
        "import os, sys\nfrom tests.support.unruly_flows import *\n"
        f"if 'fsmflow.running.worker' in sys.orig_argv:\n    {ends}\n"
    )
    path = f"{place.folder}:{place.environment['PYTHONPATH']}"
    place.environment |= {"FSMFLOW_MACHINES": "broken", "PYTHONPATH": path}
    supervisor = started(place, ())
    assert supervisor.ended(within=120) == 1
    lines = [line for line in supervisor.log.splitlines() if "supervisor.gave_up" in line]
    assert len(lines) == 1
    assert "none was ever ready: the last one" in lines[0]
