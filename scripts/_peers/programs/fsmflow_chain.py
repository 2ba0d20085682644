"""fsmflow's own side. The machine is named by BENCH_VARIANT, and each start has ids of its own."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from _bench_marks import keep
from _peers import machines
from _peers.machines import BenchCall
from fsmflow.settings import current as settings
from fsmflow.store.store import create_store

#: What each entity holds: searched fields have values, and jobs that wait know for how long.
_DATA: Final[dict[str, Callable[[int], dict[str, Any]]]] = {
    "BenchSearched": lambda number: {"customer": f"c{number}", "amount": number},
    "BenchWait": lambda number: {"seconds": float(os.environ["BENCH_SECONDS"])},
}


def prepare() -> None:
    """Make the tables, for a worker that starts before there is anything to do."""
    create_store(settings())


def enqueue(chains: int) -> None:
    """Start so many."""
    prepare()
    name, token = os.environ["BENCH_VARIANT"], secrets.token_hex(4)
    data = _DATA.get(name, _nothing)
    getattr(machines, name).start_many((f"{token}-{number}", data(number)) for number in range(chains))


def _nothing(number: int) -> dict[str, Any]:
    return {}


def sends(jobs: int) -> Iterator[Callable[[], object]]:
    """``trigger`` of entities that wait for it."""
    prepare()
    token, machine = secrets.token_hex(4), getattr(machines, os.environ["BENCH_CALL"])
    for number in range(jobs):
        entity = machine.start(f"{token}-{number}")
        yield lambda entity=entity: entity.trigger("call")  # type: ignore[misc]


def crowd(count: int) -> None:
    """Start so many that wait, and keep when that began and ended."""
    prepare()
    token, path = secrets.token_hex(4), Path(os.environ["BENCH_MARKS"]).with_suffix(".sent")
    began = time.monotonic()
    BenchCall.start_many((f"{token}-{number}", {}) for number in range(count))
    keep(path, [began, time.monotonic()])


def fan(branches: int) -> None:
    """Start one with so many branches, and keep when that began."""
    prepare()
    keep(Path(os.environ["BENCH_MARKS"]).with_suffix(".sent"), [time.monotonic()])
    getattr(machines, os.environ["BENCH_VARIANT"]).start(secrets.token_hex(4), count=branches)
