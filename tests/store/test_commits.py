"""Commits: one transaction each, under the entity's revision and, where an attempt ends, under its claim."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from fsmflow import HistoryEntry
from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim, ClaimLost, Snapshot
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import (
    Changes,
    Crashed,
    Failed,
    Happening,
    Paused,
    Postponed,
    Returned,
    Saved,
    Triggered,
)
from fsmflow.decision.inputs import Actor
from fsmflow.decision.start import begin
from fsmflow.errors import DataError
from fsmflow.settings import Settings
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, WORK
from fsmflow.store.work import Ticket
from tests.support.concurrency import in_threads
from tests.support.machines import Order

NOW = 1_700_000_000_000
ORDER = Order._definition
LIKE_ONE_ANOTHER = ["a", "A", "a ", " a", "a  ", "á", "a\N{COMBINING ACUTE ACCENT}", "\uff41", "ss", "ß", "SS"]


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


def nothing(snapshot: Snapshot) -> None:
    """Nobody is to be told."""


def start(store: Store, entity_id: str = "1", *, key: str | None = None, **data: object) -> Snapshot:
    return store.commits.commit(begin(ORDER, entity_id, data, None, key, NOW), nothing)


def decided(snapshot: Snapshot, trigger: str, **asked: object) -> Commit:
    return decide(ORDER, snapshot, Triggered(trigger=trigger, **asked), NOW)  # type: ignore[arg-type]


def charging(store: Store, entity_id: str = "1") -> Snapshot:
    return store.commits.commit(decided(start(store, entity_id), "submit"), nothing)


def claimed(store: Store, snapshot: Snapshot, owner: str = "worker") -> tuple[Snapshot, Claim]:
    assert snapshot.work is not None
    ticket = Ticket(row=snapshot.row, epoch=snapshot.epoch, attempt=snapshot.work.attempt, dispatch=0)
    found = store.work.claim(ticket, owner, lease_until=NOW + 15_000)
    assert found is not None
    assert found.snapshot.work is not None
    work = found.snapshot.work
    return found.snapshot, Claim(
        row=found.snapshot.row, epoch=work.epoch, attempt=work.attempt, fence=work.fence, owner=owner
    )


def loaded(store: Store, entity_id: str = "1") -> Snapshot:
    snapshot = store.entities.load("order", entity_id)
    assert snapshot is not None
    return snapshot


def rows(store: Store) -> list[list[str]]:
    """All that the store holds."""
    return [sorted(map(str, store.link.rows(f"SELECT * FROM {table}"))) for table in (ENTITY, WORK, HISTORY, EVENT)]


def test_what_was_committed_is_what_is_loaded(store: Store) -> None:
    first = start(store, amount=3)
    assert loaded(store) == first
    second = store.commits.commit(decided(first, "submit", actor=Actor("alice"), reason="she said so"), nothing)
    assert loaded(store) == second == store.entities.load_row(first.row)
    assert second.work is not None
    third = store.commits.commit(decided(second, "cancel"), nothing)
    assert loaded(store) == third
    assert third.work is None


def test_what_follows_a_commit_is_done_once_when_others_can_see_it(store: Store) -> None:
    seen = []

    def look(snapshot: Snapshot) -> None:
        seen.append(snapshot)
        assert in_threads(1, store.link, lambda number: store.entities.load("order", "1")) == [snapshot]

    store.commits.commit(begin(ORDER, "1", {}, None, None, NOW), look)
    assert len(seen) == 1


def test_of_two_commits_on_one_revision_the_second_changes_nothing(store: Store) -> None:
    before = start(store)
    store.commits.commit(decided(before, "submit"), nothing)
    there = rows(store)
    with pytest.raises(CommitLost):
        store.commits.commit(decided(before, "cool", key="k"), nothing)
    assert rows(store) == there


def test_of_two_starts_of_one_id_the_second_changes_nothing(store: Store) -> None:
    start(store, key="first")
    there = rows(store)
    with pytest.raises(CommitLost):
        start(store, key="second")
    assert rows(store) == there


def test_of_eight_commits_on_one_revision_at_once_one_wins(store: Store) -> None:
    before = start(store)

    def commit(number: int) -> bool:
        try:
            store.commits.commit(decided(before, "note", payload={"text": str(number)}), nothing)
        except CommitLost:
            return False
        return True

    won = in_threads(8, store.link, commit)
    assert sum(won) == 1
    assert loaded(store).data == {"notes": [str(won.index(True))]}
    assert [entry.seq for entry in store.entities.history(before.row)] == [1, 2]


def test_of_eight_starts_of_one_id_at_once_one_wins(store: Store) -> None:
    def commit(number: int) -> bool:
        try:
            start(store, number=number)
        except CommitLost:
            return False
        return True

    won = in_threads(8, store.link, commit)
    assert sum(won) == 1
    assert loaded(store).data == {"number": won.index(True)}


def test_history_is_numbered_without_gaps_and_comes_in_pages(store: Store) -> None:
    now = start(store)
    written: list[HistoryEntry] = []
    for number in range(11):
        commit = decided(now, "note", payload={"text": f"note {number}"}, actor=Actor("bob"), key=f"k{number}")
        now = store.commits.commit(commit, nothing)
        written += commit.entries
    found = store.entities.history(now.row)
    assert [entry.seq for entry in found] == list(range(1, 13))
    assert found[1:] == written
    assert store.entities.history(now.row, after=4, limit=3) == found[4:7]
    assert store.entities.entry(now.row, 12) == found[-1]


def test_a_key_is_used_up_once_per_entity(store: Store) -> None:
    one, other = start(store, "1"), start(store, "2")
    after = store.commits.commit(decided(one, "note", key="event-7"), nothing)
    store.commits.commit(decided(other, "note", key="event-7"), nothing)
    assert store.entities.seq_of_key(one.row, "event-7") == 2
    assert store.entities.seq_of_key(one.row, "event-8") is None
    there = rows(store)
    with pytest.raises(CommitLost):
        store.commits.commit(decided(after, "submit", key="event-7"), nothing)
    assert rows(store) == there


def test_ids_that_only_look_alike_are_different_entities(store: Store) -> None:
    for entity_id in LIKE_ONE_ANOTHER:
        start(store, entity_id, id=entity_id)
    for entity_id in LIKE_ONE_ANOTHER:
        assert loaded(store, entity_id).data == {"id": entity_id}
    assert store.entities.load("order", "b") is None
    assert store.entities.load("Order", "a") is None


def test_keys_that_only_look_alike_are_different_keys(store: Store) -> None:
    now = start(store)
    for seq, key in enumerate(LIKE_ONE_ANOTHER, 2):
        now = store.commits.commit(decided(now, "note", key=key), nothing)
        assert store.entities.seq_of_key(now.row, key) == seq


def test_data_comes_back_as_it_was(store: Store) -> None:
    data: dict[str, Any] = {
        "text": "Grüße, 你好, 🙂, \x00, \u2028, 'quoted', \"twice\", %s ? {} \\",
        "🔑": {"$date": ["looks like a tag"], "": None},
        "numbers": [0, -1, 2**80, 1.5e300, True],
        "at": datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=UTC),
        "day": date(1999, 12, 31),
        "price": Decimal("19.90"),
        "id": UUID(int=7),
    }
    start(store, "🙂" * 200, **data)
    assert loaded(store, "🙂" * 200).data == data


def test_data_of_250_kilobytes_is_kept_and_more_than_256_is_refused(store: Store) -> None:
    start(store, text="é" * 125_000)
    assert len(loaded(store).data["text"]) == 125_000
    with pytest.raises(DataError, match="262,144 are allowed"):
        start(store, "2", text="é" * 132_000)
    now = loaded(store)
    there = rows(store)
    with pytest.raises(DataError, match="262,144 are allowed"):
        store.commits.commit(replace(decided(now, "note"), entries=_with_payload(now, "x" * 270_000)), nothing)
    assert rows(store) == there


def _with_payload(snapshot: Snapshot, text: str) -> tuple[HistoryEntry, ...]:
    return tuple(replace(entry, payload={"text": text}) for entry in decided(snapshot, "note").entries)


def test_a_failure_is_kept_with_the_nul_characters_in_its_texts(store: Store) -> None:
    snapshot, claim = claimed(store, charging(store))
    facts = Facts(kind=OSError, message="", permanent=True)
    commit = decide(ORDER, snapshot, Failed(claim=claim, facts=facts), NOW)
    (entry,) = commit.entries
    assert entry.failure is not None
    failure = replace(entry.failure, message="a \x00 b", traceback="\x00")
    after = replace(commit.after, failure_text=failure.to_text())
    store.commits.commit(replace(commit, after=after, entries=(replace(entry, failure=failure),)), nothing)
    assert loaded(store).failure == failure
    assert store.entities.entry(snapshot.row, entry.seq).failure == failure


def test_texts_of_people_and_of_errors_are_kept_whatever_they_hold(store: Store) -> None:
    commit = decided(
        start(store), "submit", actor=Actor("Zoë 🙂" * 20), reason="first line\n\tsecond 🙂", key="k🙂" * 100
    )
    snapshot, claim = claimed(store, store.commits.commit(commit, nothing))
    facts = Facts(kind=LookupError, message="NUL \x00, half \ud83d, bell \x07, 🙂", traceback="\x00\udfff" * 5_000)
    after = store.commits.commit(decide(ORDER, snapshot, Failed(claim=claim, facts=facts), NOW), nothing)
    assert loaded(store) == after
    assert after.failure is not None
    assert after.failure.message.endswith("🙂")
    _, submitted, failed = store.entities.history(after.row)
    assert (submitted.actor, submitted.reason, submitted.key) == (
        "Zoë 🙂" * 20,
        "first line\n\tsecond 🙂",
        "k🙂" * 100,
    )
    assert failed.failure == after.failure


SETTLINGS: dict[str, Callable[[Claim], Happening]] = {
    "returned": lambda claim: Returned(claim=claim, trigger="done", changes=Changes(changed={"x": 1})),
    "failed": lambda claim: Failed(claim=claim, facts=Facts(kind=OSError, message="gone")),
    "failed for good": lambda claim: Failed(claim=claim, facts=Facts(kind=OSError, message="gone", permanent=True)),
    "postponed": lambda claim: Postponed(claim=claim, seconds=5),
    "crashed": lambda claim: Crashed(claim=claim, detail="gone"),
    "saved": lambda claim: Saved(claim=claim, changes=Changes(changed={"x": 1})),
}


@pytest.mark.parametrize("ending", SETTLINGS)
@pytest.mark.parametrize("column", ["epoch", "attempt", "fence", "owner"])
def test_an_attempt_whose_claim_was_taken_over_commits_nothing(store: Store, ending: str, column: str) -> None:
    snapshot, claim = claimed(store, charging(store))
    name = store.link.quoted(column)
    value = "'other'" if column == "owner" else f"{name} + 1"
    store.link.execute(f"UPDATE {WORK} SET {name} = {value}")
    there = rows(store)
    with pytest.raises(ClaimLost):
        store.commits.commit(decide(ORDER, snapshot, SETTLINGS[ending](claim), NOW), nothing)
    assert rows(store) == there


@pytest.mark.parametrize("ending", SETTLINGS)
def test_an_attempt_whose_work_is_gone_commits_nothing(store: Store, ending: str) -> None:
    snapshot, claim = claimed(store, charging(store))
    store.link.execute(f"DELETE FROM {WORK}")
    there = rows(store)
    with pytest.raises(ClaimLost):
        store.commits.commit(decide(ORDER, snapshot, SETTLINGS[ending](claim), NOW), nothing)
    assert rows(store) == there


@pytest.mark.parametrize("ending", SETTLINGS)
def test_an_attempt_whose_entity_has_moved_on_commits_nothing(store: Store, ending: str) -> None:
    snapshot, claim = claimed(store, charging(store))
    store.commits.commit(decided(loaded(store), "reject"), nothing)
    there = rows(store)
    with pytest.raises(CommitLost):
        store.commits.commit(decide(ORDER, snapshot, SETTLINGS[ending](claim), NOW), nothing)
    assert rows(store) == there


def test_internal_transitions_leave_the_work_row_alone(store: Store) -> None:
    before = charging(store)
    claimed(store, before)
    there = store.link.rows(f"SELECT * FROM {WORK}")
    store.commits.commit(decided(before, "note", payload={"text": "decided before it was claimed"}), nothing)
    assert store.link.rows(f"SELECT * FROM {WORK}") == there


def test_a_pause_that_was_decided_before_a_claim_does_not_take_the_claim_away(store: Store) -> None:
    before = charging(store)
    _, claim = claimed(store, before)
    with pytest.raises(CommitLost):
        store.commits.commit(decide(ORDER, before, Paused(), NOW), nothing)
    assert claim.holds(loaded(store))
    paused = store.commits.commit(decide(ORDER, loaded(store), Paused(), NOW), nothing)
    assert paused.paused
    assert claim.holds(loaded(store))
