"""Where the demo runs and what it works on: settings, ids, a sound, and what to type next."""

import contextlib
import math
import os
import shlex
import shutil
import sys
import wave
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsmflow import EntityExists, Machine
from fsmflow.cli.places import database_of, redis_of
from fsmflow.settings import from_environment
from machines import gateway
from machines.order import Order

ROOT = Path(__file__).resolve().parent.parent
MACHINES = "machines"
SOUND_S = 20
RATE = 44_100


def choose_settings() -> dict[str, str]:
    """Set what is not set; the environment as it was, which is that of the shell that started the demo."""
    shell = dict(os.environ)
    os.environ["FSMFLOW_HOME"] = str(Path(shell.get("FSMFLOW_HOME") or ROOT / ".fsmflow").absolute())
    os.environ["FSMFLOW_MACHINES"] = MACHINES
    gateway.home().mkdir(mode=0o700, parents=True, exist_ok=True)
    return shell


def preparations(shell: dict[str, str]) -> list[str]:
    """What to type first into that shell, so that commands work on what the demo has worked on."""
    first = [] if Path.cwd() == ROOT else [f"cd {shlex.quote(str(ROOT))}"]
    if (ROOT / (shell.get("FSMFLOW_HOME") or ".fsmflow")).resolve() != gateway.home().resolve():
        first.append(f"export FSMFLOW_HOME={shlex.quote(str(gateway.home()))}")
    if shell.get("FSMFLOW_MACHINES", MACHINES) != MACHINES:
        first.append(f"export FSMFLOW_MACHINES={MACHINES}")
    return first


def to_try(address: str) -> list[tuple[str, list[str]]]:
    """Three things to try, each with what to type."""
    fsmflow = _fsmflow()
    picture = shlex.quote(shown(gateway.home() / "orders.svg"))
    return [
        ("See why it failed, and what is possible now:", [f"{fsmflow} explain {address}"]),
        (
            "Mend the cause and retry. It goes on from the failed step; see what ran, and what did not run again:",
            [
                f"rm {shlex.quote(shown(gateway.home() / 'gateway.down'))}",
                f"{python()} scripts/retry.py {address}",
                f"{fsmflow} worker --burst",
                f"{fsmflow} history {address}",
            ],
        ),
        ("Draw the machine, with how many orders are where:", [f"{fsmflow} draw order --as svg --counts > {picture}"]),
    ]


def python() -> str:
    """Python, as it is typed here: not every system has it under both names."""
    return "python" if shutil.which("python") else "python3"


def surroundings() -> Iterator[tuple[str, str]]:
    """What the demo works with: what it is, and where."""
    chosen = from_environment()
    own_file = shown(gateway.home() / "fsmflow.db")
    yield "database", own_file if chosen.database_url is None else database_of(chosen)
    yield "Redis", "a small Valkey server of its own" if chosen.redis_url is None else redis_of(chosen)


def last_number() -> int:
    """The highest number that an order of the demo has had, also in a database that is gone by now."""
    charged = [int(charge["order"]) for charge in gateway.charges() if charge["order"].isdecimal()]
    return max([1000 + sum(Order.counts().values()), *charged])


def start_next(kind: type[Machine], last: int, **data: Any) -> Machine:
    """Start an entity under the first number above ``last`` that is free."""
    while True:
        last += 1
        with contextlib.suppress(EntityExists):
            return kind.start(last, data)


def record(path: Path) -> Path:
    """Make a real recording: a WAV file with tones, half of them far too quiet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    with wave.open(str(draft), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        for second in range(SOUND_S):
            pitch, loudness = 220 * 2 ** (second % 8 / 12), 12_000 if second % 2 else 1_500
            wave_of = (loudness * math.sin(2 * math.pi * pitch * frame / RATE) for frame in range(RATE))
            sound.writeframes(array("h", map(int, wave_of)).tobytes())
    return draft.replace(path)


def shown(path: Path) -> str:
    """A path as it is typed from the root of the checkout."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _fsmflow() -> str:
    """The command line, as it is typed from the root of the checkout."""
    script = Path(sys.executable).parent / "fsmflow"
    if script.is_file():
        return shlex.quote(shown(script))
    return "fsmflow" if shutil.which("fsmflow") else f"{shlex.quote(sys.executable)} -m fsmflow.cli"
