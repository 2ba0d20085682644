"""Somebody in a team sees and touches what belongs to it: in every way there is in Python, and on each database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import pytest

from fsmflow import (
    Actor,
    DataError,
    DefinitionError,
    EntityExists,
    EntityNotFound,
    FsmflowError,
    Machine,
    NotPermitted,
    failures,
    feeds,
    holds,
    repairs,
)
from fsmflow.decision.actions import ACTIONS
from fsmflow.engine.runtime import current
from fsmflow.engine.teams import may_see, reach_of
from fsmflow.testing import Sandbox, sandbox
from tests.support.bench import bench_on
from tests.support.teams import MACHINES, SECRET, Note, Order, Parcel, filled

ACME, GLOBEX, BOTH = (
    Actor(name, teams=teams) for name, teams in (("ann", "acme"), ("eve", SECRET), ("bo", ("acme", SECRET)))
)
NOBODY, EVERYBODY, AUDITOR = Actor("dan"), Actor("ops", teams="*"), Actor("cat", roles={"auditor"})
#: Who sees an order of acme.
SEES: Final = {ACME: True, AUDITOR: True, None: True, GLOBEX: False, NOBODY: False}
PLACES: Final[dict[str, tuple[Any, ...]]] = {"rewind": ("packing",), "force": ("paid",)}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(
        MACHINES, permissions={"roles": {"auditor": ["order.all_teams"]}, "permit": lambda *asked: _open(*asked)}
    ) as box:
        yield box


def _open(actor: Any, permission: str, entity: Any) -> bool | None:
    """Every action is open, so that teams alone decide."""
    return None if permission.endswith("all_teams") else True


def asks(order: Order, actor: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each way to one entity in Python."""
    for action in ACTIONS:
        if action == "drop":
            yield action, lambda: order.drop(current().store.events.sent(order._view.snapshot.row)[0].id, actor=actor)
        else:
            yield action, partial(getattr(order, action), *PLACES.get(action, ()), actor=actor, reason="why")
    yield "trigger", lambda: order.trigger("nudge", actor=actor)
    yield "a repeated key", lambda: order.trigger("nudge", actor=actor, key="known")
    yield "what_if", lambda: order.what_if("nudge", actor=actor)
    yield "explain", lambda: order.explain(actor)
    yield "triggers", lambda: order.triggers(actor)
    yield "allowed", lambda: order.allowed_triggers(actor)
    yield "get", lambda: Order.get(order.entity_id, actor=actor)
    yield "get a branch", lambda: Order.get(f"{order.address}/checking/0", actor=actor)
    yield "get a child", lambda: Order.get(f"parcel:{order.address}/packing/0", actor=actor)
    yield "after", lambda: list(Order.find(after=order.entity_id, actor=actor))
    yield "start or trigger", lambda: Order.start_or_trigger(order.entity_id, "nudge", actor=actor)


@pytest.mark.parametrize("actor", SEES, ids=lambda actor: getattr(actor, "name", "nobody"))
def test_each_way_to_one_entity_is_there_for_its_team_alone(box: Sandbox, actor: Any) -> None:
    ours, _ = filled(box)
    ours.trigger("nudge", key="known")
    for number, (way, _) in enumerate(list(asks(ours, actor))):
        if SEES[actor]:
            Order.start(f"w{number}", tenant="acme", quiet=way == "erase")
            box.run()
            fresh = Order.get(f"w{number}")
            fresh.trigger("nudge", key="known")
            [ask for _, ask in asks(fresh, actor)][number]()
            continue
        before = len(ours.history)
        with pytest.raises(EntityNotFound, match="does not exist; 'fsmflow list' shows what does"):
            [ask for _, ask in asks(ours, actor)][number]()
        assert len(ours.history) == before, way
    assert all(action in dict(asks(ours, None)) for action in ACTIONS)


def test_what_is_not_there_and_what_is_not_ones_own_are_told_in_the_same_words(box: Sandbox) -> None:
    filled(box)
    words = []
    for id_ in (f"{SECRET}-1", f"{SECRET}-7"):
        for address in (id_, f"order:{id_}", f"parcel:order:{id_}/packing/0"):
            with pytest.raises(EntityNotFound) as told:
                Order.get(address, actor=ACME)
            words.append(str(told.value).replace(id_, "@"))
    assert words[:3] == words[3:]
    with pytest.raises(EntityNotFound) as told:  # nor is it told that another machine has it
        Note.get(f"order:{SECRET}-1", actor=ACME)
    assert "not of" not in str(told.value)


def test_a_refused_look_is_a_line_of_the_log(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    _, theirs = filled(box)
    with caplog.at_level(logging.WARNING), pytest.raises(EntityNotFound):
        theirs.retry(actor=ACME)
    told = [record.getMessage() for record in caplog.records if "permission.refused" in record.getMessage()]
    assert told == [
        "permission.refused: order:globex-1: 'ann' asked for 'see': order:globex-1: 'see' was refused: it belongs to a "
        "team of others"
    ]


def found(actor: Any) -> dict[str, Any]:
    """All that lists or counts, as an actor gets it."""
    group = failures.groups(actor=actor, every=True)
    return {
        "orders": [each.address for each in Order.find(actor=actor)],
        "newest": [each.address for each in Order.find(actor=actor, newest=True, limit=1)],
        "failed": [each.address for each in Order.find(actor=actor, state="failed_from_*", older=0)],
        "by term": [each.address for each in Order.find(actor=actor, order="-amount")],
        "asked for": [each.address for each in Order.find(actor=actor, data={"tenant": SECRET})],
        "by error": [each.address for each in Order.find(actor=actor, error="Connection*")],
        "branches": [each.address for each in Order.find(actor=actor, branch="*")],
        "children": [each.address for each in Parcel.find(actor=actor, branches=True)],
        "notes": [each.address for each in Note.find(actor=actor)],
        "counts": Order.counts(actor=actor),
        "counts of branches": Order.counts(actor=actor, branches=True),
        "counts of children": Parcel.counts(actor=actor, branches=True),
        "groups": [(one.count, one.seen, one.sample, one.message, one.traceback, one.releases) for one in group],
        "in the group": [each.address for one in group for each in Order.find(group=one.short, actor=actor)],
    }


def test_all_that_lists_or_counts_has_what_is_of_the_team(
    valkey: Any, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench_on(valkey.url, database_url=database_url, machines=MACHINES) as bench:
        filled(bench)
        for number, near in enumerate(("ACME", "acme ", "acm", None, 7)):
            Order.start(f"near-{number}", tenant=near)
        ours: dict[str, Any] = {
            "orders": ["order:a1"],
            "newest": ["order:a1"],
            "failed": ["order:a1"],
            "by term": ["order:a1"],
            "asked for": [],
            "by error": ["order:a1"],
            "branches": ["order:a1/checking/0"],
            "children": ["parcel:order:a1/packing/0"],
            "notes": ["note:n"],
            "counts": {"failed_from_charging": 1},
            "counts of branches": {"done": 1, "failed_from_charging": 1},
            "counts of children": {"sent": 1},
            "groups": [(1, 1, "order:a1", "the bank does not know acme", "", {})],
            "in the group": ["order:a1"],
        }
        assert found(ACME) == ours
        with monkeypatch.context() as many:  # a team that has so many that its terms are no way to find them
            many.setattr("fsmflow.store.search._FEW", 0)
            assert found(ACME) == ours
        nothing = found(NOBODY)
        assert nothing.pop("notes") == ["note:n"]
        assert not any(nothing.values())
        assert found(BOTH)["counts of branches"] == {"done": 3, "failed_from_charging": 3}
        assert found(EVERYBODY) == found(None)
        assert [each.entity_id for each in Order.find(actor=Actor("kim", teams=7))] == ["near-4"]
        _check_alike()


def _check_alike() -> None:
    """What is listed is what is shown one by one."""
    runtime = current()
    for actor in (ACME, GLOBEX, BOTH, NOBODY):
        for kind in (Order, Parcel, Note):
            listed = {each.address for each in kind.find(branches=True, actor=actor)}
            shown = {each.address for each in kind.find(branches=True) if may_see(runtime, each._view.snapshot, actor)}
            assert listed == shown


def test_what_changes_its_team_is_there_for_the_new_one(box: Sandbox) -> None:
    ours, _ = filled(box)
    ours.trigger("move", tenant=SECRET, actor=ACME)
    assert [each.address for each in Order.find(actor=ACME, branches=True)] == []
    assert len(list(Order.find(actor=GLOBEX))) == 3
    assert Parcel.get(f"{ours.address}/packing/0", actor=GLOBEX).state == "sent"
    with pytest.raises(EntityNotFound):
        ours.explain(ACME)


def test_nobody_starts_anything_in_a_team_of_others(box: Sandbox) -> None:
    filled(box)
    with pytest.raises(NotPermitted, match="its 'tenant' is to be a team of 'ann', who is in acme"):
        Order.start("x", tenant=SECRET, actor=ACME)
    with pytest.raises(NotPermitted):
        Order.start_many([("x", {"tenant": "acme"}), ("y", {})], actor=ACME)
    Order.start("x", tenant="acme", actor=ACME)
    for options in ({}, {"if_exists": "return"}):
        with pytest.raises(EntityExists) as told:
            Order.start(f"{SECRET}-1", tenant="acme", actor=ACME, **options)
        assert str(told.value) == f"order:{SECRET}-1 exists already; choose another id"
    with pytest.raises(EntityExists, match="exists already; choose"):
        Order.start_many([(f"{SECRET}-1", {"tenant": "acme"})], actor=ACME)


def test_a_repair_has_what_its_asker_may_touch_and_is_seen_by_his_team(box: Sandbox) -> None:
    ours, theirs = filled(box)
    second = Order.start("a2", tenant="acme")
    box.run()
    repair = repairs.start("retry", machine="order", state="failed_from_*", confirm=False, actor=ACME)
    named = repairs.start("retry", addresses=[theirs.address, ours.address], confirm=False, actor=ACME)
    box.run()
    assert [member.address for member in named.members()] == [ours.address]
    assert [member.address for member in repair.members()] == [ours.address, second.address]
    second.trigger("move", tenant=SECRET)
    repairs.resume(repair, actor=ACME)
    box.run()
    assert {member.address: (member.fate, member.why) for member in repair.members("refused")} == {
        second.address: ("refused", "order:a2 is in a team of others by now")
    }
    assert repair.refresh().report().failed_alike == 1
    for stranger in (GLOBEX, NOBODY):
        assert list(repairs.find(actor=stranger)) == []
        with pytest.raises(EntityNotFound):
            repairs.stop(repair, reason="mine", actor=stranger)
    own = repairs.start("retry", machine="note", state="written", confirm=False, actor=NOBODY)
    every = repairs.start("retry", machine="order", state="failed_from_*", confirm=False, actor=AUDITOR)
    of_both = repairs.start("retry", machine="order", state="failed_from_*", confirm=False, actor=BOTH)
    assert [each.address for each in repairs.find(actor=NOBODY)] == [own.address]
    assert of_both.address in [each.address for each in repairs.find(actor=BOTH)]
    assert {every.address, of_both.address, own.address} <= {each.address for each in repairs.find(actor=AUDITOR)}
    assert {every.address, of_both.address}.isdisjoint(each.address for each in repairs.find(actor=ACME))


def test_what_is_about_all_teams_takes_the_permission(box: Sandbox) -> None:
    filled(box)
    wide: list[Callable[[], object]] = [
        lambda: holds.hold("order", state="charging", actor=ACME),
        lambda: holds.hold("order", where={"tenant": SECRET}, actor=ACME),
        lambda: holds.hold("parcel", actor=ACME),
        lambda: holds.hold(queue="slow", actor=ACME),
        lambda: Order.prune(older=0, dry_run=True, actor=ACME),
        lambda: failures.resolve(failures.groups(actor=ACME)[0].id, actor=ACME),
    ]
    for ask in wide:
        with pytest.raises(
            NotPermitted, match=r"it is about all teams, and takes the permission 'order.all_teams'|parcel"
        ):
            ask()
    own = holds.hold("order", where={"tenant": "acme"}, actor=ACME)
    theirs = holds.hold("order", where={"tenant": SECRET}, actor=GLOBEX)
    everybodys = holds.hold("order", state="charging", actor=AUDITOR)
    holds.hold("note", actor=ACME)
    assert [hold.number for hold in holds.current_holds(actor=ACME)][:2] == [own.number, everybodys.number]
    with pytest.raises(DataError, match=f"there is no hold {theirs.number}"):
        holds.release(theirs.number, actor=ACME)
    for tenant in ("acme", SECRET):
        Order.start(f"held-{tenant}", tenant=tenant)
    box.run()
    assert (holds.kept_back(actor=ACME), holds.kept_back(actor=NOBODY)) == ({own.number: 1}, {})


def test_a_group_of_others_is_not_there(box: Sandbox) -> None:
    filled(box)
    Order.start("torn", tenant=SECRET, torn=True)
    box.run()
    hidden = next(one for one in failures.groups() if one.error_type == "BranchesFailed")
    for ask in (
        lambda: failures.group(hidden.id, actor=ACME),
        lambda: list(Order.find(group=hidden.id, actor=ACME)),
        lambda: repairs.start("retry", group=hidden.id, actor=ACME),
    ):
        with pytest.raises(FsmflowError, match="there is no failure group"):
            ask()
    assert failures.group(hidden.id, actor=GLOBEX).causes[0].count == 1


def test_who_gives_no_actor_and_what_a_machine_sends_is_trusted(box: Sandbox) -> None:
    ours, _ = filled(box)
    box.advance(3600)
    assert [line.actor for line in ours.history if line.trigger == "nudge"] == [ours.address]
    assert reach_of(current(), None) is None
    # Where no machine tells teams apart, nothing changes for anybody.
    with sandbox([Note]):
        Note.start("1", actor="dan")
        assert Note.get("1", actor="dan").explain("dan")
        assert repairs.get(repairs.start("cancel", machine="note", actor="dan").entity_id, actor="eve")


def test_a_team_is_named_by_text_a_whole_number_or_a_uuid(box: Sandbox) -> None:
    uuid = UUID(int=7)
    for number, tenant in enumerate(("7", 7, uuid, str(uuid))):
        Order.start(str(number), tenant=tenant)
    assert [one.entity_id for one in Order.find(actor=Actor("a", teams=[7]))] == ["0", "1"]
    assert [one.entity_id for one in Order.find(actor=Actor("a", teams={uuid}))] == ["2", "3"]
    assert list(Order.find(actor=Actor("a", teams=["07"]))) == []
    for wrong in ([True], [None], {"a": 1.5}.values(), 1.5):
        with pytest.raises(DataError, match="the teams of actor 'a' are"):
            Actor("a", teams=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("team", "search", "fault"),
    [
        ("tenant", [], "team: 'tenant' is not in search, by which a team finds what is its own: search = ['tenant']"),
        (["tenant"], ["tenant"], "team=['tenant']; it is a key of data that says whose an entity is"),
    ],
)
def test_what_cannot_tell_teams_apart_is_a_fault_of_the_machine(team: Any, search: Any, fault: str) -> None:
    with pytest.raises(DefinitionError, match=fault.replace("[", r"\[").replace("]", r"\]")):
        type("Shop", (Machine,), {"states": ["a"], "initial": "a", "transitions": [], "team": team, "search": search})


def test_a_feed_tells_what_is_of_the_team(box: Sandbox) -> None:
    filled(box)
    told = {entry.address for entry in feeds.feed(None, start="beginning", branches=True, actor=ACME)}
    assert told == {"order:a1", "order:a1/checking/0", "parcel:order:a1/packing/0", "note:n"}
    every = {entry.address for entry in feeds.feed(None, start="beginning", branches=True)}
    assert {entry.address for entry in feeds.feed(None, start="beginning", branches=True, actor=EVERYBODY)} == every


def test_a_stored_feed_is_read_for_everybody_so_by_nobody_of_one_team(box: Sandbox) -> None:
    filled(box)
    feeds.begin("billing", "beginning")
    for read in (feeds.feed, feeds.batch):
        with pytest.raises(NotPermitted, match="it is about all teams"):
            read("billing", actor=ACME)
    assert feeds.batch("billing", actor=EVERYBODY).entries


def test_an_actor_costs_a_query_only_where_a_parent_has_to_be_asked(box: Sandbox) -> None:
    ours, _ = filled(box)
    link, asked = current().store.link, list[str]()
    rows = link.rows

    def noted(sql: str, params: Any = ()) -> list[Any]:
        asked.append(sql)
        return rows(sql, params)

    def queries(act: Callable[[Any], object], actor: Any) -> int:
        asked.clear()
        act(actor)
        return len(asked)

    def look(address: str) -> Callable[[Any], object]:
        return lambda actor: Order.get(address, actor=actor)

    with patch.object(link, "rows", noted):
        for act in (
            lambda actor: ours.trigger("nudge", actor=actor),
            look("a1"),
            lambda actor: list(Note.find(actor=actor)),
        ):
            assert queries(act, ACME) == queries(act, EVERYBODY) == queries(act, None)
        branch = look("order:a1/checking/0")
        assert queries(branch, ACME) == queries(branch, None) + 1
