"""What waits for somebody: by roles, permissions and teams, by deadline, page by page, and as guards have it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Actor, DataError, Hook, Machine, Refuse, State, UnknownMachine
from fsmflow.engine import desk
from fsmflow.engine.desk import WaitingPage, waiting_count, waiting_for
from fsmflow.engine.runtime import current
from fsmflow.signatures import GitHub
from fsmflow.testing import Sandbox, sandbox

ANN = Actor("ann", ["manager"], teams=["acme"])
BEA = Actor("bea", ["clerk"], teams=["acme"])
ALL = Actor("all", ["manager"], teams="*")


class Order(Machine):
    initial = "new"
    search = ["tenant"]
    team = "tenant"
    renamed_states = {"requested": "asked"}
    hooks = [Hook("gh", trigger="ping", entity="id", verify=GitHub("s"))]
    states = [
        "new",
        State("asked", timeout="patience"),
        State("packing", machine="parcel", each="parcels"),
        "voting",
        State("over", final=True),
    ]
    transitions = [
        ["submit", "new", "asked"],
        ["ping", "new", None],
        ["timeout", "asked", "over"],
        {"trigger": "approve", "source": "asked", "dest": "packing", "roles": ["manager"], "conditions": "is_known"},
        {"trigger": "reject", "source": "asked", "dest": "over", "roles": ["manager", "clerk"]},
        ["done", "packing", "voting"],
        {"trigger": "vote", "source": "voting", "dest": "=", "roles": ["manager"], "unless": "has_voted"},
        ["close", "voting", "over"],
    ]

    def patience(self) -> timedelta:
        return timedelta(hours=self.data.get("hours", 1))

    def is_known(self) -> bool | Refuse:
        return True if self.data.get("known", True) else Refuse("nobody knows the customer")

    def parcels(self) -> list[int]:
        return [1]

    def has_voted(self) -> bool:
        return self.event.actor in self.data.get("votes", [])

    def on_enter_voting(self) -> None:
        self.data["votes"] = [*self.data.get("votes", []), self.event.actor]


class Parcel(Machine):
    initial = "checked"
    states = ["checked", State("sent", final=True)]
    transitions = [{"trigger": "release", "source": "checked", "dest": "sent", "roles": ["manager"]}]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Order, Parcel]) as box:
        yield box


def asked(id_: str, **data: Any) -> Order:
    order = Order.start(id_, {"tenant": "acme", **data})
    order.trigger("submit")
    return order


def look(actor: Actor, **options: Any) -> WaitingPage:
    return waiting_for(current(), actor, **options)


def told(actor: Actor, **options: Any) -> list[tuple[str, list[str]]]:
    return [
        (each.snapshot.entity_id, [offer.trigger for offer in each.offers]) for each in look(actor, **options).found
    ]


def test_what_waits_is_what_ones_roles_may_decide_by_deadline(box: Sandbox) -> None:
    asked("late", hours=9)
    box.advance(minutes=1)
    asked("soon", hours=2)
    asked("unknown", hours=5, known=False)
    Order.start("new", tenant="acme")
    assert told(ANN) == [("soon", ["approve", "reject"]), ("unknown", ["reject"]), ("late", ["approve", "reject"])]
    assert told(BEA) == [("soon", ["reject"]), ("unknown", ["reject"]), ("late", ["reject"])]
    assert told(Actor("eve", teams=["acme"])) == []
    (first, *_) = look(ANN).found
    assert first.deadline == current().now() + 2 * 3_600_000
    Order.get("soon").pause()
    assert told(ANN)[-1][0] == "soon", "a pause holds its deadline"


def test_whoever_has_decided_is_asked_no_more(box: Sandbox) -> None:
    asked("1").trigger("approve", actor=ANN)
    box.run()
    assert told(ALL) == [("order:1/packing/0", ["release"])]
    parcel = Parcel.get("order:1/packing/0")
    parcel.trigger("release", actor=ALL)
    box.run()
    assert told(ANN) == [("1", ["vote"])]
    Order.get("1").trigger("vote", actor=ANN)
    assert (told(ANN), told(ALL)) == ([], [("1", ["vote"])])


def test_what_takes_no_role_waits_for_anyone_who_asks_for_it(box: Sandbox) -> None:
    Order.start("1", tenant="acme")
    assert told(BEA) == []
    assert told(BEA, anyone=True) == [("1", ["submit"])]


def test_what_belongs_to_other_teams_does_not_wait_for_one(box: Sandbox) -> None:
    asked("ours")
    asked("theirs", tenant="globex")
    assert [name for name, _ in told(ANN)] == ["ours"]
    assert [name for name, _ in told(ALL)] == ["ours", "theirs"]
    assert (waiting_count(current(), ANN), waiting_count(current(), ALL)) == (1, 2)
    assert waiting_count(current(), Actor("eve", teams="*")) == 0


def test_pages_follow_on_each_other(box: Sandbox) -> None:
    for number in range(5):
        asked(str(number), hours=5 - number)
    first = look(ANN, limit=2)
    assert ([each.snapshot.entity_id for each in first.found], first.more) == (["4", "3"], True)
    second = look(ANN, limit=2, after=first.found[-1].cursor)
    third = look(ANN, limit=2, after=second.found[-1].cursor)
    assert ([each.snapshot.entity_id for each in second.found], second.more) == (["2", "1"], True)
    assert ([each.snapshot.entity_id for each in third.found], third.more) == (["0"], False)
    for wrong in ("", "1", "1.2", "a.b.c", "1.2.3.4", "9" * 70):
        with pytest.raises(DataError, match="it is what the last page gave"):
            look(ANN, after=wrong)


def test_of_very_many_those_that_were_started_first_are_looked_at(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "MOST", 2)
    for number in range(3):
        asked(str(number))
    page = look(ANN)
    assert ([each.snapshot.entity_id for each in page.found], page.cut) == (["0", "1"], ("order",))


def test_an_installations_permissions_count_and_its_permit_is_asked() -> None:
    def permit(actor: Actor, permission: str, entity: Any) -> bool | None:
        return None if entity is None or entity.entity_id != "2" else False

    roles = {"boss": ["order.asked.approve"], "temp": ["parcel.*"]}
    boss, temp = Actor("cat", ["boss"], teams=["acme"]), Actor("dan", ["temp"], teams=["acme"])
    with sandbox([Order, Parcel], permissions={"roles": roles}):
        asked("1")
        assert (told(boss), told(temp)) == ([("1", ["approve"])], [])
    with sandbox([Order, Parcel], permissions={"roles": roles, "permit": permit}):
        asked("1")
        asked("2")
        assert [name for name, _ in told(boss)] == ["1"]


def test_a_machine_that_is_not_there_is_told(box: Sandbox) -> None:
    with pytest.raises(UnknownMachine):
        look(ANN, machine="orders")
