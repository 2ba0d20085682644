"""``start`` without an id makes one, and refuses what would start another entity where one was meant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import peewee
import pytest

from fsmflow import DataError, Machine, NestedAction, State
from fsmflow.testing import Sandbox, sandbox
from tests.support.terminal import Terminal


class Parcel(Machine):
    """Starts others where it must not."""

    initial = "new"
    states = [State("new"), State("sent", final=True)]
    transitions = [["send_off", "new", "sent", "starts_another"]]

    def starts_another(self) -> bool:
        return bool(Parcel.start())


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Parcel]) as box:
        yield box


@pytest.fixture
def shell(box: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def test_ids_that_are_made_sort_by_time(box: Sandbox) -> None:
    ids = []
    for _ in range(5):
        ids.append(Parcel.start().entity_id)
        box.advance(timedelta(milliseconds=1))
    assert ids == sorted(set(ids))
    assert {UUID(id_).version for id_ in ids} == {7}
    assert [parcel.entity_id for parcel in Parcel.find()] == ids


def test_data_may_be_given_without_an_id(box: Sandbox) -> None:
    assert Parcel.start(weight=5).data == {"weight": 5}
    body = MappingProxyType({"id": 7, "actor": "mallory"})
    parcel = Parcel.start(body, actor="ann", weight=5)
    assert parcel.data == {"id": 7, "actor": "mallory", "weight": 5}
    assert parcel.history[0].actor == "ann"
    assert Parcel.start(state="sent").state == "sent"


@pytest.mark.parametrize(
    ("given", "options", "why"),
    [
        ((None,), {}, "the id None is neither"),
        ((None, {"a": 1}), {}, "the id None is neither"),
        (({"a": 1}, {"b": 2}), {}, "the id {'a': 1} is neither"),
        ((), {"id": "7"}, r"start\(id='7'\): the id is given by its place, start\('7'\)"),
        ((), {"entity_id": "7"}, "the id is given by its place"),
        ((), {"key": "form-1"}, r"start\(key='form-1'\) without an id"),
        (({},), {"if_exists": "return"}, r"start\(if_exists='return'\) without an id"),
    ],
)
def test_what_would_start_another_entity_where_one_is_meant_is_refused(
    box: Sandbox, given: tuple[Any, ...], options: dict[str, Any], why: str
) -> None:
    with pytest.raises(DataError, match=why):
        Parcel.start(*given, **options)
    assert list(Parcel.find()) == []


def test_an_entity_with_a_row_of_its_own_has_the_id_of_that() -> None:
    class Row(peewee.Model):
        status = peewee.CharField()

    class Tracked(Machine):
        initial = "new"
        states = [State("new"), State("sent", final=True)]
        transitions = [["send_off", "new", "sent"]]
        status_field = Row.status

    with sandbox([Tracked]), pytest.raises(DataError, match=r"machine 'tracked' has a status_field.*start\(row\.id\)"):
        Tracked.start()


def test_a_guard_starts_nothing(box: Sandbox) -> None:
    with pytest.raises(NestedAction):
        Parcel.start("1").trigger("send_off")


def test_the_command_prints_the_address_of_what_it_made(shell: Terminal) -> None:
    address, state = shell.ok("start", "parcel", "weight:=5", "note=a=b").split()
    parcel = next(Parcel.find())
    assert (address, state, UUID(parcel.entity_id).version) == (parcel.address, "new", 7)
    assert parcel.data == {"weight": 5, "note": "a=b"}
    assert shell.json("start", "parcel", "--data", '{"weight": 6}', "--actor", "ann")["data"] == {"weight": 6}
    shell.ok("start", "parcel")
    assert Parcel.counts() == {"new": 3}


def test_the_command_takes_an_address_too(shell: Terminal) -> None:
    assert shell.ok("start", "parcel:7", "weight:=5") == "parcel:7  new\n"
    assert Parcel.get(7).data == {"weight": 5}
    assert shell.ok("start", "parcel:a==", "--key", "k") == "parcel:a==  new\n"
    assert "'8' is another one" in shell.misused("start", "parcel:7", "8")
    assert "'7' is an ID; with --from" in shell.misused("start", "parcel:7", "--from", "x")


def test_the_command_refuses_what_would_start_another_one(shell: Terminal) -> None:
    assert "right after MACHINE: parcel 7" in shell.misused("start", "parcel", "id=7", "weight:=5")
    assert "start(key='k') without an id" in shell.refused("start", "parcel", "--key", "k")
    assert "without an id" in shell.refused("start", "parcel", "--if-exists", "return")
    assert list(Parcel.find()) == []
