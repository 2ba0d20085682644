"""What each test of the engine begins with."""

from __future__ import annotations

import pytest

from tests.support import deployments


@pytest.fixture(autouse=True)
def _as_deployed() -> None:
    """Nothing is broken, and nothing was undone."""
    deployments.broken.clear()
    deployments.undone.clear()
