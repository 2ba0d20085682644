"""The shop as its users meet it; orders run in a sandbox, with no server and no waiting."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from fsmflow.testing import Sandbox, sandbox

from machines import DECLINED, Order
from shop import app


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Order]) as found:
        yield found


def logged_in(name: str) -> FlaskClient:
    client = app.test_client()
    assert client.post("/login", data={"name": name, "password": "try it out"}).location == "/"
    return client


def test_an_order_is_charged_and_shipped(box: Sandbox) -> None:
    carl = logged_in("carl")
    carl.post("/", data={"item": "a lamp", "card": "4242 4242 4242 4242"})
    box.run()
    assert "a lamp: shipped" in carl.get("/").text


def test_the_support_finds_what_has_failed(box: Sandbox) -> None:
    logged_in("carl").post("/", data={"item": "a lamp", "card": DECLINED})
    box.run()
    assert "CardDeclined" in logged_in("ann").get("/workflows/failures").text


def test_customers_see_no_workflows(box: Sandbox) -> None:
    assert logged_in("carl").get("/workflows/").status_code == 403


def test_who_is_not_logged_in_is_sent_to_the_login_and_back(box: Sandbox) -> None:
    client = app.test_client()
    way = client.get("/workflows/entities?q=failed").location
    assert way == "/login?next=%2Fworkflows%2Fentities%3Fq%3Dfailed"
    back = client.post(way, data={"name": "ann", "password": "try it out"})
    assert back.location == "/workflows/entities?q=failed"


def test_the_login_sends_nobody_to_another_site(box: Sandbox) -> None:
    for there in ("//evil.example", "/\\evil.example", "https://evil.example"):
        client = app.test_client()
        way = client.post("/login", query_string={"next": there}, data={"name": "ann", "password": "try it out"})
        assert way.location == "/"
