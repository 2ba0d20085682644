"""``python scripts/demo.py``, as it runs without a terminal, and what it tells people to type next."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.paths import ROOT

DEMO = [sys.executable, str(ROOT / "scripts" / "demo.py")]
LIMIT_S = 120.0
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home for several runs of the demo, one after the other, with the packages that we run with."""
    return settings(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def fresh_environment(tmp_path: Path) -> dict[str, str]:
    """A home that nobody has used."""
    return settings(tmp_path)


def settings(folder: Path) -> dict[str, str]:
    """What the demo gets from the shell."""
    return {
        **os.environ,
        "FSMFLOW_SKIP_VENV": "1",
        "FSMFLOW_HOME": str(folder / "home"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(ROOT),
    }


def run(command: list[str] | str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def demo(environment: dict[str, str], *options: str) -> str:
    """What the demo prints, which is plain text, and all goes well."""
    done = run([*DEMO, *options], environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not CONTROL.search(done.stdout)
    return done.stdout


def charges(environment: dict[str, str]) -> list[str]:
    """The orders that the gateway has charged, one for each charge."""
    ledger = Path(environment["FSMFLOW_HOME"], "gateway.jsonl")
    lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []
    return [json.loads(line)["order"] for line in lines]


def failed_one(printed: str) -> str:
    (found,) = re.findall(r"^  (order:\d+) rests in failed_from_charging, after 3 attempts", printed, re.MULTILINE)
    return str(found)


def test_the_demo_fails_one_order_and_what_it_tells_to_type_retries_that_order(environment: dict[str, str]) -> None:
    charged_before = len(charges(environment))
    printed = demo(environment)
    order = failed_one(printed)
    assert "orders shipped: 35 of 36" in printed
    assert re.search(r"podcast:\d+ is in released", printed)
    # Four blanks begin what is copied whole, and a path may be as long as it likes.
    told = [line for line in printed.splitlines() if not line.startswith("    ")]
    assert [line for line in told if len(line) > 80 and "/" not in line] == []
    typed = re.findall(r"^    (\S.*)$", printed.partition("three things to try.")[2], re.MULTILINE)
    assert f"python scripts/retry.py {order}" in typed
    drawn = [found[0] for found in re.finditer(r"\S+\.svg", printed)]
    outputs = [run(command, environment) for command in typed]
    assert [output.returncode for output in outputs] == [0] * len(typed), [output.stderr for output in outputs]
    (history,) = [output for command, output in zip(typed, outputs, strict=True) if " history " in command]
    assert "shipping -> shipped" in history.stdout
    assert [Path(path).read_text(encoding="utf-8")[:5] for path in drawn] == ["<svg "] * 2
    charged = charges(environment)
    assert len(charged) == len(set(charged)) == charged_before + 36


def test_the_demo_may_be_run_again_and_its_retry_does_all_of_it(environment: dict[str, str]) -> None:
    charged_before = len(charges(environment))
    order = failed_one(demo(environment))
    printed = demo(environment, "--retry")
    assert f"retrying {order}" in printed
    assert printed.count("--- retried: it goes on from charging") == 1
    assert "orders shipped: 1 of 1" in printed
    charged = charges(environment)
    assert len(charged) == len(set(charged)) == charged_before + 36
    assert demo(environment, "--retry").startswith(f"{order} was retried already; nothing to do.")


def test_a_retry_before_any_demo_says_what_makes_an_order(fresh_environment: dict[str, str]) -> None:
    run([sys.executable, "-m", "fsmflow", "init"], {**fresh_environment, "FSMFLOW_MACHINES": "machines.order"})
    nothing_there = run([*DEMO, "--retry"], fresh_environment)
    assert nothing_there.returncode == 1
    assert "the gateway has left no order" in nothing_there.stderr


def test_an_interrupted_demo_leaves_no_process_behind(fresh_environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        DEMO,
        cwd=ROOT,
        env=fresh_environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "charging" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
        rest = process.stdout.read()
        assert "interrupted" in rest
        assert "Traceback" not in rest
        # The embedded server waits a while for others before it ends.
        eventually(lambda: not processes_of(fresh_environment["FSMFLOW_HOME"]), what="the end of all processes")
    finally:
        process.kill()
        process.communicate()


def by_itself(code: str, **environment: str) -> str:
    """What a part of the demo prints."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, 'scripts'); {code}"]
    done = run(command, {**os.environ, "PYTHONPATH": str(ROOT), **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_is_called_as_it_is_there(tmp_path: Path) -> None:
    code = "import _demo_setting; print(_demo_setting.python())"
    assert by_itself(code, PATH=str(tmp_path)) == "python3\n"
    (tmp_path / "python").symlink_to(sys.executable)
    assert by_itself(code, PATH=str(tmp_path)) == "python\n"


def test_failures_are_red_where_colours_are_shown() -> None:
    code = "import _demo_screen as it; it.say('  it rests', style=it.FAILURE)"
    assert by_itself(code, FORCE_COLOR="1", TERM="xterm", NO_COLOR="") == "\x1b[31m  it rests\x1b[0m\n"
    assert by_itself(code, FORCE_COLOR="") == "  it rests\n"


def test_lines_are_broken_between_words_and_what_is_copied_is_not() -> None:
    code = "import _demo_screen as it; it.say('  ' + 9 * 'orders '); it.show_typed(9 * 'orders ')"
    *told, typed = by_itself(code, COLUMNS="40").splitlines()
    assert told == [f"  {' '.join(['orders'] * 5)}", f"    {' '.join(['orders'] * 4)}"]
    assert typed == 9 * "orders "


def processes_of(home: str) -> list[int]:
    """The processes that have this home in their environment or on their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if home.encode() in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended, or is not ours
    return found


def test_workers_that_cannot_start_are_told_with_the_end_of_their_log(fresh_environment: dict[str, str]) -> None:
    started = time.monotonic()
    done = run(DEMO, {**fresh_environment, "FSMFLOW_REDIS_URL": "no-url"})
    assert done.returncode == 1
    assert "the demo cannot go on: 'fsmflow worker' ended with status 1; the end of the workers' log" in done.stderr
    assert "the Redis URL cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < LIMIT_S / 2
