"""Of what goes through all floors, a sample: each test on SQLite, and on one of the two servers. What starts processes
or a browser is run on one of the three, on the next one in the week after. Of what takes many processes and long, a
third: the next one in the week after. Of what takes longest, one case: the next one in the week after.

What reaches a database is written by the store, whose own tests run on all of them, and so do the attacks.
FSMFLOW_TEST_SAMPLED asks for the sample: scripts/test.py sets it, unless it runs the whole.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

SERVERS = ("postgres", "mysql")
KINDS = ("sqlite", *SERVERS)
#: The parts of which a sample is enough.
PARTS = ("scenarios", "engine", "verify", "machine", "operations")
#: Those whose tests take processes or a browser.
HEAVY = ("running", "web")
#: What takes many processes and long, and where a mistake does no harm before it is found.
SELDOM = (
    "docs/test_pages.py::test_a_page_does_what_it_says[docs/how-to/",
    "docs/test_demo.py::test_the_demo_may_be_run_again_and_its_retry_does_all_of_it",
    "docs/test_demo.py::test_an_interrupted_demo_leaves_no_process_behind",
    "docs/test_performance.py::test_a_small_run_is_told_as_a_table_as_json_as_a_picture_and_on_the_page",
    "docs/test_site.py::test_the_documentation_is_built_without_a_warning_by_what_its_extra_brings",
    "packaging/test_release.py::",
    "docs/test_kubernetes.py::test_workers_come_from_nothing_and_go_again_by_the_query_of_the_manifest",
    "store/test_namespace.py::test_workers_of_two_tenants_see_nothing_of_each_other",
    "dispatch/test_fleets.py::test_a_master_that_is_killed_under_load_loses_nothing",
    "dispatch/test_fleets.py::test_a_slot_that_moves_and_a_node_that_is_killed_under_load_lose_nothing",
    "running/test_vanished_hosts.py::",
    "running/test_neighbours.py::",
    "running/test_serializable.py::",
    "running/test_retention.py::test_trees_go_while_workers_run_steps_and_a_supervisor_is_killed_in_the_middle",
    "web/test_examples.py::test_the_tests_of_the_shop_in_django_pass_on_each_server",
    "running/test_stops_without_database.py::",
    "running/test_surroundings.py::test_a_thread_that_a_job_left_holds_no_",
    "scenarios/test_batches.py::test_lists_of_any_length_are_joined_once_and_in_order[",
    "scenarios/test_quorums.py::test_a_sliding_window_over_a_lazy_source[",
    "running/test_containers.py::test_a_supervisor_whose_workers_never_start_ends_with_status_1_and_says_why[",
    "attacks/simulation/test_simulation.py::test_a_wrong_variant_of_the_protocol_is_found[",
    "attacks/model/test_model.py::test_a_protocol_that_lacks_something_is_found_wrong[",
)
_WEEKS = 3
#: Of each of these, the cases of which one is run, in turn.
IN_TURN = (
    ("attacks/night/test_night.py::test_a_night_is_mended_by_a_repair_while_all_is_killed", *KINDS),
    ("attacks/killed/test_points.py::", *KINDS),
    ("attacks/killed/test_matrix.py::test_nothing_is_lost_or_done_twice_wherever_a_process_is_killed", *KINDS),
    (
        "attacks/chaos/test_chaos.py::test_a_short_run_on_a_server_and_two_redis_servers_loses_and_doubles_nothing",
        *SERVERS,
    ),
    ("docs/test_containers.py::test_what_the_services_run_starts_works_and_stops", "sqlite", "postgres"),
)
#: Whether the sample is asked for.
SAMPLED = bool(os.environ.get("FSMFLOW_TEST_SAMPLED"))
_TESTS = Path(__file__).parent.parent


def left_out(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """What is not run this week. Both servers are tested where only one of them answers."""
    if not SAMPLED:
        return set()
    there, week = [server for server in SERVERS if _answers(server)], int(time.strftime("%V", time.gmtime()))
    seldom = {item for item in items if _is_for_another_week(item, there, week)}
    return seldom | (_on_other_databases(items, week) if len(there) == len(SERVERS) else set())


def _is_for_another_week(item: pytest.Item, servers: Sequence[str], week: int) -> bool:
    name = f"{_place(item.path)}::{item.name}"
    for number, (test, *cases) in enumerate(IN_TURN):
        there = [case for case in cases if case not in SERVERS or case in servers] if name.startswith(test) else []
        if name.endswith(tuple(f"[{case}]" for case in there)):
            return not name.endswith(f"[{there[(week + number) % len(there)]}]")
    return name.startswith(SELDOM) and zlib.crc32(name.encode()) % _WEEKS != week % _WEEKS


def _on_other_databases(items: Sequence[pytest.Item], week: int) -> set[pytest.Item]:
    """Of each test that is there for several kinds of database, the items on those that are not its turn."""
    found: dict[str, dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        kind = next((kind for kind in SERVERS if item.get_closest_marker(kind)), "sqlite")
        if _part(item) in (*PARTS, *HEAVY) and re.search(rf"\b{kind}\b", item.name):
            found[item.nodeid.replace(kind, "*")][kind] = item
    return {each for test, kinds in found.items() for each in _others(kinds, zlib.crc32(test.encode()), week)}


def _others(kinds: dict[str, pytest.Item], number: int, week: int) -> list[pytest.Item]:
    if any(_part(item) in HEAVY for item in kinds.values()):
        turn = [kind for kind in KINDS if kind in kinds]
        return [item for kind, item in kinds.items() if kind != turn[(number + week) % len(turn)]]
    return [kinds[SERVERS[number % len(SERVERS)]]] if kinds.keys() >= set(SERVERS) else []


def _part(item: pytest.Item) -> str:
    return _place(item.path).partition("/")[0]


@cache
def _place(path: Path) -> str:
    return str(path.relative_to(_TESTS))


def _answers(server: str) -> bool:
    """Whether there is one for the tests."""
    return bool(os.environ.get(f"FSMFLOW_TEST_{server.upper()}_URL"))
