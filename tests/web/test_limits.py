"""The page of limits, the same over HTTP and as a command: who has permits, who waits, and nothing of other teams."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from fsmflow import Limit, Machine, State
from fsmflow.cli.limits import limits
from fsmflow.running.claim import claim_attempt
from tests.support.bench import Bench, bench_on
from tests.support.website import Site, site_of
from tests.web.shop import HOSTILE

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Fare(Machine):
    """At the gateway one at once; of each customer one a minute."""

    initial = "charging"
    states = [
        State("charging", job="charge", limits=[Limit("gateway", running=1)]),
        State("telling", job="tell", limits=[Limit("api-{customer}", per_minute=1)]),
        State("over", final=True),
    ]
    transitions = [["done", "charging", "telling"], ["done", "telling", "over"]]

    def charge(self) -> None:
        pass

    def tell(self) -> None:
        pass


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, machines=(Fare,), database_url=database_url) as bench:
        yield bench


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    with site_of() as found:
        yield found


def wait_in_lines(bench: Bench) -> None:
    """One has told somebody hostile; one has the permit of the gateway, and another one waits for it."""
    for number in "01":
        Fare.start(number, customer=HOSTILE)
    bench.run()
    for number in "23":
        Fare.start(number)
    for _ in range(2):
        claim_attempt(bench.runtime, bench.take(), os.urandom(12).hex())


def test_who_has_permits_and_who_waits_is_shown_to_people_and_programs(bench: Bench, site: Site) -> None:
    assert "No limit was met of late." in site.page("/limits")
    assert site.client.get("/api/v1/limits").json()["items"] == []
    wait_in_lines(bench)
    page = site.page("/limits")
    assert "<b>1</b> of 1" in page
    assert 'href="/entity/fare:2"' in page
    assert "api-{customer}" in page
    assert HOSTILE not in page
    found: dict[str, Any] = {each["name"]: each for each in site.client.get("/api/v1/limits").json()["items"]}
    gateway = found.pop("gateway")
    (api,) = found.values()
    assert (gateway["held"], gateway["waiting"], gateway["running"]) == (1, 1, 1)
    assert [holder["address"] for holder in gateway["holders"]] == ["fare:2"]
    assert (api["started"], api["waiting"], api["per_minute"]) == (1, 1, 1)
    assert api["room_at"] is not None


def test_a_command_shows_the_same(bench: Bench) -> None:
    assert "no limit was met of late" in CliRunner().invoke(limits, []).output
    wait_in_lines(bench)
    told = CliRunner().invoke(limits, ["gateway"], standalone_mode=False).output
    assert "limit 'gateway' (running=1): 1 have a permit, 1 wait, the first since" in told
    assert "fare:2 has a permit since" in told
    assert "1 began within a minute, 1 wait" in CliRunner().invoke(limits, [], standalone_mode=False).output
