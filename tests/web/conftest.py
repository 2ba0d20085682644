"""A site over a bench: the steps of entities run where a test says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bench import Bench, bench_on
from tests.support.machines import Counter, Order
from tests.support.website import Site, site_of
from tests.web.shop import Sale


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, machines=(Sale, Order, Counter), database_url=database_url) as bench:
        yield bench


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    with site_of() as found:
        yield found
