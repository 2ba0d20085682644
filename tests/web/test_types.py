"""Machines that declare types, in the API and on pages: schemas, forms with fields, and what is wrong beside each."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from fsmflow.shapes import shape_of
from fsmflow.web.sheet import Sheet, sheet_of
from tests.support.bench import Bench, bench_on
from tests.support.loans import SECRET, Book, Loan, LoanData, play
from tests.support.website import Site, site_of


@pytest.fixture
def bench(tmp_path: Path, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, machines=(Loan, Book), database_url=f"sqlite:///{tmp_path}/loans.db") as bench:
        yield bench


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    with site_of() as found:
        yield found


def _form(site: Site, path: str) -> dict[str, str]:
    """What a form holds that nobody has touched."""
    text = site.page(path)
    hidden = ("token", "epoch", "key")
    return {name: text.partition(f'name="{name}" value="')[2].partition('"')[0] for name in hidden}


def test_the_document_has_the_schemas_of_payloads_and_data(site: Site) -> None:
    told: Any = site.client.get("/api/v1/openapi.json").json()
    schemas = told["components"]["schemas"]
    body = told["paths"]["/entities/loan/{id}/triggers/approve"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert schema["properties"]["payload"]["$ref"] == "#/components/schemas/loan.approve"
    assert schemas["loan.approve"]["properties"]["lines"]["items"]["$ref"] == "#/components/schemas/loan.approve.Line"
    assert schemas["loan.approve.Line"]["properties"]["what"] == {"type": "string"}
    assert schemas["loan.pay"]["properties"]["parts"]["items"]["$ref"] in {
        f"#/components/schemas/{name}" for name in schemas
    }
    assert schemas["loan.sign"]["required"] == ["name"]
    start = told["paths"]["/entities/book"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert start["properties"]["data"]["$ref"] == "#/components/schemas/book.Data"
    assert schemas["book.Data"]["required"] == ["amount"]


def test_the_api_refuses_what_does_not_fit_with_each_place(site: Site) -> None:
    Loan.start("a")
    body = {"payload": {"amount": 1, "lines": [{"what": 5}]}}
    answer = site.client.post("/api/v1/entities/loan/a/triggers/approve", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, "approve: payload.lines[0].what: 5 is no str")
    assert answer.json()["faults"] == [{"place": ["lines", 0, "what"], "text": "5 is no str"}]
    answer = site.client.post("/api/v1/entities/book", json={"id": "a", "data": {}})
    assert (answer.status_code, answer.json()["detail"]) == (422, "data.amount: it is missing; it takes int")
    until = {"payload": {"amount": 1, "until": "2030-01-31"}}
    answer = site.client.post("/api/v1/entities/loan/a/triggers/approve", json=until)
    assert answer.json()["entry"]["payload"]["until"] == "2030-01-31"


def test_a_trigger_with_a_type_has_fields_and_says_beside_each_what_is_wrong(site: Site) -> None:
    Loan.start("b")
    text = site.page("/fire/approve/loan:b")
    assert "Nothing was changed" not in text
    assert '<select id="field.risk" name="field.risk">' in text
    assert '<option value="low" selected>low</option>' in text
    assert '<input id="field.amount" name="field.amount" value="" inputmode="numeric"' in text
    assert '<textarea id="field.lines"' in text
    given = {**_form(site, "/fire/approve/loan:b"), "field.amount": "five", "field.risk": "high", "step": "do"}
    told = site.post("/fire/approve/loan:b", 422, **given).text
    assert '<span class="bad" role="alert">&#39;five&#39; is no int</span>' in told
    assert 'value="five"' in told
    assert '<option value="high" selected>high</option>' in told
    given |= {"field.amount": "5", "field.lines": '[{"what": "car"}]', "field.until": "2030-01-31"}
    assert "--data=" in site.post("/fire/approve/loan:b", 200, **{**given, "step": "look"}).text
    site.post("/fire/approve/loan:b", **given)
    payload = Loan.get("b").history[-1].payload
    assert (payload["amount"], payload["risk"], payload["lines"]) == (5, "high", [{"what": "car", "amount": 1}])
    Loan.start("c")
    assert '<textarea id="payload"' in site.page("/fire/note/loan:c")


def test_a_retry_has_the_fields_of_the_data_and_merges_what_was_changed(site: Site, bench: Bench) -> None:
    def fails(book: Book) -> None:
        raise LookupError("no desk")

    play["d"] = fails
    book = Book.start("d", LoanData(5, note="old\nlines"))
    book.go()
    bench.step()
    path = "/do/retry/book:d"
    text = site.page(path)
    assert '<input id="field.amount" name="field.amount" value="5"' in text
    assert '<textarea id="field.note"' in text
    given = {
        **_form(site, path),
        "field.amount": "x",
        "field.size": "1",
        "field.note": "old\r\nlines",
        "field.lines": "[]",
    }
    assert "is no int</span>" in site.post(path, 422, **given, step="do").text
    play["d"] = lambda book: None
    site.post(path, **{**given, "field.amount": "6", "field.note": ""}, step="do")
    assert book.refresh().data == LoanData(6, note=None)
    assert "book" in site.page("/")


class Form(TypedDict):
    """One of each kind that a browser shows otherwise than it is stored."""

    note: str
    way: Literal["a", "b"]
    size: NotRequired[Literal["s", "l"]]
    is_new: NotRequired[bool]
    is_old: NotRequired[bool]


def _untouched(sheet: Sheet) -> dict[str, str]:
    """What a browser sends of a form that nobody touched."""
    sent: dict[str, str] = {}
    shown = sheet.shown({})
    for field in sheet.fields:
        text, choices = shown[field.name], [value for value, _ in field.choices]
        if field.kind == "check":
            sent |= {field.name: "on"} if text == "on" else {}
        elif field.kind == "choice":
            sent[field.name] = text if text in choices else choices[0]
        elif field.kind == "area":
            sent[field.name] = text.replace("\r\n", "\n").replace("\n", "\r\n")
        else:
            sent[field.name] = text.replace("\r", "").replace("\n", "")
    return sent


@pytest.mark.parametrize(
    "now",
    [
        {"note": "a\nb", "way": "a", "is_new": True, "is_old": False},
        {"note": " a\r\nb ", "way": "gone", "size": "m"},
        {"note": "", "way": "b", "size": "l"},
        {"note": "x"},
    ],
)
def test_a_form_that_nobody_touched_changes_nothing(now: dict[str, Any]) -> None:
    declared: Any = SimpleNamespace(shape=shape_of(Form))
    sheet = sheet_of(declared, now)
    assert sheet is not None
    sent = _untouched(sheet)
    assert sheet.changes(sent) == {}
    assert sheet.changes({**sent, "field.is_old": "on", "field.note": "x\r\ny", "field.way": "b"}) == {
        "is_old": True,
        "note": "x\ny",
        **({"way": "b"} if now.get("way") != "b" else {}),
    }


def test_a_webhook_that_does_not_fit_is_kept_with_words(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    loan = Loan.start("e")
    body = json.dumps({"id": "evt-9", "type": "x", "loan": "e", "amount": "much"}).encode()
    sign = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    answer = site.client.post("/hooks/desk", content=body, headers={"X-Desk-Signature": sign})
    assert (answer.status_code, answer.json()) == (202, {"taken": "kept"})
    assert "approve: payload.amount: 'much' is no int" in caplog.text
    assert loan.refresh().state == "asked"


def test_one_is_started_by_a_form_with_the_fields_of_its_data(bench: Bench, site: Site) -> None:
    assert 'href="/start/book"' in site.page("/start")
    asked = site.page("/start/book")
    assert 'name="field.amount"' in asked
    assert 'name="data"' not in asked
    given = {**_form(site, "/start/book"), "id": "b1"}
    refused = site.post("/start/book", 422, **given, **{"field.amount": "many"}).text
    assert 'value="many"' in refused
    assert '<span class="bad" role="alert">' in refused
    assert "Nothing was changed." in refused
    for _ in range(2):  # pressed twice
        made = site.post("/start/book", **given, **{"field.amount": "6"})
        assert made.headers["location"] == "/entity/book:b1"
    assert Book.get("b1").data.amount == 6
    other = {**_form(site, "/start/book"), "id": "b1"}
    assert "book:b1 exists already" in site.post("/start/book", 409, **other, **{"field.amount": "7"}).text
    assert "books" in site.post("/start/books", 404, **given).text


def test_one_is_started_with_json_where_no_type_is_declared(bench: Bench, site: Site) -> None:
    form = site.page("/start/loan")
    made = form.partition('name="id" value="')[2].partition('"')[0]
    given = _form(site, "/start/loan")
    if 'name="data"' in form:
        given["data"] = '{"for": "us"}'
    assert site.post("/start/loan", id=made, **given).headers["location"] == f"/entity/loan:{made}"
