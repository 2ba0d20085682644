"""Programs fire triggers and do what operators do: once for a key, and only on what they have seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fsmflow import Actor
from fsmflow.decision.actions import ACTIONS
from tests.support.bench import Bench
from tests.support.concurrency import in_threads
from tests.support.machines import Counter, Order, play
from tests.support.program import Program

CLERK = Actor("carl", ("clerk",))


@pytest.fixture
def sqlite(database_url: str) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("SQL is the same on the servers")


def _no_card(order: Order) -> None:
    raise LookupError("there is no card")


@pytest.fixture
def failed(bench: Bench) -> Order:
    order = Order.start("1")
    order.submit()
    play["charging"] = _no_card
    bench.run()
    assert order.refresh().state == "failed_from_charging"
    return order


@pytest.mark.usefixtures("sqlite")
class TestTriggers:
    def test_one_is_fired(self, ada: Program) -> None:
        Order.start("1")
        answer = ada.answer("POST", "/entities/order/1/triggers/submit", {"payload": {"by": "web"}, "reason": "why"})
        told = answer.json()
        assert (told["state"], told["repeated"]) == ("charging", False)
        assert (told["entry"]["actor"], told["entry"]["reason"]) == ("ada", "why")
        assert answer.headers["etag"] == '"2"'

    def test_one_that_does_not_apply_says_what_does(self, ada: Program) -> None:
        Order.start("1")
        problem = ada.post("/entities/order/1/triggers/approve", status=409)
        assert problem["type"] == "urn:fsmflow:problem:not-allowed"
        assert problem["state"] == "pending"
        assert "submit" in problem["allowed"]
        assert "'approve' was refused" in problem["detail"]

    def test_who_may_not_is_told_so(self, program_of: Callable[[Actor], Program], bench: Bench) -> None:
        order = Order.start("1", amount=2_000)
        order.submit()
        bench.run()
        problem = program_of(CLERK).post("/entities/order/1/triggers/approve", status=403)
        assert problem["roles"] == ["boss", "manager"]
        assert order.refresh().state == "approval"

    def test_a_guard_that_raises_is_no_fault_of_the_server(self, ada: Program) -> None:
        Order.start("1")
        problem = ada.post("/entities/order/1/triggers/stop_if", {"payload": {}}, 422)
        assert problem["type"] == "urn:fsmflow:problem:guard-failed"

    def test_a_callback_that_raises_is_none_either_and_its_words_are_kept_back(self, ada: Program) -> None:
        Order.start("1", notes=5)
        problem = ada.post("/entities/order/1/triggers/note", {"payload": {"text": "s3cret"}}, 422)
        assert problem["type"] == "urn:fsmflow:problem:machine-raised"
        assert "TypeError" in problem["detail"]
        assert "s3cret" not in str(problem)

    def test_what_it_would_lead_to_is_told_and_not_done(self, ada: Program) -> None:
        order = Order.start("1")
        told = ada.post("/entities/order/1/what-if/submit")
        assert (told["allowed"], told["state"]) == (True, "charging")
        assert ada.post("/entities/order/1/what-if/approve")["allowed"] is False
        assert order.refresh().state == "pending"


@pytest.mark.usefixtures("sqlite")
class TestKeys:
    def test_a_repeat_changes_nothing_and_says_so(self, ada: Program) -> None:
        order = Order.start("1")
        for repeated in (False, True):
            body = {"payload": {"text": "a"}}
            answer = ada.answer("POST", "/entities/order/1/triggers/note", body, idempotency_key="k")
            assert answer.json()["repeated"] is repeated
            assert ("idempotency-replayed" in answer.headers) is repeated
        assert order.refresh().data == {"notes": ["a"]}

    def test_the_same_key_with_another_body_is_another_request(self, ada: Program) -> None:
        order = Order.start("1")
        ada.post("/entities/order/1/triggers/note", {"payload": {"text": "a"}}, idempotency_key="k")
        problem = ada.post("/entities/order/1/triggers/note", {"payload": {"text": "b"}}, 422, idempotency_key="k")
        assert problem["type"] == "urn:fsmflow:problem:key-conflict"
        assert "another body" in problem["detail"]
        assert order.refresh().data == {"notes": ["a"]}

    def test_so_it_is_for_a_start_and_for_actions(self, ada: Program, failed: Order) -> None:
        ada.post("/entities/order", {"id": "7", "data": {"a": 1}}, 201, idempotency_key="k")
        again = ada.answer("POST", "/entities/order", {"id": "7", "data": {"a": 1}}, 201, idempotency_key="k")
        assert again.headers["idempotency-replayed"] == "true"
        ada.post("/entities/order", {"id": "7", "data": {"a": 2}}, 422, idempotency_key="k")
        ada.post("/entities/order/1/actions/retry", {"data": {"card": "x"}}, idempotency_key="r")
        ada.post("/entities/order/1/actions/retry", {"data": {"card": "x"}}, idempotency_key="r")
        ada.post("/entities/order/1/actions/retry", {"data": {"card": "y"}}, 422, idempotency_key="r")

    def test_a_start_without_an_id_gets_one_by_its_key(self, ada: Program) -> None:
        asked = {"data": {"a": 1}}
        made = ada.post("/entities/order", asked, 201, idempotency_key="k")
        again = ada.answer("POST", "/entities/order", asked, 201, idempotency_key="k")
        assert (again.json()["address"], again.headers["idempotency-replayed"]) == (made["address"], "true")
        ada.post("/entities/order", {"data": {"a": 2}}, 422, idempotency_key="k")
        assert ada.post("/entities/order", asked, 201, idempotency_key="l")["address"] != made["address"]
        assert ada.post("/entities/order", asked, 201)["address"] != made["address"]

    def test_who_erases_takes_what_was_kept_of_the_body_too(self, ada: Program, bench: Bench) -> None:
        order = Order.start("1")
        ada.post("/entities/order/1/triggers/note", {"payload": {"text": "a"}}, idempotency_key="k")
        ada.post("/entities/order/1/actions/erase", {"reason": "asked for"})
        row = order._view.snapshot.row
        assert bench.runtime.store.entities.form_of_key(row, "k") is None

    def test_where_no_key_is_heeded_it_is_refused(self, ada: Program) -> None:
        assert "heeds no" in ada.post("/feeds/billing/acknowledge", {"mark": "x"}, 422, idempotency_key="k")["detail"]


@pytest.mark.usefixtures("sqlite")
class TestEpochs:
    def test_what_has_moved_is_refused_and_it_is_told_how(self, ada: Program) -> None:
        order = Order.start("1")
        seen = ada.answer("GET", "/entities/order/1").headers["etag"]
        order.trigger("cool", actor="bob")
        answer = ada.answer("POST", "/entities/order/1/triggers/submit", {}, 412, if_match=seen)
        problem = answer.json()
        assert problem["type"] == "urn:fsmflow:problem:stale"
        assert [(each["actor"], each["dest"]) for each in problem["meanwhile"]] == [("bob", "cooling")]
        assert (problem["state"], problem["epoch"], answer.headers["etag"]) == ("cooling", 2, '"2"')

    def test_every_action_heeds_it(self, ada: Program, failed: Order) -> None:
        for name, action in ACTIONS.items():
            places = {"state": "pending", "event": "note"}
            body = {"reason": "why"} | {place: places[place] for place in places if place in action.options}
            ada.post(f"/entities/order/1/actions/{name}", body, 412, if_match='"1"')
        assert failed.refresh().state == "failed_from_charging"

    def test_one_that_is_none_is_refused(self, ada: Program) -> None:
        Order.start("1")
        for wrong in ("x", "-1", '"1", "2"', "9" * 40):
            ada.post("/entities/order/1/triggers/submit", {}, 422, if_match=wrong)
        ada.post("/entities/order/1/triggers/submit", {}, if_match="*")

    def test_one_that_a_proxy_has_made_weak_counts_all_the_same(self, ada: Program) -> None:
        Order.start("1")
        ada.post("/entities/order/1/triggers/cool", {}, if_match='W/"1"')
        ada.post("/entities/order/1/triggers/submit", {}, 412, if_match='W/"1"')


@pytest.mark.usefixtures("sqlite")
class TestActions:
    def test_what_failed_is_retried_with_edited_data(self, ada: Program, failed: Order) -> None:
        dry = ada.post("/entities/order/1/actions/retry", {"data": {"card": "x"}, "dry_run": True})
        assert (dry["done"], dry["state"]) == (False, "charging")
        told = ada.post("/entities/order/1/actions/retry", {"data": {"card": "x"}, "reason": "new card"})
        assert (told["source"], told["state"], told["done"]) == ("failed_from_charging", "charging", True)
        assert failed.refresh().data["card"] == "x"

    def test_each_of_the_table_is_there(self, ada: Program, failed: Order) -> None:
        for name in ("pause", "resume"):
            ada.post(f"/entities/order/1/actions/{name}")
        ada.post("/entities/order/1/actions/force", {"state": "pending"})
        ada.post("/entities/order/1/actions/rewind", {"state": "charging"})
        assert failed.refresh().state == "charging"
        ada.post("/entities/order/1/actions/cancel", {"reason": "why"})

    def test_one_that_is_final_needs_a_reason(self, ada: Program) -> None:
        Order.start("1")
        assert "give a reason" in ada.post("/entities/order/1/actions/erase", status=422)["detail"]


def test_of_two_at_once_with_one_key_one_counts(ada: Program, bench: Bench) -> None:
    counter = Counter.start("1")
    path = "/entities/counter/1/triggers/add"
    answers = in_threads(2, bench.runtime.store.link, lambda _: ada.post(path, {}, idempotency_key="k"))
    assert sorted(each["repeated"] for each in answers) == [False, True]
    assert counter.refresh().data == {"n": 1}


def test_of_two_at_once_that_have_seen_the_same_one_is_told_that_it_is_stale(ada: Program, bench: Bench) -> None:
    Counter.start("1")
    path, seen = "/api/v1/entities/counter/1/triggers/close", {"If-Match": '"1"'}
    link = bench.runtime.store.link
    codes = in_threads(2, link, lambda _: ada.client.post(path, json={}, headers=seen).status_code)
    assert sorted(codes) == [200, 412]
