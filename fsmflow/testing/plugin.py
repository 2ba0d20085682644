"""A plugin of pytest, loaded by itself where fsmflow is installed: the fixture ``fsmflow_sandbox``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from fsmflow.testing.box import Sandbox, sandbox


@pytest.fixture
def fsmflow_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Opens sandboxes that end with the test: ``box = fsmflow_sandbox(machines=[Order])``; see fsmflow.testing."""
    with ExitStack() as stack:

        def opened(*args: Any, **options: Any) -> Sandbox:
            return stack.enter_context(sandbox(*args, **options))

        yield opened
