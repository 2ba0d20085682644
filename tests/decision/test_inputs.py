"""What callers hand in: ids, actors, keys and reasons."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest

from fsmflow import Actor, DataError
from fsmflow.decision.inputs import as_actor, checked_id, checked_reason, checked_text


class Customer(str, Enum):  # noqa: UP042 - what users still write
    ALICE = "alice"


class Number(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("1042", "1042"),
        ("ö ü:#", "ö ü:#"),
        (1042, "1042"),
        (-1, "-1"),
        (0, "0"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Customer.ALICE, "alice"),
        (Number.ONE, "1"),
        ("x" * 200, "x" * 200),
        (10**199, "1" + "0" * 199),
    ],
)
def test_an_id_is_text_a_whole_number_or_a_uuid_and_kept_as_text(given: Any, text: str) -> None:
    assert checked_id(given) == text
    assert type(checked_id(given)) is str


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "the id is empty"),
        ("x" * 201, "the id has 201 characters; 200 are allowed"),
        ("a/b", "has a '/', which only ids that fsmflow makes may have"),
        ("a\nb", "has control characters"),
        ("a\x7fb", "has control characters"),
        ("a\x85b", "has control characters"),
        ("a\ud800b", "has control characters"),
        ("\x00", "has control characters"),
        (None, "the id None is neither text, a whole number nor a UUID"),
        (True, "the id True is neither"),
        (1.5, "the id 1.5 is neither"),
        (b"1", "the id b'1' is neither"),
        (["1"], "is neither"),
        pytest.param(10**200, "the id has more than 200 digits", id="a number of 201 digits"),
        pytest.param(-(10**5000), "the id has more than 200 digits", id="a number too long to be written out"),
    ],
)
def test_what_is_no_id_is_refused(given: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        checked_id(given)


def test_a_bare_name_is_an_actor_without_roles() -> None:
    alice = Actor("alice", roles={"boss"})
    assert as_actor(None) is None
    assert as_actor(alice) is alice
    assert as_actor("bob") == Actor("bob")
    assert as_actor("bob") != alice


@pytest.mark.parametrize("roles", ["boss", ["boss"], ("boss",), {"boss"}, iter(["boss"])])
def test_roles_are_one_name_or_several(roles: Any) -> None:
    assert Actor("alice", roles).roles == {"boss"}


@pytest.mark.parametrize("roles", [None, 5, [5], [["boss"]], b"boss", {None}])
def test_roles_that_are_no_names_are_refused(roles: Any) -> None:
    with pytest.raises(DataError, match="the roles of actor 'alice' are .*; they are names"):
        Actor("alice", roles)


@pytest.mark.parametrize("name", [None, 5, "", "a\nb", "x" * 201, b"alice", "\ud800"])
def test_an_actors_name_is_a_short_text(name: Any) -> None:
    with pytest.raises(DataError, match="actor"):
        Actor(name)


def test_a_reason_may_have_lines_and_is_none_where_it_is_empty() -> None:
    assert checked_reason("first\r\nsecond\n\tthird") == "first\r\nsecond\n\tthird"
    assert checked_reason("") is None
    assert checked_reason(None) is None


@pytest.mark.parametrize("reason", [5, "x" * 8_193, "a\x00b", "\x1b[31m", "\ud800", ["because"]])
def test_a_reason_that_cannot_be_stored_is_refused(reason: Any) -> None:
    with pytest.raises(DataError, match="reason"):
        checked_reason(reason)


def test_checked_text_gives_plain_text() -> None:
    assert type(checked_text(Customer.ALICE, "key")) is str
