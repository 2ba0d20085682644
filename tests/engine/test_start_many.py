"""``start_many``: thousands of entities in pages, each page whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow import DataError, EntityExists, Machine, State, UnknownState
from fsmflow.engine.registry import Registry
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import in_threads
from tests.support.users import users_database

hooked: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    hooked.clear()


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url) as bench:
        bench.runtime.machines = Registry([Item])
        yield bench


class Item(Machine):
    """One of many."""

    initial = "checking"
    states = [State("checking", job="check"), State("over", final=True)]
    transitions = [["done", "checking", "over"]]

    def check(self) -> None:
        return None

    def on_transition(self, entry: Any) -> None:
        hooked.append(self.entity_id)


def items(count: int, first: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((number, {"n": number}) for number in range(first, first + count))


def test_each_is_started_as_start_does_it(bench: Bench) -> None:
    """With data, history, job and hook; the pages do not show."""
    told: list[int] = []
    assert Item.start_many(items(450), actor="import", page=200, progress=told.append) == 450
    assert told == [200, 400, 450]
    assert Item.counts() == {"checking": 450}
    assert len(bench.queued()) == 450
    assert hooked == [str(number) for number in range(450)]
    one = Item.get(321)
    assert (one.data, one.phase, one.attempt) == ({"n": 321}, "working", 1)
    assert [(entry.seq, entry.kind, entry.dest, entry.actor) for entry in one.history] == [
        (1, "start", "checking", "import")
    ]
    bench.step()
    assert Item.get(0).state == "over"


def test_every_text_comes_back_as_it_was(bench: Bench) -> None:
    texts = ["it's", '"quoted"', "back\\slash \\u0041", "100 %s", "日本語 🚚", "{}", "null", "line\nbreak\ttab"]
    Item.start_many([(f"ä-{number}'\"%", {"text": text}) for number, text in enumerate(texts)])
    assert [Item.get(f"ä-{number}'\"%").data["text"] for number in range(len(texts))] == texts


def test_the_source_is_read_as_pages_are_written(bench: Bench) -> None:
    """So it may be longer than what fits into memory."""
    taken: list[int] = []

    def source() -> Iterator[tuple[int, None]]:
        for number in range(900):
            taken.append(number)
            yield number, None

    ahead: list[int] = []
    Item.start_many(source(), page=300, progress=lambda started: ahead.append(len(taken) - started))
    assert ahead == [0, 0, 0]


def test_what_is_there_already_stops_its_page_or_is_left_as_it_is(bench: Bench) -> None:
    Item.start(250, by="hand")
    with pytest.raises(EntityExists, match="item:250 exists already, in 'checking'"):
        Item.start_many(items(450), page=200)
    assert Item.counts() == {"checking": 201}
    assert Item.start_many(items(450), page=200, if_exists="return") == 249
    assert Item.counts() == {"checking": 450}
    assert Item.get(250).data == {"by": "hand"}


@pytest.mark.parametrize("page", [1_000, 1])
def test_an_id_that_comes_twice_is_told_or_started_once(bench: Bench, page: int) -> None:
    """In one page or in two."""
    twice = [("1", {"n": 1}), ("1", {"n": 2}), ("2", None)]
    with pytest.raises((DataError, EntityExists), match=r"comes twice|exists already"):
        Item.start_many(twice, page=page)
    assert sum(Item.counts().values()) == (1 if page == 1 else 0)
    Item.start_many(twice, page=page, if_exists="return")
    assert (Item.counts(), Item.get("1").data) == ({"checking": 2}, {"n": 1})


def test_of_two_who_start_the_same_each_entity_is_started_by_one(bench: Bench) -> None:
    started = in_threads(
        2, bench.runtime.store.link, lambda number: Item.start_many(items(600), page=100, if_exists="return")
    )
    assert sum(started) == 600
    assert Item.counts() == {"checking": 600}
    assert len(bench.queued()) == 600


def test_a_page_whose_commit_got_no_answer_counts_as_started(bench: Bench) -> None:
    """It is looked for, and found; nothing is started twice, and nobody is told that it exists already."""
    link, failures = bench.runtime.store.link, [peewee.OperationalError("server closed the connection")]
    transaction = link.transaction

    @contextmanager
    def unanswered() -> Iterator[None]:
        with transaction():
            yield
        if failures:
            raise failures.pop()

    with patch.object(link, "transaction", unanswered):
        assert Item.start_many(items(250)) == 250
    assert not failures
    assert Item.counts() == {"checking": 250}
    assert len(bench.queued()) == 250


def test_inside_the_callers_transaction_all_of_it_comes_with_that(database_url: str, redis_url: str) -> None:
    with users_database(database_url) as db, bench_on(redis_url, database=db) as bench:
        with db.atomic() as outer:
            Item.start_many(items(30), page=10)
            outer.rollback()
        assert (Item.counts(), bench.queued(), hooked) == ({}, [], [])
        with db.atomic():
            Item.start_many(items(30), page=10)
            assert (bench.queued(), hooked) == ([], [])
        assert (Item.counts(), len(bench.queued()), len(hooked)) == ({"checking": 30}, 30, 30)


def test_many_are_adopted_in_mid_life(bench: Bench) -> None:
    assert Item.start_many(items(20), state="over") == 20
    assert Item.start_many(items(20, first=20), state="checking") == 20
    assert Item.counts() == {"checking": 20, "over": 20}
    assert bench.queued() == []
    assert Item.get(25).resume().phase == "working"


def test_the_users_own_rows_get_the_state(bench: Bench) -> None:
    class Row(peewee.Model):
        id: Any  # peewee makes it
        state = peewee.CharField(max_length=100, null=True)

    own: Any = type("Own", (Item,), {"name": "own", "status_field": Row.state})
    with bench.runtime.store.link.db.bind_ctx([Row]):
        Row.create_table()
        rows = [Row.create().id for _ in range(3)]
        assert own.start_many((row, None) for row in rows) == 3
        assert [row.state for row in Row.select()] == ["checking"] * 3
        with pytest.raises(DataError, match="own:99 has no row"):
            own.start_many([(99, None)])
        assert own.counts() == {"checking": 3}


@pytest.mark.parametrize(
    ("entities", "options", "error", "sentence"),
    [
        ([("a/b", None)], {}, DataError, "a/b"),
        ([("1", 5)], {}, DataError, "data is 5"),
        ([("1", {"x": object()})], {}, DataError, "x"),
        ([("1", None)], {"state": "nowhere"}, UnknownState, "no state 'nowhere'"),
        ([("1", None)], {"if_exists": "maybe"}, DataError, "if_exists is 'maybe'"),
        ([("1", None)], {"page": 0}, DataError, "page is 0; it is a whole number from 1"),
        ([("1", None)], {"page": "many"}, DataError, "page is 'many'"),
        (["1"], {}, DataError, "'1' is no pair of an id and its data"),
        ([("1", {}, {})], {}, DataError, "is no pair of an id and its data"),
    ],
)
def test_bad_input_is_told_and_nothing_of_its_page_is_started(
    bench: Bench, entities: list[Any], options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Item.start_many([("0", None), *entities], **options)
    assert Item.counts() == {}
