"""Programs of operators: failures, repairs, holds, counts; what is in teams, and what is redacted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fsmflow import Actor, drains
from tests.support.bench import Bench, bench_on
from tests.support.program import Program, programs
from tests.support.teams import MACHINES, Order

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ADA = Actor("ada", ("operator",), teams="*")
OURS = Actor("amy", ("operator",), teams="acme")
BANK = {"reason": "the bank called"}


@pytest.fixture
def bench(redis_url: str, database_url: str) -> Iterator[Bench]:
    """A shop of two tenants, with orders of both that have failed, and one more of ours."""
    with bench_on(redis_url, database_url=database_url, machines=tuple(MACHINES)) as bench:
        Order.start("g1", tenant="globex", amount=70, card="4711", parcels=1)
        Order.start("a1", tenant="acme", amount=50, card="4712")
        Order.start("a2", tenant="acme", amount=60)
        bench.run("default", "operations")
        assert Order.get("a1").state == "failed_from_charging"
        yield bench


@pytest.fixture
def program_of(bench: Bench) -> Iterator[Callable[[Actor], Program]]:
    with programs() as made:
        yield made


@pytest.fixture
def ada(program_of: Callable[[Actor], Program]) -> Program:
    return program_of(ADA)


def test_addresses_of_branches_and_children_stand_in_paths(ada: Program) -> None:
    below = {each["address"] for each in ada.get("/entities?branches=true")["items"] if "/" in each["entity_id"]}
    assert {"parcel:order:a1/packing/0", "order:a1/checking/0"} <= below
    for address in below:
        machine, _, id_ = address.partition(":")
        for written in (id_, id_.replace("/", "%2F"), id_.replace("/", "%2f").replace(":", "%3A")):
            assert ada.get(f"/entities/{machine}/{written}")["address"] == address
            assert ada.get(f"/entities/{machine}/{written}/history")["items"][0]["kind"] == "start"
            problem = ada.post(f"/entities/{machine}/{written}/triggers/done", {}, 409)
            assert problem["address"] == address


def test_redacted_values_are_nowhere(ada: Program) -> None:
    assert ada.get("/entities/order/g1")["data"]["card"] == "[redacted]"
    ada.post("/entities/order/g1/triggers/move", {"payload": {"card": "4713"}})
    told = [ada.answer("GET", f"/entities/order/g1{rest}").text for rest in ("", "/history", "/explain")]
    forecast = ada.answer("POST", "/entities/order/g1/what-if/move", {"payload": {"card": "4714"}}).text
    assert not any(card in text for text in (*told, forecast) for card in ("4711", "4713", "4714"))


def test_who_is_in_a_team_sees_that_alone(program_of: Callable[[Actor], Program]) -> None:
    ours = program_of(OURS)
    assert [each["entity_id"] for each in ours.get("/entities?machine=order")["items"]] == ["a1", "a2"]
    ours.get("/entities/order/g1", 404)
    ours.get("/entities/order/g1/history", 404)
    ours.post("/entities/order/g1/triggers/nudge", {}, 404)
    ours.post("/entities/order/g1/actions/cancel", {}, 404)
    ours.post("/entities/order", {"id": "g9", "data": {"tenant": "globex"}}, 403)
    assert ours.get("/counts")["entities"] == 2
    assert sum(each["count"] for each in ours.get("/failures")["items"]) == 2
    ours.get("/feeds", 403)
    texts = [ours.answer("GET", path).text for path in ("/entities?branches=true", "/failures", "/repairs", "/holds")]
    assert not any("globex" in text for text in texts)


def test_a_group_has_a_life(ada: Program) -> None:
    part = ada.get("/failures?machine=order")["items"][0]
    path = f"/failures/{part['group'][:6]}"
    assert "the bank does not know" in ada.get(path)["traceback"]
    assert ada.post(f"{path}/note", {"text": "asked", "link": "https://x.example"})["note"] == "asked"
    assert ada.post(f"{path}/ignore", {"until": "2099-12-24", "count": 5})["life"] == "ignored"
    assert part["group"] not in {each["group"] for each in ada.get("/failures?machine=order")["items"]}
    assert ada.post(f"{path}/reopen")["life"] == "open"
    assert ada.post(f"{path}/resolve", {"release": "2.4.1"})["life_release"] == "2.4.1"
    assert "no moment" in ada.post(f"{path}/ignore", {"until": "tomorrow"}, 422)["detail"]
    assert ada.get("/failures/abcdef", 404)["type"] == "urn:fsmflow:problem:unknown-group"


def test_a_repair_is_previewed_confirmed_and_reported(ada: Program, bench: Bench) -> None:
    asked = {"machine": "order", "where": {"tenant": "acme"}, "canary": 1, "data": {"quiet": True}}
    started = ada.post("/repairs", asked, 201, idempotency_key="r1")
    path = f"/repairs/{started['address'].partition(':')[2]}"
    assert ada.post("/repairs", asked, 201, idempotency_key="r1")["address"] == started["address"]
    ada.post("/repairs", {**asked, "canary": 0}, 422, idempotency_key="r1")
    ada.post(f"{path}/confirm", {}, 422)
    bench.run("default", "operations")
    previewed = ada.get(path)
    assert (previewed["state"], previewed["members"], previewed["plan"]["patch"]) == ("previewed", 2, ["quiet"])
    assert previewed["preview"]["ways"][0]["would"] == "charging"
    assert ada.post(f"{path}/confirm", {}, idempotency_key="c1")["state"] == "canary"
    again = ada.answer("POST", f"{path}/confirm", {}, idempotency_key="c1")
    assert (again.json()["state"], again.headers["idempotency-replayed"]) == ("canary", "true")
    ada.post(f"{path}/confirm", {"reason": "other"}, 422, idempotency_key="c1")
    bench.run("default", "operations")
    bench.advance(60)
    bench.run("default", "operations")
    stopped = ada.get(path)
    assert (stopped["state"], stopped["failed_alike"], stopped["pending"]) == ("stopped", 1, 1)
    members = ada.get(f"{path}/members?limit=1")
    rest = ada.get(f"{path}/members?after={members['next']}")
    assert {each["fate"] for each in (*members["items"], *rest["items"])} == {"failed_alike", "pending"}
    for name, why, state in (("resume", {}, "canary"), ("stop", BANK, "stopped"), ("cancel", BANK, "cancelled")):
        assert ada.post(f"{path}/{name}", why, idempotency_key="n1")["state"] == state
        assert ada.post(f"{path}/{name}", why, idempotency_key="n1")["state"] == state
    # What had its key is told as it is by now, and not done again.
    assert ada.post(f"{path}/resume", {}, idempotency_key="n1")["state"] == "cancelled"
    assert [each["address"] for each in ada.get("/repairs")["items"]] == [started["address"]]


def test_a_hold_keeps_back_until_it_is_released(ada: Program) -> None:
    made = ada.post("/holds", {"machine": "parcel", "reason": "inventory", "until": "2099-01-01T00:00:00Z"}, 201)
    assert [each["number"] for each in ada.get("/holds")["items"]] == [made["number"]]
    assert ada.post(f"/holds/{made['number']}/release", {"rate": 5})["released_at"] is not None
    ada.post("/holds/99/release", {}, 422)
    ada.post("/holds", {}, 422)


def test_a_hold_that_is_asked_for_again_by_its_key_is_made_once(program_of: Callable[[Actor], Program]) -> None:
    ada, bob = program_of(ADA), program_of(Actor("bob", ("operator",), teams="*"))
    asked = {"machine": "parcel", "reason": "inventory"}
    made = ada.post("/holds", asked, 201, idempotency_key="h1")
    again = ada.answer("POST", "/holds", asked, 201, idempotency_key="h1")
    assert (again.json(), again.headers["idempotency-replayed"]) == (made, "true")
    problem = ada.post("/holds", {**asked, "state": "packed"}, 422, idempotency_key="h1")
    assert problem["type"] == "urn:fsmflow:problem:key-conflict"
    assert "'hold with another body'" in problem["detail"]
    let_go = ada.post(f"/holds/{made['number']}/release", {"rate": 5}, idempotency_key="h1")
    assert ada.post(f"/holds/{made['number']}/release", {"rate": 5}, idempotency_key="h1") == let_go
    # It is gone by now, and asked for again it is not made again.
    assert ada.post("/holds", asked, 201, idempotency_key="h1") == made
    assert bob.post("/holds", asked, 201, idempotency_key="h1")["number"] == made["number"] + 1
    # What was refused has used up no key.
    bob.post("/holds", {"machine": "no"}, 404, idempotency_key="h2")
    bob.post("/holds", {"queue": "slow"}, 201, idempotency_key="h2")


def test_a_host_drains_until_that_is_taken_back(ada: Program, program_of: Callable[[Actor], Program]) -> None:
    asked = {"host": "web1", "reason": "release 2.4.1"}
    made = ada.post("/drains", asked, 201, idempotency_key="d1")
    assert (made["host"], made["by"], made["reason"], made["processes"]) == ("web1", "ada", "release 2.4.1", 0)
    assert ada.get("/drains") == {"items": [made], "next": None}
    assert [each.reason for each in drains.current_drains()] == ["release 2.4.1"]
    program_of(OURS).post("/drains", {"host": "web2"}, 403)
    ada.post("/drains/web1/undo", {}, idempotency_key="d2")
    # Repeated by a program that got no answer, neither is done again.
    assert ada.post("/drains", asked, 201, idempotency_key="d1") == made
    ada.post("/drains/web1/undo", {}, idempotency_key="d2")
    assert ada.get("/drains")["items"] == []
    assert "does not drain" in ada.post("/drains/web1/undo", {}, 422)["detail"]
    assert drains.drain("web1", actor=ADA) == drains.undo("web1", actor=ADA)


def test_a_remark_that_is_asked_for_again_by_its_key_is_made_once(ada: Program) -> None:
    path = f"/failures/{ada.get('/failures?machine=order')['items'][0]['group']}"
    ada.post(f"{path}/resolve", {}, idempotency_key="r1")
    ada.post(f"{path}/reopen", {}, idempotency_key="r1")
    again = ada.answer("POST", f"{path}/resolve", {}, idempotency_key="r1")
    assert (again.json()["life"], again.headers["idempotency-replayed"]) == ("open", "true")
    ada.post(f"{path}/note", {"text": "asked"}, idempotency_key="r2")
    ada.post(f"{path}/note", {"text": "told"}, 422, idempotency_key="r2")
    assert ada.get(path)["note"] == "asked"


def test_machines_counts_queues_and_workers_are_told(ada: Program) -> None:
    assert [each["name"] for each in ada.get("/machines")["items"]] == ["order", "parcel", "note"]
    assert ada.get("/machines/order")["initial"] == "packing"
    assert ada.get("/counts")["counts"]["order"] == {"failed_from_charging": 3}
    assert ada.get("/queues")["items"][0]["name"] == "default"
    assert ada.get("/workers")["items"] == []
    assert ada.get("/schedules")["items"] == []
    ada.get("/schedules/order", 404)
