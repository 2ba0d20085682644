"""What belongs to a team of others is on no page, whoever has looked at the same page a moment before."""

from __future__ import annotations

from typing import Any

import pytest

import fsmflow
from fsmflow import Actor
from tests.support.bench import bench_on
from tests.support.teams import SECRET, Order, Parcel
from tests.support.website import site_of

#: Both are in no team; the role of the second one opens all of them.
PEOPLE = {"nobody": Actor("nobody"), "chief": Actor("chief", ["chief"]), "ann": Actor("ann", teams=["acme"])}

#: What tells that the order is there.
PLACES = {
    "/?list=1": ">packing</a>",
    "/numbers": "count order packing",
    "/entities?q=machine:order": SECRET,
    "/entities.json?q=machine:order": SECRET,
    "/entities.csv?q=machine:order": SECRET,
}


def who(request: Any) -> Actor:
    return PEOPLE[request.headers["X-Who"]]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_is_on_no_page_of_others(database_url: str, redis_url: str) -> None:
    with bench_on(redis_url, machines=(Order, Parcel), database_url=database_url):
        fsmflow.configure(
            database_url=database_url,
            redis_url=redis_url,
            machines=[Order, Parcel],
            permissions={"roles": {"chief": ["order.all_teams"]}},
        )
        Order.start(f"{SECRET}-1", tenant=SECRET)
        with site_of(who) as site:
            for name, sees in (("chief", True), ("nobody", False), ("ann", False), ("chief", True)):
                for path, told in PLACES.items():
                    there = told in site.client.get(path, headers={"X-Who": name}).text
                    assert there is sees, (name, path)
                status = site.client.get(f"/entity/order:{SECRET}-1", headers={"X-Who": name}).status_code
                assert (status == 200) is sees, name
