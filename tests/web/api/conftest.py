"""Programs that ask the API of a bench."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fsmflow import Actor
from tests.support.bench import Bench
from tests.support.program import Program, programs


@pytest.fixture
def program_of(bench: Bench) -> Iterator[Callable[[Actor], Program]]:
    with programs() as made:
        yield made


@pytest.fixture
def ada(bench: Bench) -> Iterator[Program]:
    """Who may do everything."""
    with programs() as made:
        yield made()
