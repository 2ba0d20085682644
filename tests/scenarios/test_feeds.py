"""A feed tells every line of history at least once, those of one entity in order, whatever is open meanwhile."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import peewee
import pytest

import fsmflow
from fsmflow import ConfigurationError, FeedAhead, FeedInUse, FsmflowError, feeds
from fsmflow.engine.registry import Registry
from fsmflow.engine.runtime import Runtime, installed
from fsmflow.settings import Settings
from fsmflow.store import stream
from fsmflow.store.link import open_database
from fsmflow.store.sequence import ByLocks, ByTransactions
from fsmflow.store.store import create_store
from fsmflow.store.tables import FEED, HISTORY
from fsmflow.testing import Sandbox, sandbox
from fsmflow.verify import verify
from tests.support.families import Batch
from tests.support.readers import Lamp, Open, Undone, lines_of, writers
from tests.support.users import Row, texts

#: Where transactions write side by side.
SIDE_BY_SIDE = pytest.mark.parametrize(
    "database_url",
    [pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mysql", marks=pytest.mark.mysql)],
    indirect=True,
)


@pytest.fixture
def box(db: peewee.Database) -> Iterator[Sandbox]:
    """fsmflow on the user's own database object, on each kind of server."""
    with sandbox([Lamp, Batch], database=db) as found:
        yield found


def told(name: str = "billing", **options: Any) -> list[str]:
    """What a feed tells now, as ``id#line``."""
    found = fsmflow.feed(name, machine="lamp", **options)
    return [f"{entry.entity_id}#{entry.entry.seq}" for entry in found]


def state_of(name: str = "billing") -> feeds.FeedState:
    (found,) = [state for state in feeds.feeds() if state.name == name]
    return found


def test_each_entry_is_told_once_it_is_there_and_read_once_the_next_is_asked_for(box: Sandbox) -> None:
    Lamp.start("old")
    assert told() == []
    Lamp.start("1").trigger("turn", actor="ann")
    Lamp.start("2")
    feed = fsmflow.feed("billing", machine=Lamp)
    for entry in feed:
        assert (entry.address, entry.machine, entry.state, entry.is_branch) == ("lamp:1", "lamp", "off", False)
        break
    assert told() == ["1#1", "1#2", "2#1"]
    assert told() == []
    assert told("other", start="beginning") == ["old#1", "1#1", "1#2", "2#1"]
    with contextlib.suppress(Undone):
        for entry in fsmflow.feed("third", start="beginning", states="on"):
            assert (entry.entry.actor, entry.entry.trigger) == ("ann", "turn")
            raise Undone
    first, again = [next(iter(fsmflow.feed("third", states=["on"]))) for _ in range(2)]
    assert (first, first.id) == (again, again.id)
    assert [entry.state for entry in fsmflow.feed(None, start="beginning", triggers="tu*")] == ["on"]
    assert [len(batch) for batch in fsmflow.feed("fourth", start="beginning").batches(3)] == [3, 1]
    assert state_of("fourth").told == 4


@SIDE_BY_SIDE
def test_what_is_committed_late_is_told_late_and_not_lost(box: Sandbox, db: peewee.Database) -> None:
    for number in range(3):
        Lamp.start(str(number))
    long = Open(db, lambda: Lamp.get("0").trigger("turn"))
    # Who begins now, in the middle of it, and who has been there, are both to hear of it.
    assert (told("fresh"), told(start="beginning")) == ([], ["0#1", "1#1", "2#1"])
    Lamp.get("1").trigger("turn")
    undone = Open(db, lambda: Lamp.get("2").trigger("turn"))
    Lamp.get("1").trigger("turn")
    undone.roll_back()
    assert (told(), told("fresh")) == (["1#2", "1#3"], ["1#2", "1#3"])
    box.advance(hours=3)
    assert (told(), told("fresh")) == ([], [])
    assert state_of().missing >= 1
    long.commit()
    Lamp.get("0").trigger("turn")
    assert (told(), told("fresh")) == (["0#2", "0#3"], ["0#2", "0#3"])
    box.advance(hours=1)
    assert told() == []
    assert state_of().missing == 0


def test_while_many_write_at_once_and_roll_back_nothing_is_lost(box: Sandbox, db: peewee.Database) -> None:
    for number in range(6):
        Lamp.start(str(number))
    found: list[tuple[str, int]] = []
    feed = fsmflow.feed("billing", start="beginning")
    # There they wait for each other all the time.
    rounds = 3 if isinstance(db, peewee.SqliteDatabase) else 8
    with writers(db, seed=7, count=5, rounds=rounds) as threads:
        while any(thread.is_alive() for thread in threads):
            found += [(entry.address, entry.entry.seq) for entry in feed]
    found += [(entry.address, entry.entry.seq) for entry in feed]
    assert set(found) == lines_of(db)
    assert len(found) == len(set(found))
    last: dict[str, int] = {}
    for address, seq in found:
        assert seq == last.get(address, 0) + 1
        last[address] = seq


@SIDE_BY_SIDE
def test_a_reader_that_went_by_the_highest_number_would_lose_what_comes_late(
    box: Sandbox, db: peewee.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (ByLocks, ByTransactions):
        monkeypatch.setattr(kind, "dead", lambda self, ask, gaps, now: list(gaps))
    for number in range(2):
        Lamp.start(str(number))
    told()
    long = Open(db, lambda: Lamp.get("0").trigger("turn"))
    Lamp.get("1").trigger("turn")
    assert told() == ["1#2"]
    assert told() == []
    long.commit()
    assert told() == []


def test_a_page_and_what_is_written_for_it_are_committed_once_or_not_at_all(box: Sandbox, db: peewee.Database) -> None:
    for number in range(5):
        Lamp.start(str(number))
    feed = fsmflow.feed("billing", start="beginning")
    with contextlib.suppress(Undone), feed.page(3) as entries:
        Row.create(text=entries[0].entity_id)
        raise Undone
    assert texts() == []
    while True:
        with feed.page(3) as entries:
            for entry in entries:
                Row.create(text=entry.entity_id)
        if not entries:
            break
    assert texts() == ["0", "1", "2", "3", "4"]
    Lamp.start("5")
    with contextlib.suppress(Undone), db.atomic():
        with feed.page() as entries:
            assert [entry.entity_id for entry in entries] == ["5"]
        raise Undone
    with feed, feed.page() as entries:
        assert [entry.entity_id for entry in entries] == ["5"]
    with db.atomic(), pytest.raises(FsmflowError, match="use 'with feed.page"):
        told()
    with pytest.raises(FsmflowError, match="by a feed with a name"), fsmflow.feed(None).page():
        pass


def test_a_page_is_a_transaction_on_a_connection_of_fsmflows_own_too(database_url: str) -> None:
    settings = Settings(database_url=database_url)
    store = create_store(settings)
    with installed(Runtime(settings, store, machines=Registry([Lamp]))):
        Lamp.start("1")
        with fsmflow.feed("billing", start="beginning") as feed:
            with contextlib.suppress(Undone), feed.page() as entries:
                Lamp.get("1").trigger("turn")
                raise Undone
            with feed.page() as entries:
                assert [entry.entry.seq for entry in entries] == [1]
                Lamp.get("1").trigger("turn")
            with feed.page() as entries:
                assert [entry.entry.seq for entry in entries] == [2]
    store.link.forget_connection()


@pytest.mark.postgres
def test_numbers_that_each_connection_keeps_for_itself_are_refused(postgres_url: str) -> None:
    database = open_database(postgres_url)
    with sandbox([Lamp], database=database):
        database.execute_sql("ALTER SEQUENCE fsmflow_history_id_seq CACHE 10")
        with pytest.raises(ConfigurationError, match="keeps 10 numbers for itself; run 'ALTER SEQUENCE .* CACHE 1'"):
            list(fsmflow.feed("billing"))
    database.close()


def test_one_reads_at_a_time_and_a_late_one_cannot_put_the_cursor_back(
    box: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        Lamp.start(str(number))
    slow = iter(fsmflow.feed("billing", start="beginning"))
    assert [next(slow).entity_id, next(slow).entity_id] == ["0", "1"]
    with pytest.raises(FeedInUse, match="feed billing is read by .*, process .*, until .*-.. ..:..:.. UTC at least"):
        told()
    waiting = fsmflow.feed("billing", follow=True)
    monkeypatch.setattr("fsmflow.clock.pause", lambda seconds: box.advance(seconds=31))
    with waiting.page(1) as entries:
        assert [entry.entity_id for entry in entries] == ["1"]
    waits = r"feed billing waits for .*, process \d+, which reads it; .* until ....-..-.. ..:..:.. UTC at the latest"
    assert len([record for record in caplog.records if re.search(waits, record.getMessage())]) == 1
    with pytest.raises(FeedInUse, match="is read by"):
        next(slow)
    with waiting, waiting.page() as entries:
        assert [entry.entity_id for entry in entries] == ["2"]
    assert told() == []
    reading = iter(fsmflow.feed("billing", start="beginning"))
    feeds.rewind("billing", "beginning")
    Lamp.start("3")
    assert next(reading).entity_id == "0"
    feeds.rewind("billing", "now")
    with pytest.raises(FeedInUse, match="was taken away from this reader"):
        next(reading)
    feeds.forget("billing")
    with pytest.raises(FsmflowError, match=r"no feed 'billing'; there is none yet"):
        feeds.forget("billing")


def test_who_follows_waits_for_what_comes_and_ends_when_stopped(box: Sandbox, db: peewee.Database) -> None:
    Lamp.start("1")
    feed = fsmflow.feed("billing", start="beginning", follow=True)
    found = []
    for entry in feed:
        found.append(entry.entity_id)
        if len(found) < 3:
            Lamp.start(str(len(found) + 1))
        else:
            feed.stop()
    assert found == ["1", "2", "3"]
    assert state_of().reader is None
    with feed.page() as entries:
        assert entries == []


def test_branches_are_told_to_who_wants_them_and_the_gone_are_skipped_and_counted(
    box: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsmflow.feed("late", start="beginning").close()
    assert list(fsmflow.feed("late")) == []
    Batch.start("1", lines=["a", "b"]).trigger("go")
    box.run()
    everything = list(fsmflow.feed(None, start="beginning", branches=True))
    assert {entry.is_branch for entry in everything} == {True, False}
    assert [entry.state for entry in fsmflow.feed(None, start="beginning")] == ["new", "packing", "shipped"]
    assert [entry.state for entry in fsmflow.feed("read", start="beginning", kinds="start")] == ["new"]
    box.advance(days=2)
    assert Batch.prune(older=timedelta(days=1)) == 1
    Lamp.start("1")
    assert [entry.address for entry in fsmflow.feed("late")] == ["lamp:1"]
    assert f"feed.missed: feed late cannot tell {len(everything)} line(s)" in caplog.text
    assert (state_of("late").missed, state_of("read").missed) == (len(everything), 0)


def test_who_has_read_what_is_not_there_is_told_so_and_by_verify_too(box: Sandbox, db: peewee.Database) -> None:
    for number in range(3):
        Lamp.start(str(number))
    assert told(start="beginning") == ["0#1", "1#1", "2#1"]
    assert not verify(box._runtime.store).violations
    db.execute_sql(f"UPDATE {FEED} SET token = 'another'")
    with pytest.raises(FeedAhead, match="up to line 3, and the history has another line there"):
        told()
    assert [found.invariant for found in verify(box._runtime.store).violations] == ["feed-in-history"]
    db.execute_sql(f"UPDATE {FEED} SET upto = 1000")
    with pytest.raises(
        FeedAhead, match=r"ends with line 3: it, or the feed, was restored .* rewind billing --from now"
    ):
        told()
    assert [found.invariant for found in verify(box._runtime.store).violations] == ["feed-in-history"]
    feeds.rewind("billing", "beginning")
    assert told() == ["0#1", "1#1", "2#1"]
    # What was deleted from the end is not the sign of another history.
    db.execute_sql(f"DELETE FROM {HISTORY}")
    assert told() == []
    Lamp.start("3")
    assert told() == ["3#1"]


def test_pages_go_on_where_the_last_one_ended_and_too_much_that_is_missing_is_waited_for(
    box: Sandbox, db: peewee.Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream, "PAGE", 4)
    monkeypatch.setattr(stream, "MAX_GAPS", 2)
    for number in range(20):
        Lamp.start(str(number))
        if number % 5 == 4:
            with contextlib.suppress(Undone), db.atomic():
                Lamp.start("undone")
                raise Undone
    found = []
    for _ in range(6):
        found += told(start="beginning")
        box.advance(minutes=11)
    assert found == [f"{number}#1" for number in range(20)]
    assert ("feed.held: feed billing rests" in caplog.text) == isinstance(db, peewee.MySQLDatabase)
