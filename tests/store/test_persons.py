"""Users, what they are let in by, and tries to log in: of those who write at once none undoes what another did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow.decision.user import Token, TokenKind, User
from fsmflow.settings import Settings
from fsmflow.store import tries
from fsmflow.store.store import Store, create_store
from tests.support.concurrency import in_threads

ANN = User(name="ann", password="$argon2", roles=frozenset({"b", "a"}), made_at=1)
COST, MOST = 1_000, 5_000


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


def token(number: int, *, kind: TokenKind = TokenKind.SESSION, owner: str = "ann") -> Token:
    return Token(
        id=f"{number:012}", digest=f"{number:064}", kind=kind, owner=owner, made_at=number, made_by=None, until=100
    )


def at_once(store: Store, count: int, act: Any) -> list[Any]:
    """What each of several threads gets, which have a connection of their own."""
    return in_threads(count, store.link, act)


def test_of_those_who_add_one_name_at_once_one_does(store: Store) -> None:
    added = at_once(store, 8, lambda number: store.users.add(User(name="ann", password=f"$argon2-{number}", made_at=1)))
    assert sorted(added) == [False] * 7 + [True]
    (user,) = store.users.all()
    assert user.password == f"$argon2-{added.index(True)}"


def test_names_are_what_they_are_written_as(store: Store) -> None:
    for name in ("ann", "Ann", "ann ", "änn", "ann'; DROP TABLE fsmflow_user; --"):
        assert store.users.add(User(name=name, password="$argon2", made_at=1))
    assert [store.users.find(name) is None for name in ("ann", "Ann", "ANN", "ann  ")] == [False, False, True, True]


def test_a_change_ends_the_sessions_and_no_token_and_to_remove_ends_both(store: Store) -> None:
    store.users.add(ANN)
    for one in (token(1), token(2, kind=TokenKind.API), token(3, owner="bea")):
        store.tokens.add(one)
        store.tokens.add(one)
    assert store.users.change("ann", password="$argon2-other", disabled=1)
    found = store.users.find("ann")
    assert found is not None
    assert (found.password, found.disabled, found.generation, found.roles) == ("$argon2-other", True, 1, ANN.roles)
    assert found.mark != ANN.mark
    assert [store.tokens.find(f"{number:064}") is not None for number in (1, 2, 3)] == [False, True, True]
    assert store.users.remove("ann")
    assert [store.tokens.find(f"{number:064}") is not None for number in (1, 2, 3)] == [False, False, True]
    assert not store.users.remove("ann")
    assert not store.users.change("ann", disabled=0)


def test_a_token_is_revoked_once(store: Store) -> None:
    store.tokens.add(token(1))
    assert sorted(at_once(store, 4, lambda number: store.tokens.revoke(f"{1:012}", 50, f"by-{number}"))) == [
        *[False] * 3,
        True,
    ]
    store.tokens.used(token(1), 60)
    store.tokens.used(token(1), 55)
    found = store.tokens.named(f"{1:012}")
    assert found is not None
    assert (found.revoked_at, found.used_at, found.stands(51)) == (50, 60, False)


def test_however_many_try_at_once_no_more_get_through_than_may(store: Store) -> None:
    waits = at_once(store, 8, lambda number: store.tries.take("x", 10, cost=COST, most=MOST))
    assert waits.count(0) == 5
    assert all(wait == COST for wait in waits if wait)
    assert store.tries.take("x", 10 + COST, cost=COST, most=MOST) == 0
    assert store.tries.take("x", 11 + COST, cost=COST, most=MOST) == COST - 1
    store.tries.give_back("x", COST)
    assert store.tries.take("x", 11 + COST, cost=COST, most=MOST) == 0
    assert store.tries.take("y", 11 + COST, cost=COST, most=MOST) == 0


def test_few_tries_are_remembered_however_many_try(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "MOST", 10)
    at_once(store, 4, lambda number: [store.tries.take(f"{number}-{i}", i, cost=COST, most=MOST) for i in range(10)])
    ((count,),) = store.link.query("SELECT COUNT(*) FROM fsmflow_try")
    assert count <= 10 + 4
    # What has been forgotten is no more there.
    store.tries.take("later", 10_000, cost=COST, most=MOST)
    assert store.link.query("SELECT COUNT(*) FROM fsmflow_try") == [(1,)]
