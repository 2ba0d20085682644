"""Triggers and data with types on the command line: text is what its field is declared to be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow.testing import Sandbox, sandbox
from tests.support.loans import Book, Loan
from tests.support.terminal import Terminal


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Loan, Book]) as box:
        yield box


def test_a_text_is_what_its_field_is_declared_to_be(shell: Terminal) -> None:
    shell.ok("start", "book", "1", "amount=5", "note=07", "size=2")
    assert Book.get("1").plain_data == {"amount": 5, "lines": [], "size": 2, "note": "07"}
    Loan.start("1")
    shell.ok("trigger", "loan:1", "approve", "amount=5", "risk=high", 'lines=[{"what": "car"}]', "until=2030-01-31")
    assert Loan.get("1").history[-1].payload["lines"] == [{"what": "car", "amount": 1}]


def test_a_retry_takes_a_text_for_what_its_field_is_declared_to_be(shell: Terminal, box: Sandbox) -> None:
    for number in ("1", "2"):
        Book.start(number, amount=5).go()
    box.fail("book", ValueError("no"), times=4)
    box.run()
    shell.ok("retry", "book:1", "--data", "amount=7", "--set", "note=08")
    shell.ok("retry", "--machine", "book", "--state", "failed_from_booking", "--set", "amount=9")
    assert {book.entity_id: book.plain_data["amount"] for book in Book.find()} == {"1": 7, "2": 9}


def test_what_does_not_fit_is_refused_with_its_place(shell: Terminal) -> None:
    Loan.start("1")
    told = shell.refused("trigger", "loan:1", "approve", "amount=x")
    assert "approve: payload.amount: 'x' is no int" in told
    assert "data.amount: it is missing" in shell.refused("start", "book", "2")
