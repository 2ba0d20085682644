"""``verify`` finds what is wrong: a database is corrupted by plain SQL, and exactly that is told."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fsmflow.decision.position import Cursor
from fsmflow.store.feeds import Feeds
from fsmflow.store.tables import META, PERMIT, TERM
from fsmflow.verify.remedies import REMEDIES
from tests.support.sandbox import every_database
from tests.verify.scene import ENTITY, EVENT, FAR, HISTORY, NOBODY, WORK, Scene, scene

__all__ = ["every_database"]  # a fixture

Corruption = Callable[[Scene], Any]


def _append(row: str, like: str, count: int = 1, **changes: Any) -> Corruption:
    """More history rows like the first of a kind."""

    def append(found: Scene) -> None:
        for _ in range(count):
            seq = found.last(row) + 1
            attempt = found.one(HISTORY, row, "attempt", f" AND kind = '{like}'")
            grown = {"attempt": (attempt or 0) + seq} if attempt else {}
            found.copy(HISTORY, row, f" AND kind = '{like}'", **{"seq": seq, **grown, **changes})
            found.set(ENTITY, row, seq=seq, revision=99)

    return append


def _is_left_joining(found: Scene) -> None:
    """All branches have settled, and their parent waits for them for ever."""
    found.take_back("done", "packing", step=3)
    found.set(WORK, "done", kind="join", queue=None, rung_at=None)


def _is_left_behind(found: Scene) -> None:
    """A branch works on for a parent that has finished."""
    found.take_back("single.0", "packing", standing=1)


def _waits_for_ever(found: Scene) -> None:
    """A branch waits for its turn, all others have settled."""
    _is_left_joining(found)
    found.delete(HISTORY, "done.2", " AND seq > 1")
    found.set(ENTITY, "done.2", state="packing", phase="waiting", standing=0, seq=1, epoch=1, visits='{"packing":1}')
    found.set(ENTITY, "done.2", step_name="packing.1")


def _found_by_what_it_is_not(found: Scene) -> None:
    """A list is no term."""
    found.link.execute(f"DELETE FROM {META} WHERE {found.link.quoted('name')} = 'search'")
    columns = f"{found.link.quoted('name')}, {found.link.quoted('value')}"
    found.link.execute(f"""INSERT INTO {META} ({columns}) VALUES ('search', '{{"parcel":{{"lines":null}}}}')""")
    row = found.rows["done"]
    found.link.execute(f"INSERT INTO {TERM} (entity, {columns}) VALUES ({row}, 'parcel.lines', '7x')")


def _has_read_what_is_not_there(found: Scene) -> None:
    """A feed is further than the history, as it is where that was restored."""
    Feeds(found.link).add(Cursor(name="late", upto=10**6, gaps_text=None, begun_at=0))


def _has_a_permit_too_many(found: Scene) -> None:
    """Two have a permit of what one may."""
    columns = ("name", "entity", "stage", "epoch", "attempt", "fence", "owner", "since", "at", "most")
    quoted = ", ".join(map(found.link.quoted, columns))
    for state in ("charging", "weighing"):
        found.set(WORK, state, owner="somebody", lease_until=FAR)
        claim = f"entity, 0, epoch, attempt, fence, {found.link.quoted('owner')}, 1, 1, 1"
        rows = f"SELECT 'gateway', {claim} FROM {WORK} WHERE entity = {found.rows[state]}"
        found.link.execute(f"INSERT INTO {PERMIT} ({quoted}) {rows}")


def _says(status: str | None) -> Corruption:
    """Somebody else writes the field that carries the state."""
    return lambda found: found.link.execute(f"UPDATE labelrow SET status = {found.link.mark} WHERE id = 7", (status,))


CORRUPTIONS: list[tuple[str, str, Corruption]] = [
    ("feed-in-history", "feed late", _has_read_what_is_not_there),
    ("limit-kept", "limit gateway", _has_a_permit_too_many),
    ("limit-line", "weighing", lambda s: s.set(WORK, "weighing", parked=-1, wake_at=2**52)),
    ("status-carried", "label:7", _says("printed")),
    ("status-carried", "label:7", lambda s: s.link.execute("DELETE FROM labelrow WHERE id = 7")),
    ("status-carried", "label:7", lambda s: s.link.execute("DROP TABLE labelrow")),
    ("status-carried", "label:8", lambda s: s.link.execute("UPDATE labelrow SET status = 'new' WHERE id = 8")),
    ("history-gap", "done", lambda s: s.delete(HISTORY, "done", " AND seq = 2")),
    ("history-gap", "done", lambda s: s.delete(HISTORY, "done", " AND seq = 1")),
    ("history-gap", "done", lambda s: s.delete(HISTORY, "done", f" AND seq = {s.last('done')}")),
    ("history-gap", "resting", lambda s: s.set(ENTITY, "resting", seq=7)),
    ("history-fold", "resting", lambda s: s.set(ENTITY, "resting", state="new")),
    ("history-fold", "done", lambda s: s.set(ENTITY, "done", epoch=9)),
    ("history-fold", "done", lambda s: s.set(ENTITY, "done", paused=1)),
    ("history-fold", "done", lambda s: s.set(ENTITY, "done", revision=1)),
    ("history-fold", "done", lambda s: s.set(HISTORY, "done", " AND seq = 3", source="new")),
    ("history-fold", "done", lambda s: s.set(HISTORY, "done", " AND seq = 3", epoch=7)),
    ("history-fold", "done", lambda s: s.set(HISTORY, "done", " AND seq = 3", kind="start")),
    ("history-fold", "retried", lambda s: s.set(HISTORY, "retried", " AND seq = 3", dest="new")),
    ("one-entry-per-epoch", "done", lambda s: s.set(HISTORY, "done", " AND seq = 3", epoch=2)),
    ("one-entry-per-epoch", "done", lambda s: _append("done", "transition", epoch=s.one(ENTITY, "done", "epoch"))(s)),
    ("history-account", "done", lambda s: s.set(HISTORY, "done", " AND seq = 2", at=0)),
    ("history-account", "done", lambda s: s.set(HISTORY, "done", " AND seq = 2", token="")),
    ("history-account", "done", lambda s: s.set(HISTORY, "done", " AND seq = 2", trigger=None)),
    ("history-account", "loser", lambda s: s.set(HISTORY, "loser", " AND seq = 2", kind="moved")),
    ("history-account", "retried", lambda s: s.set(HISTORY, "retried", " AND seq = 3", attempt=None)),
    ("history-account", "retried", lambda s: s.set(HISTORY, "retried", " AND seq = 3", failure=None)),
    ("step-named", "resting", lambda s: s.set(ENTITY, "resting", step_name="resting.2")),
    ("step-named", "resting", lambda s: s.set(ENTITY, "resting", step_name="new.1", visits='{"resting":1}')),
    ("step-named", "resting", lambda s: s.set(ENTITY, "resting", step_name="resting.2", visits='{"resting":2}')),
    ("step-named", "failed", lambda s: s.set(ENTITY, "failed", step_name="charging")),
    ("step-named", "retried", lambda s: s.set(ENTITY, "retried", visits='{"charging":1,"gone":1}')),
    ("transition-legal", "done", lambda s: s.set(HISTORY, "done", " AND seq = 2", trigger="approve")),
    ("transition-legal", "keyed", lambda s: s.set(HISTORY, "keyed", " AND seq = 3", trigger="submit")),
    ("transition-legal", "done.0", lambda s: s.set(HISTORY, "done.0", " AND seq = 2", trigger="fail")),
    ("attempts-grow", "retried", lambda s: _append("retried", "attempt_failed", attempt=1)(s) or _spends(s, 9)),
    ("attempts-bounded", "retried", _append("retried", "attempt_failed")),
    ("attempts-bounded", "parent.0", _append("parent.0", "attempt_failed")),
    ("attempts-bounded", "crashed", _append("crashed", "crashed", 3)),
    ("attempts-bounded", "charging", lambda s: s.set(WORK, "charging", crashes=4)),
    ("attempts-bounded", "charging", lambda s: s.set(WORK, "charging", failures=2)),
    ("key-once", "keyed", lambda s: s.set(HISTORY, "keyed", " AND seq = 3", key="again")),
    ("key-recorded", "keyed", lambda s: s.delete(EVENT, "keyed", " AND kind = 'key'")),
    ("key-recorded", "keyed", lambda s: s.set(EVENT, "keyed", " AND kind = 'key'", seq=1)),
    ("key-recorded", "keyed", lambda s: s.set(EVENT, "keyed", " AND kind = 'key'", trigger="rest")),
    ("key-recorded", "keyed", lambda s: s.copy(EVENT, "keyed", " AND kind = 'key'", key="other")),
    ("state-known", "resting", lambda s: (s.set(ENTITY, "resting", state="gone"), _ends(s, "resting", "gone"))),
    ("phase-matches", "cancelled", lambda s: s.set(ENTITY, "cancelled", phase="waiting")),
    ("failure-told", "failed", lambda s: s.set(ENTITY, "failed", failure=None)),
    ("failure-told", "failed", lambda s: s.set(ENTITY, "failed", fingerprint=None)),
    ("failure-told", "done", lambda s: s.set(ENTITY, "done", fingerprint=s.one(ENTITY, "failed", "fingerprint"))),
    ("failure-grouped", "failed", lambda s: s.set(ENTITY, "failed", fingerprint="abc")),
    ("work-present", "charging", lambda s: s.delete(WORK, "charging")),
    ("work-present", "resting", lambda s: s.delete(WORK, "resting")),
    ("work-present", "asked", lambda s: s.delete(WORK, "asked")),
    ("work-present", "paused", lambda s: s.delete(WORK, "paused")),
    ("work-present", "parent", lambda s: s.delete(WORK, "parent")),
    ("work-present", "parent.1", lambda s: s.delete(WORK, "parent.1")),
    ("work-current", "charging", lambda s: s.set(WORK, "charging", epoch=1)),
    ("work-current", "charging", lambda s: s.set(WORK, "charging", kind="timer")),
    ("work-current", "charging", lambda s: s.set(WORK, "charging", queue=None)),
    ("work-current", "resting", lambda s: s.set(WORK, "resting", kind="job")),
    ("rest-without-work", "done", lambda s: s.copy(WORK, "charging", entity=s.rows["done"])),
    ("rest-without-work", "failed", lambda s: s.copy(WORK, "charging", entity=s.rows["failed"])),
    ("rest-without-work", "cancelled", lambda s: s.copy(WORK, "charging", entity=s.rows["cancelled"])),
    ("paused-holds", "paused", lambda s: s.set(WORK, "paused", held=None)),
    ("paused-holds", "held", lambda s: s.set(WORK, "held", held=None, wake_at=FAR)),
    ("paused-holds", "held", lambda s: s.set(WORK, "held", wake_at=FAR)),
    ("paused-holds", "resting", lambda s: s.set(WORK, "resting", held=5)),
    ("lease-owner", "charging", lambda s: s.set(WORK, "charging", lease_until=FAR)),
    ("lease-owner", "charging", lambda s: s.set(WORK, "charging", owner="somebody")),
    ("lease-owner", "resting", lambda s: s.set(WORK, "resting", owner="somebody", lease_until=FAR)),
    ("overdue", "charging", lambda s: s.set(WORK, "charging", wake_at=1)),
    ("overdue", "charging", lambda s: s.set(WORK, "charging", owner="somebody", lease_until=1)),
    ("overdue", "charging", lambda s: s.set(WORK, "charging", deadline=1)),
    ("overdue", "weighing", lambda s: s.set(WORK, "weighing", deadline=1)),
    ("overdue", "resting", lambda s: s.set(WORK, "resting", wake_at=1)),
    ("overdue", "sender", lambda s: s.set(EVENT, "sender", " AND kind = 'sent'", due_at=1)),
    ("step-bounded", "weighing", lambda s: s.set(WORK, "weighing", deadline=None)),
    ("parked-by-hold", "weighing", lambda s: s.set(WORK, "weighing", parked=7, wake_at=2**52)),
    ("fan-out-goes-on", "done", _is_left_joining),
    ("fan-out-goes-on", "done", _waits_for_ever),
    ("branch-place", "single.0", lambda s: s.set(ENTITY, "single.0", parent=NOBODY)),
    ("branch-place", "single.0", lambda s: s.set(ENTITY, "single.0", parent_step=99)),
    ("branch-place", "done.2", lambda s: s.set(ENTITY, "done.2", parent=None)),
    ("branch-place", "single.0", lambda s: s.set(ENTITY, "single.0", standing=None)),
    ("branch-standing", "done.0", lambda s: s.set(ENTITY, "done.0", standing=3)),
    ("branch-standing", "parent.0", lambda s: s.set(ENTITY, "parent.0", standing=0)),
    ("branch-standing", "parent.0", lambda s: s.set(ENTITY, "parent.0", standing=2)),
    ("branch-standing", "single.0", lambda s: s.set(ENTITY, "single.0", standing=7)),
    ("branch-indexes", "done", lambda s: [s.delete(table, "done.1") for table in (HISTORY, ENTITY)]),
    ("branch-named", "done.0", lambda s: s.set(ENTITY, "done.0", branch_name="first")),
    ("branch-named", "shared/sorting/paper", lambda s: s.set(ENTITY, "shared/sorting/paper", branch_name="tin")),
    (
        "branch-known",
        "shared/sorting/tin",
        lambda s: s.set(ENTITY, "shared/sorting/glass", branch_name="tin", entity_id="shared/sorting/tin"),
    ),
    ("branch-orphaned", "single.0", _is_left_behind),
    ("kept-counted", "keeper", lambda s: s.set(ENTITY, "keeper", kept=0)),
    ("kept-counted", "keeper", lambda s: s.delete(EVENT, "keeper", " AND kind = 'kept'")),
    ("kept-counted", "keeper", lambda s: s.set(EVENT, "keeper", " AND kind = 'kept'", seq=1)),
    ("kept-limit", "keeper", lambda s: s.set(EVENT, "keeper", " AND kind = 'kept'", until=1)),
    ("visit-message", "bound", lambda s: s.set(EVENT, "bound", " AND kind = 'sent'", seq=7)),
    ("visit-message", "bound", lambda s: s.set(ENTITY, "bound", bound=0)),
    ("lost-recorded", "loser", lambda s: s.copy(EVENT, "loser", " AND kind = 'lost'")),
    ("term-true", "done", _found_by_what_it_is_not),
    ("readable", "done", lambda s: s.set(ENTITY, "done", data='{"lines": [')),
    ("readable", "done", lambda s: s.set(ENTITY, "done", data="[]")),
    ("readable", "done", lambda s: s.set(ENTITY, "done", event="submit")),
    ("readable", "done.0", lambda s: s.set(ENTITY, "done.0", result="'a'")),
    ("readable", "done", lambda s: s.set(ENTITY, "done", visits="[1]")),
    ("readable", "sender", lambda s: s.set(HISTORY, "sender", " AND seq = 2", payload="{")),
    ("readable", "sender", lambda s: s.set(EVENT, "sender", " AND kind = 'sent'", payload="to")),
    ("ownerless-rows", "", lambda s: s.copy(WORK, "charging", entity=NOBODY)),
    ("ownerless-rows", "", lambda s: s.copy(HISTORY, "done", entity=NOBODY)),
    ("ownerless-rows", "", lambda s: s.copy(EVENT, "keyed", entity=NOBODY)),
    ("ownerless-rows", "", lambda s: _is_of_no_repair(s)),
    ("ownerless-rows", "", lambda s: s.copy(EVENT, "sender", " AND kind = 'sent'", entity=NOBODY)),
]


def _is_of_no_repair(found: Scene) -> None:
    """A member is left of a repair that is gone."""
    values = (NOBODY, found.rows["done"], "parcel:done", 1, "shipped", "waits")
    marks = ", ".join([found.link.mark] * len(values))
    sql = f"INSERT INTO fsmflow_member (repair, entity, address, epoch, state, fate) VALUES ({marks})"
    found.link.write(lambda: found.link.execute(sql, values))


def _spends(found: Scene, attempt: int) -> None:
    """Leave a second failure within what the retry allows."""
    found.set(HISTORY, "retried", " AND kind = 'attempt_failed' AND seq = 3", kind="crashed")
    found.set(WORK, "retried", attempt=attempt)


def _ends(found: Scene, row: str, state: str) -> None:
    """Have the history of an entity end in a state."""
    found.set(ENTITY, row, step_name=f"{state}.1", visits=f'{{"{state}":1}}')
    found.set(HISTORY, row, f" AND seq = {found.last(row)}", dest=state)


def _address(name: str) -> str:
    if name.startswith(("feed ", "label:", "limit ")):
        return name
    return f"parcel:{name.replace('.', '/packing/')}" if name else f"row {NOBODY}"


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[Scene, sqlite3.Connection]]:
    """A scene, and a copy of it."""
    with scene() as found, contextlib.closing(found.kept()) as kept:
        yield found, kept


@pytest.fixture
def sound(template: tuple[Scene, sqlite3.Connection]) -> Scene:
    """A scene in which nothing is wrong yet."""
    found, kept = template
    found.restore(kept)
    return found


@pytest.mark.parametrize(("invariant", "name", "corrupt"), CORRUPTIONS)
def test_what_is_corrupted_is_found_and_nothing_else(
    sound: Scene, invariant: str, name: str, corrupt: Corruption
) -> None:
    corrupt(sound)
    assert sound.violated() == {invariant: {_address(name)}}


#: One of each kind of read, on entities of their own.
_SIDE_BY_SIDE = (
    "status-carried",
    "history-gap",
    "attempts-bounded",
    "key-recorded",
    "ownerless-rows",
    "work-present",
    "branch-indexes",
    "branch-named",
    "branch-known",
    "step-bounded",
    "kept-limit",
    "visit-message",
)


@pytest.mark.usefixtures("every_database")
def test_each_kind_of_database_is_read_alike() -> None:
    expected: dict[str, set[str]] = {}
    with scene() as found:
        for invariant in _SIDE_BY_SIDE:
            name, corrupt = next((name, corrupt) for kind, name, corrupt in CORRUPTIONS if kind == invariant)
            corrupt(found)
            expected[invariant] = {_address(name)}
        assert found.violated() == expected


def test_every_invariant_is_broken_by_a_test_and_says_what_to_do() -> None:
    assert {invariant for invariant, _, _ in CORRUPTIONS} == set(REMEDIES)
