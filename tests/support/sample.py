"""Of what goes through all floors, a sample: each test on SQLite, and on one of the two servers, in turn.

What reaches a database is written by the store, whose own tests run on all of them, and so do the attacks.
FSMFLOW_TEST_SAMPLED asks for the sample: scripts/test.py sets it, unless it runs the whole.
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

#: The parts of which a sample is enough.
PARTS = ("scenarios", "engine", "running", "verify", "machine", "operations", "web")
_SERVERS = ("postgres", "mysql")
_TESTS = Path(__file__).parent.parent


def left_out(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """What is not run: of a test that is there for both servers, one. Nothing where only one of them answers."""
    named = all(os.environ.get(f"FSMFLOW_TEST_{server.upper()}_URL") for server in _SERVERS)
    if not named or not os.environ.get("FSMFLOW_TEST_SAMPLED"):
        return set()
    found: dict[str, dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        server = next((name for name in _SERVERS if item.get_closest_marker(name)), None)
        if server is not None and item.path.relative_to(_TESTS).parts[0] in PARTS:
            found[item.nodeid.replace(server, "*")][server] = item
    return {
        both[_SERVERS[zlib.crc32(test.encode()) % len(_SERVERS)]]
        for test, both in found.items()
        if len(both) == len(_SERVERS)
    }
