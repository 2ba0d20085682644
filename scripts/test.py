"""Runs every check of fsmflow: style, types, floors, then the tests, and beside the last of them a simulation.

    python scripts/test.py [--quick] [--whole] [--coverage] [what pytest takes]

The packages are installed into .venv first. PostgreSQL and MariaDB are started for the tests, beside the checks
(scripts/_servers.py).
--quick does without these two. --whole runs what is else sampled: all tests on both servers, and what is slow there.
All checks run, whatever fails; the exit status is 1 if any did.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

from _bootstrap import ensure_venv

if __name__ == "__main__":
    ensure_venv("test")

from _packages import ensure_chromium, ensure_mysqlclient
from _servers import MariaDB, Postgres, Server, databases, fast_folder

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
ENDS_WITHIN_S = 60.0
INTERRUPTED = 130
#: More than there are cores, as many tests wait for processes; who is done takes over from who has long ones.
SIDE_BY_SIDE = ["-n", "4", "--dist", "worksteal"]
#: What takes long is said at the end, so that it can be seen what grows.
SLOW_ARE_NAMED = ["--durations=40", "--durations-min=4"]
#: How many are simulated: with all tests, and with the quick ones.
SCHEDULES = (300, 150)
#: What the tests are told: to run all on each database, or a sample (tests/support/sample.py).
WHOLE, SAMPLED = "FSMFLOW_TEST_WHOLE", "FSMFLOW_TEST_SAMPLED"
KINDS: tuple[type[Server], ...] = (Postgres, MariaDB)
#: Thousands of processes are started by the tests: each would compile what it imports anew, where an image of a
#: container has told Python to write nothing of that.
COMPILED = [sys.executable, "-m", "compileall", "-q", "-j", "0", "fsmflow", "machines", "examples", "scripts", "tests"]
#: So are the tests themselves, in a way of pytest's own; each of those side by side would do that anew.
COLLECTED = {"collection": [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:terminal"]}
CHECKS = {
    "style": [sys.executable, "-m", "ruff", "check", "."],
    "format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "types": [sys.executable, "-m", "mypy"],
    "imports": [str(BIN / "lint-imports"), "--no-logo"],
    "floors": [sys.executable, "scripts/floors.py"],
    "dead code": [sys.executable, "-m", "vulture"],
    "spelling": [str(BIN / "typos")],
}

#: By name, whether it passed and the seconds that it took.
Results = list[tuple[str, bool, float]]


class Terminated(KeyboardInterrupt):
    """Somebody asked this process alone to end."""


def main() -> int:
    options, pytest_arguments = _read_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    results: Results = []
    try:
        _run(COMPILED, _environment())
        # What is installed, started or run alone leaves a processor idle.
        beside = CHECKS if pytest_arguments else CHECKS | COLLECTED
        with _beside(beside, _environment()) as checked, _databases(options.quick) as environment:
            results += checked()
            with _temporary(environment):
                *first, (name, command) = _test_commands(options, pytest_arguments, environment)
                results += [_check(*each, environment) for each in first]
                schedules = 0 if pytest_arguments else SCHEDULES[options.quick]
                with _beside(_simulation(schedules), environment) as simulated:
                    results.append(_check(name, command, environment))
                    results += simulated()
    except KeyboardInterrupt:
        print("\ninterrupted", flush=True)
        return INTERRUPTED
    return _summary(results)


def _read_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description="Run every check of fsmflow, and its tests.",
        epilog="Everything else is passed to pytest, and nothing but these tests is run: test.py -k retry -x",
        allow_abbrev=False,
    )
    parser.add_argument("--quick", action="store_true", help="leave out the tests on PostgreSQL and MariaDB")
    parser.add_argument("--whole", action="store_true", help="run all that is else sampled on the two servers")
    parser.add_argument("--coverage", action="store_true", help="measure the coverage too, which takes longer")
    return parser.parse_known_args()


def _test_commands(
    options: argparse.Namespace, arguments: list[str], environment: dict[str, str]
) -> list[tuple[str, list[str]]]:
    """Most tests side by side, then those that want the machine for themselves, whose coverage is added."""
    pytest = [sys.executable, "-m", "pytest"]
    if options.whole:
        environment[WHOLE] = "1"
    if arguments:
        return [("tests", [*pytest, *arguments])]
    if not options.whole:
        environment[SAMPLED] = "1"
    pytest += SLOW_ARE_NAMED
    together, alone = [*pytest, "-m", "not alone", *SIDE_BY_SIDE], [*pytest, "-m", "alone", *_with_alone()]
    if not options.coverage:
        return [("together", together), ("alone", alone)]
    together += ["--cov", "--cov-report=", "--cov-fail-under=0"]
    alone += ["--cov", "--cov-append"]
    if any(kind.variable not in environment for kind in KINDS):
        print("not every database is there: coverage is shown, its floor is not enforced", flush=True)
        alone.append("--cov-fail-under=0")
    return [("together", together), ("alone", alone)]


def _with_alone() -> list[str]:
    """The files with tests that are run alone: to read all takes a quarter of a minute."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if "mark.alone" in file.read_text(encoding="utf-8")]


@contextlib.contextmanager
def _temporary(environment: dict[str, str]) -> Iterator[None]:
    """Give the tests a folder of their own for their files, in memory where that has room."""
    with tempfile.TemporaryDirectory(prefix="fsm-", dir=fast_folder(), ignore_cleanup_errors=True) as folder:
        environment["TMPDIR"] = folder
        yield


@contextlib.contextmanager
def _databases(quick: bool) -> Iterator[dict[str, str]]:
    """The environment of the tests; while it is open, so are the databases."""
    environment = _environment()
    if quick:
        for kind in KINDS:
            environment.pop(kind.variable, None)
            print(f"{kind.label}: left out (--quick); its tests are skipped", flush=True)
        yield environment
    else:
        ensure_chromium()
        with databases() as urls:
            if MariaDB.variable in urls or MariaDB.variable in environment:
                ensure_mysqlclient()
            yield environment | urls


def _simulation(schedules: int) -> dict[str, list[str]]:
    """What simulates so many schedules, on what the tests leave of the processor. It is not measured for coverage,
    which would take twice the time."""
    command = ["nice", "-n", "19", sys.executable, "scripts/simulate.py", "--schedules", str(schedules)]
    return {"simulation": command} if schedules else {}


@contextlib.contextmanager
def _beside(commands: dict[str, list[str]], environment: dict[str, str]) -> Iterator[Callable[[], Results]]:
    """Run these beside what is done meanwhile; called, it waits for their end, and tells what each said and how it
    went."""
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(commands) or 1))
        begun = {name: stack.enter_context(_process(pool, command, environment)) for name, command in commands.items()}

        def wait() -> Results:
            results = []
            for name, (ended, output) in begun.items():
                print(f"\n== {name}, begun before: {' '.join(_shown(commands[name]))}", flush=True)
                status, seconds = ended.result()
                output.seek(0)
                print(output.read().decode(), flush=True)
                results.append((name, status == 0, seconds))
            return results

        yield wait


@contextlib.contextmanager
def _process(
    pool: ThreadPoolExecutor, command: list[str], environment: dict[str, str]
) -> Iterator[tuple["Future[tuple[int, float]]", IO[bytes]]]:
    """A process that ends with this block: what comes of it, and the file of what it says."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield pool.submit(lambda: (process.wait(), time.monotonic() - started)), output
        finally:
            process.terminate()
            process.wait()


def _check(name: str, command: list[str], environment: dict[str, str] | None = None) -> tuple[str, bool, float]:
    print(f"\n== {name}: {' '.join(_shown(command))}", flush=True)
    started = time.monotonic()
    status = _run(command, environment or _environment())
    return name, status == 0, time.monotonic() - started


def _run(command: list[str], environment: dict[str, str]) -> int:
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt as interrupt:
        # It has servers and workers of its own to end, so it is waited for. Ctrl-C at a terminal has reached it
        # already, and a second one would keep it from that.
        if isinstance(interrupt, Terminated) or not os.isatty(0):
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(ENDS_WITHIN_S)
        process.kill()
        process.wait()
        raise


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # pytest compiles the tests its own way, once
    if os.environ.get("CI") or not sys.stdout.isatty():
        environment.pop("FORCE_COLOR", None)
        environment["NO_COLOR"] = "1"
    return environment


def _shown(command: list[str]) -> list[str]:
    return [Path(part).name if os.path.isabs(part) else part for part in command]


def _summary(results: Results) -> int:
    print("\n== summary")
    for name, passed, seconds in results:
        print(f"{name:10} {'passed' if passed else 'FAILED'} {seconds:8.1f} s")
    failed = [name for name, passed, _ in results if not passed]
    print(f"FAILED: {', '.join(failed)}" if failed else "all checks passed", flush=True)
    return 1 if failed else 0


def _terminated(number: int, frame: object) -> None:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
