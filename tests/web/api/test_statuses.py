"""Each refusal has its status, and is a problem in the words of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

import fsmflow
from fsmflow import settings
from fsmflow.engine import runtime as runtime_of
from fsmflow.errors import DataError, FsmflowError, KeyConflict, UnknownState
from fsmflow.store.store import create_store
from fsmflow.web.api.problem import MEDIA_TYPE
from fsmflow.web.statuses import STATUSES, status_of
from tests.support.bench import Bench
from tests.support.machines import Order
from tests.support.program import Program, programs

#: Nobody listens there.
NOWHERE = "127.0.0.1:1"


def test_what_is_more_special_stands_before_what_it_is_of() -> None:
    kinds = [kind for kind, _ in STATUSES]
    for number, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) for later in kinds[number + 1 :]), kind
    assert kinds[-1] is FsmflowError


def test_every_error_has_a_status_of_its_kind() -> None:
    assert status_of(DataError("x")).code == 422
    assert status_of(UnknownState("order", "x", ())).name == "unknown-state"
    assert {status.code for _, status in STATUSES} == {403, 404, 409, 422, 503}
    assert [status.name for kind, status in STATUSES if kind is KeyConflict] == ["key-conflict"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_http_refuses_is_a_problem_too(ada: Program, bench: Bench) -> None:
    Order.start("1")
    client = ada.client
    unknown = client.get("/api/v1/entities", headers={"Who": "nobody"})
    many = client.post("/api/v1/entities/order", content=b" " * 2**21, headers={"Content-Type": "application/json"})
    other = client.delete("/api/v1/entities/order/1", headers={"Content-Type": "application/json"})
    form = client.post(
        "/api/v1/entities/order/1/triggers/submit", data={"a": "b"}, headers={"Origin": "http://x.example"}
    )
    nowhere = client.get("/api/v1/nowhere")
    for answer, status in ((unknown, 401), (many, 413), (other, 405), (form, 403), (nowhere, 404)):
        assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
        assert answer.json()["status"] == status
    assert Order.get("1").state == "pending"


def test_a_database_that_is_away_is_a_503_and_so_is_redis(tmp_path: Path) -> None:
    try:
        with programs() as made:
            fsmflow.configure(database_url=f"postgresql://ada:sesame@{NOWHERE}/shop", machines=[Order])
            answer = made().answer("GET", "/entities", status=503)
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["type"] == "urn:fsmflow:problem:database-unavailable"
            assert "sesame" not in answer.text
            url = f"sqlite:///{tmp_path}/shop.db"
            fsmflow.configure(database_url=url, redis_url=f"redis://{NOWHERE}/0", machines=[Order])
            assert "fsmflow init" in made().get("/counts", 503)["detail"]
            create_store(settings.current()).link.forget_connection()
            assert made().get("/workers", 503)["type"] == "urn:fsmflow:problem:redis-unavailable"
            assert made().get("/counts")["redis"]["answers"] is False
            made().post("/entities/order", {"id": "1"}, 201)
    finally:
        runtime_of.close()
        settings._chosen.settings = None
