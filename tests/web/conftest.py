"""A site over a bench: the steps of entities run where a test says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bench import Bench
from tests.support.website import Site, site_of


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    with site_of() as found:
        yield found
