"""The shop as programs meet it: the row, the order and its job are one transaction."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from fastapi.testclient import TestClient
from fsmflow.testing import Sandbox, sandbox

from database import URL
from machines import DECLINED, Order
from shop import app

CARL = {"Authorization": "Bearer token-of-carl"}
LAMP = {"item": "a lamp", "card": "4242 4242 4242 4242"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Order], database=URL) as found:
        yield found


@pytest.fixture
def client(box: Sandbox) -> Iterator[TestClient]:
    with TestClient(app, headers=CARL, raise_server_exceptions=False) as client:
        yield client


def test_an_order_that_is_sent_twice_is_placed_once(box: Sandbox, client: TestClient) -> None:
    for _ in range(2):
        answer = client.post("/api/orders", json=LAMP, headers={"Idempotency-Key": "order-one"})
        assert (answer.status_code, answer.json()["state"]) == (202, "charging")
    box.run()
    assert client.get("/api/orders/order-one").json() == {"id": "order-one", "state": "shipped", "error": None}
    assert client.get("/api/customers").json() == {"carl": 1}
    assert client.get("/api/counts").json() == {"shipped": 1}


def test_what_cannot_be_started_has_no_row(client: TestClient) -> None:
    before = client.get("/api/customers").json()
    with patch.object(Order, "trigger", side_effect=ConnectionError("the process loses its way")):
        answer = client.post("/api/orders", json=LAMP, headers={"Idempotency-Key": "order-two"})
    assert answer.status_code == 500
    assert client.get("/api/orders/order-two").status_code == 404
    assert client.get("/api/customers").json() == before


def test_a_customer_sees_why_an_order_failed_and_may_not_cancel_it(box: Sandbox, client: TestClient) -> None:
    client.post("/api/orders", json={**LAMP, "card": DECLINED}, headers={"Idempotency-Key": "order-three"})
    box.run()
    assert client.get("/api/orders/order-three").json()["error"] == "the card was declined"
    assert client.post("/api/orders/order-three/cancel").status_code == 403
    ann = {"Authorization": "Bearer token-of-ann"}
    assert client.post("/api/orders/order-three/cancel", headers=ann).json()["state"] == "cancelled"


def test_who_has_no_token_is_told_to_log_in(client: TestClient) -> None:
    assert client.get("/api/counts", headers={"Authorization": ""}).status_code == 401
