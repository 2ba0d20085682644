"""No look reads a whole table: each is answered by the index that was made for it, on each database that plans."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fsmflow.decision.decide import decide
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.start import begin
from fsmflow.decision.work import Work, WorkKind
from fsmflow.settings import Settings
from fsmflow.store.backlog import Backlog
from fsmflow.store.columns import NEW_ENTITY_COLUMNS, WORK_COLUMNS, new_entity_values, work_values
from fsmflow.store.counts import Cell
from fsmflow.store.indexes import ROOT, SCOPES
from fsmflow.store.listing import Filter, Since
from fsmflow.store.reach import Reach
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import ENTITY, WORK
from fsmflow.values import replace
from tests.support.machines import Order
from tests.support.plans import plans_of
from tests.support.servers import fresh_postgres, server_url

NOW = 1_700_000_000_000
ORDER = Order._definition
MANY = 4_000
#: What is there for somebody of acme, where orders tell teams apart.
REACH = Reach(terms=frozenset({"7acme"}), names={"order": "order.tenant"}, opened=frozenset({"refund"}))


def listed(**wanted: Any) -> Callable[[Store], Any]:
    """The first of what ``fsmflow list`` shows."""
    newest = wanted.pop("newest", False)
    return lambda store: list(store.listing.find(Filter(**wanted), limit=51, newest=newest))


#: Each look, and what it is answered by; whatever rows it has found are loaded by their numbers.
LOOKS: dict[str, tuple[Callable[[Store], Any], set[str]]] = {
    "counts": (lambda store: store.counts.look(NOW), {"roots_by_time"}),
    "counts of children": (
        lambda store: store.counts.look(NOW, "order", scopes=SCOPES[1:]),
        {"children_by_state", "branches_by_state"},
    ),
    "part of a count": (
        lambda store: store.counts.part(Cell(machine="order", state="rejected", scope=ROOT), 0, 100),
        {"roots_by_state"},
    ),
    "all": (listed(), {"roots_by_phase"}),
    "newest": (listed(newest=True), {"roots_by_phase"}),
    "newest of a machine": (listed(machine="order", newest=True), {"roots_by_phase"}),
    "by phase": (listed(machine="order", phase="failed"), {"roots_by_phase"}),
    "by state": (listed(machine="order", states=["pending"]), {"roots_by_state"}),
    "by states": (listed(states=["pending", "charging", "rejected"], newest=True), {"roots_by_state"}),
    "older": (listed(machine="order", entered_by=NOW - 9), {"roots_by_time"}),
    "overdue": (
        listed(overdue=[Since(machine="order", state=state, at=NOW - 9) for state in ("pending", "charging")]),
        {"roots_by_time"},
    ),
    "older in a state": (listed(machine="order", states=["pending"], entered_by=NOW - 9), {"roots_by_time"}),
    "with branches": (
        listed(machine="order", branches=True),
        {"roots_by_phase", "children_by_state", "branches_by_state"},
    ),
    "what waits for somebody": (
        listed(machine="order", states=["pending", "charging"], branches=True),
        {"roots_by_state", "children_by_state", "branches_by_state"},
    ),
    "branches by state": (listed(machine="order", states=["pending"], only_branches=True), {"branches_by_state"}),
    "alarm: overdue": (
        lambda store: store.lookout.overdue(Since(machine="order", state="pending", at=NOW - 9)),
        {"roots_by_time", "children_by_state"},
    ),
    "alarm: failing": (
        lambda store: store.lookout.failed_since("order", ["charging", "pending"], NOW - 9),
        {"roots_by_time", "children_by_state"},
    ),
    "alarm: what rests": (lambda store: store.lookout.rests("order", "charging", ["f"]), {"failing"}),
    "alarm: waiting": (lambda store: store.lookout.waiting(NOW), set()),
    "alarm: crashes": (lambda store: store.lookout.crashes(NOW), set()),
    "alarm: stuck": (lambda store: store.lookout.stuck(3), {"stuck"}),
    "failing": (listed(machine="order", failing=True), {"failing"}),
    "what rests in failures": (lambda store: store.groups.counted(), {"failing"}),
    "stuck": (listed(stuck=True, branches=True), {"stuck"}),
    "running": (lambda store: store.work.running(NOW, 100), set()),
    "stuck, by what it is": (lambda store: store.snags.look(), {"stuck"}),
    "paused": (lambda store: store.lookout.paused(), {"paused"}),
    "kept back by holds": (lambda store: store.work.parked(), {"parked"}),
    "kept back by a hold": (lambda store: store.work.parked_by(1, 100), {"parked"}),
    "events of some that are stuck": (lambda store: store.events.stuck_of([1, 2]), set()),
    "count of stuck": (lambda store: store.listing.count(Filter(stuck=True, branches=True)), {"stuck"}),
    "by id": (listed(entity_id="77"), {"address"}),
}
#: What reads all of something that holds few: what failed, what is stuck, and what a part of the statement has made.
_FEW = r"USING (COVERING )?INDEX fsmflow_(entity_(failing|paused)|work_(stuck|parked))"
_SMALL = rf"{_FEW}|SCAN (x|counted|found|\d+ CONSTANT ROW)"


def filled(store: Store) -> Store:
    """Some thousands of orders, of which a twentieth waits, and some failed; a few have children and branches."""
    done = decide(ORDER, begin(ORDER, "0", {}, None, None, NOW).after, Triggered(trigger="submit"), NOW).after
    pattern = replace(done, state="rejected", phase="finished", work=None)
    made = [replace(pattern, entity_id=str(number), entered_at=NOW - number) for number in range(MANY)]
    for number in range(0, MANY, 20):
        made[number] = replace(made[number], state="pending", phase="waiting")
        failure: Any = {"failure_text": "{}", "fingerprint": "f"} if not number % 100 else {}
        made[number + 1] = replace(made[number + 1], state="charging", phase="working", **failure)
        place: Any = {
            "parent": 1,
            "parent_step": number,
            "parent_index": 0,
            "branch_of": "packing" if number % 40 else None,
        }
        made[number + 2] = replace(made[number + 2], **place)
    for first in range(0, MANY, 500):
        values = [new_entity_values(each) for each in made[first : first + 500]]
        store.link.execute(*store.link.dialect.insert_many(ENTITY, NEW_ENTITY_COLUMNS, values))
    return store


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("plans")
    store = create_store(Settings(database_url=f"sqlite:///{folder}/fsmflow.db"))
    yield filled(store)
    store.link.forget_connection()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Store]:
    with fresh_postgres(server_url("postgres")) as url:
        store = filled(create_store(Settings(database_url=url)))
        store.link.execute(f"VACUUM ANALYSE {ENTITY}")
        # A table of some thousands is read as a whole sooner than by any index.
        store.link.execute("SET enable_seqscan = off")
        yield store
        store.link.forget_connection()


def indexes_in(plans: str) -> set[str]:
    """The indexes that plans name, without the keys of tables."""
    named = re.findall(r"fsmflow_(?:entity|work)_(\w+)", plans)
    return {name for name in named if name not in ("pkey", "id")} - {"due"}


#: What somebody in a team gets, and where an index has to help.
OF_A_TEAM: dict[str, Callable[[Store], Any]] = {
    "list": listed(machine="order", reach=REACH),
    "list by state": listed(machine="order", states=["pending"], reach=REACH),
    "list with branches": listed(machine="order", branches=True, reach=REACH),
    "list of all machines": listed(newest=True, reach=REACH),
    "failing": listed(machine="order", failing=True, reach=REACH),
    "counts": lambda store: store.counts.look(NOW, reach=REACH),
    "counts of branches": lambda store: store.counts.look(NOW, "order", scopes=SCOPES, reach=REACH),
    "groups": lambda store: store.groups.resting(reach=REACH),
    "what is stuck": lambda store: store.snags.look(None, REACH),
    "kept back": lambda store: store.work.parked(REACH),
    "stuck": lambda store: store.listing.count(Filter(stuck=True, branches=True, reach=REACH)),
}


def of_a_team(store: Store, look: str) -> str:
    """The plan of a look, once for a team that has little, and once for one that has much."""
    plans = plans_of(store, OF_A_TEAM[look])
    with pytest.MonkeyPatch.context() as many:
        many.setattr("fsmflow.store.search._FEW", 0)
        return plans + "\n" + plans_of(store, OF_A_TEAM[look])


@pytest.mark.parametrize("look", OF_A_TEAM)
def test_sqlite_reads_by_index_what_a_team_has(sqlite: Store, look: str) -> None:
    plans = of_a_team(sqlite, look)
    assert not [line for line in plans.splitlines() if "SCAN" in line and not re.search(_SMALL, line)]
    assert (
        "SEARCH t USING PRIMARY KEY (entity=? AND name=?)" in plans
        or "fsmflow_term_value (name=? AND value=?)" in plans
    )


@pytest.mark.postgres
@pytest.mark.parametrize("look", OF_A_TEAM)
def test_postgres_reads_by_index_what_a_team_has(postgres: Store, look: str) -> None:
    plans = of_a_team(postgres, look)
    assert "Seq Scan on fsmflow_entity" not in plans
    assert "Seq Scan on fsmflow_term" not in plans


@pytest.mark.parametrize("look", LOOKS)
def test_sqlite_reads_by_the_index_that_was_made_for_it(sqlite: Store, look: str) -> None:
    act, wanted = LOOKS[look]
    plans = plans_of(sqlite, act).splitlines()
    scans = [line for line in plans if "SCAN" in line and not re.search(_SMALL, line)]
    assert not scans
    assert wanted <= indexes_in("\n".join(plans))
    if not wanted & {"failing", "stuck", "parked", "paused", "address"}:
        assert not [line for line in plans if "TEMP B-TREE FOR ORDER BY" in line]


@pytest.mark.parametrize(
    "look",
    [
        {"waiting": True},
        {"held": True},
        {"waiting": True, "branches": True},
        {"waiting": True, "machine": "order", "states": ["pending"]},
        {"held": True, "machine": "order", "phase": "waiting"},
    ],
)
def test_sqlite_reads_what_waits_out_an_interval_by_its_work_not_by_all_entities(
    sqlite: Store, look: dict[str, Any]
) -> None:
    plans = plans_of(sqlite, listed(**look)).splitlines()
    assert [line for line in plans if "SCAN" in line] == ["SCAN x"]


@pytest.mark.postgres
@pytest.mark.parametrize("look", LOOKS)
def test_postgres_reads_by_the_index_that_was_made_for_it(postgres: Store, look: str) -> None:
    act, wanted = LOOKS[look]
    plans = plans_of(postgres, act)
    assert "Seq Scan on fsmflow_entity" not in plans
    assert wanted <= indexes_in(plans)
    if not wanted & {"failing", "stuck", "parked", "paused", "address"} and not look.startswith("alarm"):
        assert "->  Sort" not in plans


@pytest.mark.postgres
def test_postgres_sorts_what_few_are_and_walks_no_primary_key_to_have_them_in_order(postgres: Store) -> None:
    # With millions of rows and thousands that are stuck its planner prefers that walk; here it is driven to it.
    ways = ("nestloop", "hashjoin", "bitmapscan")
    for way in ways:
        postgres.link.execute(f"SET enable_{way} = off")
    try:
        plans = plans_of(postgres, listed(stuck=True, branches=True))
    finally:
        for way in ways:
            postgres.link.execute(f"RESET enable_{way}")
    assert "Sort Key: ((+ e.id))" in plans


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_work_is_counted_from_the_end_that_is_due_first(request: pytest.FixtureRequest, database: str) -> None:
    store: Store = request.getfixturevalue(database)
    for look in (lambda store: Backlog(store.link).look(NOW), lambda store: Backlog(store.link).running(NOW)):
        plans = plans_of(store, look)
        assert "fsmflow_work_due" in plans
        assert "Seq Scan on fsmflow_work" not in plans
        assert not re.search(r"SCAN fsmflow_work(?! USING INDEX)", plans)


@pytest.mark.mysql
def test_mysql_reads_what_holds_keep_back_and_no_other_work(mysql_url: str) -> None:
    store = create_store(Settings(database_url=mysql_url))
    link, work = store.link, Work(epoch=1, kind=WorkKind.JOB, wake_at=NOW)
    rows = [
        [number, *work_values(replace(work, parked=2 - number % 2 if number < 10 else None))] for number in range(500)
    ]
    for first in range(0, 500, 250):
        columns = ("entity", *WORK_COLUMNS)
        link.write(lambda: link.execute(*link.dialect.insert_many(WORK, columns, rows[first : first + 250])))  # noqa: B023
    for look in (lambda store: store.work.parked(), lambda store: store.work.parked_by(1, 3)):
        assert "fsmflow_work_parked" in plans_of(store, look)
    assert (store.work.parked(), store.work.parked_by(1, 3)) == ({1: 5, 2: 5}, [1, 3, 5])
    link.forget_connection()
