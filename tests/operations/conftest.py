"""What each test of repairs begins with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow.testing import Sandbox
from tests.operations.flows import Gateway, Payment
from tests.support.sandbox import sandbox


@pytest.fixture
def box() -> Iterator[Sandbox]:
    Gateway.down.clear()
    Gateway.charged.clear()
    with sandbox(machines=[Payment]) as made:
        yield made
