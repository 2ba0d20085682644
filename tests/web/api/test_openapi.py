"""The document is made from the machines, and the API keeps to it, whatever is asked."""

from __future__ import annotations

import re
from typing import Any, cast

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

# Imported with the tests: where a test has it imported, in the middle of a request, Python at times fails to read it.
from schemathesis.specs.openapi.schemas import OpenApiSchema

from fsmflow.decision.actions import ACTIONS
from fsmflow.web.api.routes import OPERATIONS
from fsmflow.web.statuses import RAISED, STALE, STATUSES
from tests.support.bench import Bench
from tests.support.machines import Order, play
from tests.support.paths import ROOT
from tests.support.program import Program
from tests.support.servers import WHOLE

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
#: So many requests of each operation; in the sample of each eighth operation. In the whole, too, no test takes as long
#: as one that hangs.
EXAMPLES = 60 if WHOLE else 3
EVERY = 8


@pytest.fixture
def document(ada: Program) -> Any:
    return ada.get("/openapi.json")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestDocument:
    def test_each_trigger_has_a_path_of_its_own(self, document: Any) -> None:
        told = document["paths"]["/entities/order/{id}/triggers/approve"]["post"]
        assert told["operationId"] == "order.trigger.approve"
        assert "/entities/order/{id}/triggers/done" not in document["paths"]
        assert "/entities/counter/{id}/triggers/add" in document["paths"]

    def test_states_are_listed(self, document: Any) -> None:
        assert "failed_from_charging" in document["components"]["schemas"]["order.State"]["enum"]
        body = document["paths"]["/entities/order"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body["properties"]["state"]["$ref"] == "#/components/schemas/order.State"

    def test_each_action_of_operators_is_there(self, document: Any) -> None:
        for name in ACTIONS:
            assert f"/entities/{{machine}}/{{id}}/actions/{name}" in document["paths"]

    def test_it_is_where_the_application_is_mounted(self, document: Any) -> None:
        assert document["servers"] == [{"url": "/api/v1"}]

    def test_every_schema_that_is_named_is_there_and_none_in_vain(self, document: Any) -> None:
        schemas = document["components"]["schemas"]
        named = {part.partition('"')[0] for part in str(document).replace("'", '"').split("#/components/schemas/")[1:]}
        assert named == set(schemas)

    def test_names_of_operations_are_their_own(self, document: Any) -> None:
        names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
        assert len(names) == len(set(names))
        assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)


def test_the_page_of_the_api_has_every_path_and_every_problem() -> None:
    page = (ROOT / "docs" / "reference" / "http-api.md").read_text(encoding="utf-8")
    for operation in OPERATIONS:
        last = "/{action}" if operation.tag == "actions" else f"/{operation.path.rpartition('/')[2]}"
        whole = f"{operation.method} {operation.path.rpartition('/')[0]}{last}"
        assert f"`{whole}`" in page or f"`{last}`" in page, whole
    rows = dict(re.findall(r"^\| (\d{3}) \| (.+) \|$", page, re.MULTILINE))
    told = {(int(code), name) for code, names in rows.items() for name in re.findall(r"`([\w-]+)`", names)}
    assert told == {(status.code, status.name) for status in (*(each for _, each in STATUSES), STALE, RAISED)}


@pytest.mark.parametrize("part", range(EVERY) if WHOLE else [0])
def test_no_request_is_answered_otherwise_than_the_document_says(
    ada: Program, bench: Bench, document: Any, database_url: str, part: int
) -> None:
    _fill(bench)
    schema: OpenApiSchema = schemathesis.openapi.from_dict(document)
    headers = {"Who": ada.client.headers["Who"]}
    operations = [cast(Any, found).ok() for found in schema.get_all_operations()]
    assert len(operations) > len(OPERATIONS)
    url = f"{str(ada.client.base_url).rstrip('/')}/api/v1"
    for operation in operations[part::EVERY]:
        _attack(operation, url, headers)


def _fill(bench: Bench) -> None:
    def no_card(order: Any) -> None:
        raise LookupError("there is no card")

    Order.start("1", amount=5)
    Order.start("2").submit()
    play["charging"] = no_card
    bench.run()


def _attack(operation: Any, url: str, headers: dict[str, str]) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(), known=st.sampled_from([None, "1", "2"]))
    def ask(case: Any, known: str | None) -> None:
        if known is not None and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = known
        case.call_and_validate(base_url=url, headers=headers, checks=CHECKS)

    ask()
