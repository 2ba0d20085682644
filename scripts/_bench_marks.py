"""When the steps of a benchmark ran: a file of moments, written by every job.

Peers import this in environments of their own, so it stands on the standard library alone.
"""

from __future__ import annotations

import functools
import os
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

STEPS: Final = 5
_MARK: Final = struct.Struct("<d")


def mark() -> None:
    """Append this moment to the file of marks; small appends are whole. The clock is the same in all processes."""
    os.write(_descriptor(os.environ["BENCH_MARKS"]), _MARK.pack(time.monotonic()))


def marks(path: Path) -> list[float]:
    """The moments of all steps so far, in order."""
    data = path.read_bytes() if path.exists() else b""
    return sorted(moment for (moment,) in _MARK.iter_unpack(data[: len(data) // _MARK.size * _MARK.size]))


def count(path: Path) -> int:
    """How many there are so far."""
    return path.stat().st_size // _MARK.size if path.exists() else 0


def keep(path: Path, moments: Iterable[float]) -> None:
    """Write a file of these moments."""
    path.write_bytes(b"".join(_MARK.pack(moment) for moment in moments))


@functools.cache
def _descriptor(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
