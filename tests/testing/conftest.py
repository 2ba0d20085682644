"""What each test of the sandbox begins with, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow.engine import runtime
from tests.testing import parcels


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    parcels.done.clear()
    parcels.play.clear()
    yield
    assert runtime.stand_in() is None
