"""Asks the database again and again, as fsmflow asks, and notes how long each statement took to end.

python -m _chaos.probe DATABASE_URL FILE
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from fsmflow.errors import DatabaseUnavailable
from fsmflow.store.link import Link, open_database

_EVERY_S = 0.5


def ask(link: Link) -> tuple[float, bool]:
    """How many seconds one statement takes to end, well or not, and whether it was answered."""
    began = time.monotonic()
    try:
        link.query("SELECT 1")
        answered = True
    except DatabaseUnavailable:
        answered = False
    return time.monotonic() - began, answered


def main(url: str, path: str) -> None:
    link = Link(open_database(url), own=True)
    while True:
        seconds, answered = ask(link)
        with Path(path).open("a") as file:
            file.write(json.dumps([seconds, answered]) + "\n")
        time.sleep(_EVERY_S)


def longest(folder: Path) -> float:
    """The seconds that the longest of all statements took, in the notes of all hosts."""
    lines = [line for path in folder.glob("*.probe") for line in path.read_text().splitlines(keepends=True)]
    return max((json.loads(line)[0] for line in lines if line.endswith("\n")), default=0.0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
