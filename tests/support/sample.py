"""Of what goes through all floors, a sample: each test on SQLite, and on one of the two servers, in turn. Of what takes
many processes, half: the other half is run in the week after.

What reaches a database is written by the store, whose own tests run on all of them, and so do the attacks.
FSMFLOW_TEST_SAMPLED asks for the sample: scripts/test.py sets it, unless it runs the whole.
"""

from __future__ import annotations

import os
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

#: The parts of which a sample is enough.
PARTS = ("scenarios", "engine", "running", "verify", "machine", "operations", "web")
#: What takes many processes and long, and where a mistake does no harm before it is found.
SELDOM = (
    "docs/test_pages.py::test_a_page_does_what_it_says[docs/how-to/",
    "packaging/test_release.py::",
    "attacks/killed/test_matrix.py::test_nothing_is_lost_or_done_twice_wherever_a_process_is_killed[postgres",
    "attacks/killed/test_matrix.py::test_nothing_is_lost_or_done_twice_wherever_a_process_is_killed[mysql",
)
#: Whether the sample is asked for.
SAMPLED = bool(os.environ.get("FSMFLOW_TEST_SAMPLED"))
_SERVERS = ("postgres", "mysql")
_TESTS = Path(__file__).parent.parent


def left_out(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """What is not run: of a test that is there for both servers, one, and of what is seldom run the other half. Both
    servers are tested where only one of them answers."""
    if not SAMPLED:
        return set()
    return _on_other_servers(items) | {item for item in items if _is_for_another_week(item)}


def _is_for_another_week(item: pytest.Item) -> bool:
    name = f"{item.path.relative_to(_TESTS)}::{item.name}"
    return name.startswith(SELDOM) and zlib.crc32(name.encode()) % 2 != int(time.strftime("%V", time.gmtime())) % 2


def _on_other_servers(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    if not all(os.environ.get(f"FSMFLOW_TEST_{server.upper()}_URL") for server in _SERVERS):
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
