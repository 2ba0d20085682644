"""Machines whose data have a type: typed objects in the code of the user, plain values in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fsmflow import DataError, DefinitionError, Machine, State
from fsmflow.testing import Sandbox, sandbox
from tests.support.loans import Book, Car, Line, Loan, LoanData, Parcel, Post, Seat, Size, Ticket, play

START = {"amount": 5, "lines": [], "size": 1, "note": None}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Book, Car, Seat, Post, Loan]) as box:
        yield box


@pytest.fixture
def book(box: Sandbox) -> Book:
    return Book.start("1", LoanData(5))


def _run(box: Sandbox, book: Book, job: Any) -> Book:
    play[book.entity_id] = job
    book.go()
    box.run()
    return book.refresh()


def test_an_object_or_its_fields_start_an_entity_and_defaults_are_filled_in(book: Book) -> None:
    assert book.plain_data == Book.start("2", amount=5).plain_data == START
    assert Book.start(LoanData(5)).plain_data == START
    assert Book.start_many([("3", LoanData(7)), ("4", {"amount": 8})]) == 2
    assert [each.data.amount for each in Book.find(state="new", data={"size": 1})] == [5, 5, 5, 7, 8]
    assert book.data == LoanData(5)
    assert book.data.size is Size.small


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "data.amount: it is missing; it takes int"),
        ({"amount": 5, "sizes": 1}, "data.sizes: there is no such field; did you mean 'size'?"),
        ({"amount": 5, "size": 3}, "data.size: 3 is none of 1, 2"),
        ({"amount": 5, "lines": [{"what": 1}]}, "data.lines[0].what: 1 is no str"),
    ],
)
def test_what_does_not_fit_starts_nothing(box: Sandbox, data: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError) as refused:
        Book.start("9", data)
    assert str(refused.value) == told
    assert Book.counts() == {}


def test_callbacks_and_jobs_change_the_object_and_that_is_committed(box: Sandbox, book: Book) -> None:
    book.trigger("touch")
    assert (book.data.total, book.data.size, book.plain_data["size"]) == (2, Size.large, 2)

    def work(book: Book) -> dict[str, Any]:
        held = book.data
        held.amount += 1
        book.save()
        held.note = "saved before"
        return {"lines": [{"what": "bus"}]}

    done = _run(box, book, work)
    assert done.state == "over"
    assert done.data == LoanData(6, [Line("bus")], Size.large, "saved before")


def test_other_data_are_put_in_their_place_as_an_object_or_a_mapping(box: Sandbox, book: Book) -> None:
    def work(book: Book) -> None:
        book.data = replace(book.data, amount=7)
        book.data.note = "and on"

    assert _run(box, book, work).data == LoanData(7, note="and on")


def test_what_a_job_returns_that_does_not_fit_is_kept_and_told(box: Sandbox, book: Book) -> None:
    failed = _run(box, book, lambda book: {"nte": "x"})
    assert failed.state == "failed_from_booking"
    assert failed.failure is not None
    assert "data.nte: there is no such field; did you mean 'note'?" in failed.failure.message
    assert failed.plain_data == START


def test_a_retry_with_data_that_do_not_fit_is_refused(box: Sandbox, book: Book) -> None:
    failed = _run(box, book, lambda book: {1: None}[2])
    for edit, told in (({"amount": "x"}, "'x' is no int"), ({"amuont": 1}, "did you mean 'amount'")):
        with pytest.raises(DataError, match=told):
            failed.retry(data=edit)
    play["1"] = lambda book: None
    failed.retry(data={"amount": 50, "lines": [Line("car")]})
    box.run()
    assert failed.refresh().data == LoanData(50, [Line("car")])


def test_what_a_job_that_only_asks_makes_of_the_data_is_checked_too(box: Sandbox, book: Book) -> None:
    play["1"] = lambda book: {"note": "asked"}
    book.trigger("ask_them")
    box.run()
    assert book.refresh().data.note == "asked"
    other = Book.start("2", amount=1)
    play["2"] = lambda book: {"note": 5}
    other.trigger("ask_them")
    box.run()
    assert other.refresh().state == "failed_from_asking"


class Old(Machine):
    """A book as it was before its data had a type."""

    name = "book"
    initial = "new"
    states = ["new", State("over", final=True)]
    transitions = [["end", "new", "over"], ["touch", "new", None]]


class Upgraded(Book):
    """The same with what brings old data up."""

    name = "book"
    version = 2

    def upgrade(self, data: dict[str, Any], from_version: int) -> dict[str, Any]:
        return {"amount": data["total"], "note": data.get("note")}


def test_rows_that_do_not_fit_any_more_can_be_read_and_are_brought_up(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/old.db"
    with sandbox(machines=[Old], database=database):
        Old.start("1", total=3)
    with sandbox(machines=[Book], database=database):
        book = Book.get("1")
        assert book.plain_data == {"total": 3}
        with pytest.raises(DataError, match=r"^book:1: data\.amount: it is missing.*version= and upgrade"):
            print(book.data)
        book.trigger("go", reason="nothing of the data changes")
        assert book.state == "booking"
    with sandbox(machines=[Upgraded], database=database):
        Upgraded.start("2", amount=1)
        old = Upgraded.get("1")
        assert old.data == LoanData(3)


def test_a_typed_dict_is_the_dict_that_it_always_was(box: Sandbox) -> None:
    car = Car.start("1", {"plate": "G-1"})
    with pytest.raises(DataError, match="a handle shows a copy"):
        car.data["doors"] = 1
    car.trigger("go")
    box.run()
    assert car.refresh().data == {"plate": "G-1", "doors": 3}
    with pytest.raises(DataError, match=r"data\.door: there is no such field; did you mean 'doors'"):
        Car.start("2", plate="G-2", door=1)


def test_models_of_pydantic_and_msgspec_are_data_too(box: Sandbox) -> None:
    seat, post = Seat.start("1", Ticket(seat=3)), Post.start("1", Parcel(1.5))
    seat.trigger("go")
    post.trigger("go")
    box.run()
    assert (seat.refresh().data, seat.plain_data) == (Ticket(seat=4), {"seat": 4, "row": "A"})
    assert (post.refresh().data, post.plain_data) == (Parcel(3.0), {"weight": 3.0, "size": 1})
    with pytest.raises(DataError, match=r"data\.seat: x: Input should be a valid integer|data\.seat: 'x'"):
        Seat.start("2", seat="x")


def test_a_type_that_cannot_be_that_of_data_is_a_fault() -> None:
    ways = {"initial": "a", "states": ["a", State("z", final=True)], "transitions": [["end", "a", "z"]]}
    for kind, told in ((list[int], "data are a mapping"), (complex, "no type that can be checked")):
        with pytest.raises(DefinitionError, match=told):
            type("Odd", (Machine,), {**ways, "__orig_bases__": (Machine[kind],)})  # type: ignore[valid-type]
    with pytest.raises(DefinitionError, match="add scheduled_at"):
        type("Odd", (Machine,), {**ways, "schedule": "0 3 * * *", "__orig_bases__": (Machine[LoanData],)})


def test_a_machine_without_a_type_takes_anything(box: Sandbox) -> None:
    loan = Loan.start("1", anything=[1])
    assert loan.data == loan.plain_data == {"anything": [1]}
    with pytest.raises(DataError, match="plain_data only shows data"):
        loan.plain_data["x"] = 1
