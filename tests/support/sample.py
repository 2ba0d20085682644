"""Of what goes through all floors, a sample: each test on SQLite, and on one of the two servers. Of what takes many
processes, half: the other half is run in the week after. Of what takes longest, one case: the next one in the week
after.

What reaches a database is written by the store, whose own tests run on all of them, and so do the attacks.
FSMFLOW_TEST_SAMPLED asks for the sample: scripts/test.py sets it, unless it runs the whole.
"""

from __future__ import annotations

import os
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

SERVERS = ("postgres", "mysql")
#: The parts of which a sample is enough.
PARTS = ("scenarios", "engine", "running", "verify", "machine", "operations", "web")
#: What takes many processes and long, and where a mistake does no harm before it is found.
SELDOM = (
    "docs/test_pages.py::test_a_page_does_what_it_says[docs/how-to/",
    "docs/test_demo.py::test_the_demo_may_be_run_again_and_its_retry_does_all_of_it",
    "docs/test_performance.py::test_a_small_run_is_told_as_a_table_as_json_as_a_picture_and_on_the_page",
    "packaging/test_release.py::",
    "dispatch/test_fleets.py::test_a_master_that_is_killed_under_load_loses_nothing",
    "dispatch/test_fleets.py::test_a_slot_that_moves_and_a_node_that_is_killed_under_load_lose_nothing",
    "attacks/simulation/test_simulation.py::test_a_wrong_variant_of_the_protocol_is_found[",
    "attacks/model/test_model.py::test_a_protocol_that_lacks_something_is_found_wrong[",
)
#: Of each of these, the cases of which one is run, in turn. The kill matrix is run on SQLite besides.
IN_TURN = (
    ("attacks/night/test_night.py::test_a_night_is_mended_by_a_repair_while_all_is_killed", "sqlite", *SERVERS),
    ("attacks/killed/test_points.py::", "sqlite", *SERVERS),
    ("attacks/killed/test_matrix.py::test_nothing_is_lost_or_done_twice_wherever_a_process_is_killed", *SERVERS),
    ("attacks/chaos/test_chaos.py::test_a_short_run_on_a_server_loses_and_doubles_nothing", *SERVERS),
)
#: Whether the sample is asked for.
SAMPLED = bool(os.environ.get("FSMFLOW_TEST_SAMPLED"))
_TESTS = Path(__file__).parent.parent


def left_out(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """What is not run: of a test that is there for both servers, one, and of what is seldom run the other half. Both
    servers are tested where only one of them answers."""
    if not SAMPLED:
        return set()
    there, week = [server for server in SERVERS if _answers(server)], int(time.strftime("%V", time.gmtime()))
    seldom = {item for item in items if _is_for_another_week(item, there, week)}
    return seldom | (_on_other_servers(items) if len(there) == len(SERVERS) else set())


def _is_for_another_week(item: pytest.Item, servers: Sequence[str], week: int) -> bool:
    name = f"{_place(item.path)}::{item.name}"
    for number, (test, *cases) in enumerate(IN_TURN):
        there = [case for case in cases if case not in SERVERS or case in servers] if name.startswith(test) else []
        if name.endswith(tuple(f"[{case}]" for case in there)):
            return not name.endswith(f"[{there[(week + number) % len(there)]}]")
    return name.startswith(SELDOM) and zlib.crc32(name.encode()) % 2 != week % 2


def _on_other_servers(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    found: dict[str, dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        server = next((name for name in SERVERS if item.get_closest_marker(name)), None)
        if server is not None and _place(item.path).partition("/")[0] in PARTS:
            found[item.nodeid.replace(server, "*")][server] = item
    return {
        both[SERVERS[zlib.crc32(test.encode()) % len(SERVERS)]]
        for test, both in found.items()
        if len(both) == len(SERVERS)
    }


@cache
def _place(path: Path) -> str:
    return str(path.relative_to(_TESTS))


def _answers(server: str) -> bool:
    """Whether there is one for the tests."""
    return bool(os.environ.get(f"FSMFLOW_TEST_{server.upper()}_URL"))
