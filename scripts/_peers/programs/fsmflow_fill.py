"""Fills a database for fsmflow's own side. Apart from what runs in it, as it stands on much more."""

from __future__ import annotations

import os

from _bench_fill import fill as fill_database
from fsmflow.engine.runtime import current
from fsmflow.settings import current as settings
from fsmflow.store.store import create_store


def fill(entities: int) -> None:
    """Put so many into an empty database, with so many lines of history each."""
    create_store(settings())
    fill_database(current(), entities, history=int(os.environ["BENCH_HISTORY"]))
