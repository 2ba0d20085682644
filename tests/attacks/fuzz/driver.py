"""Feeds a target with inputs, counts how each of them ended, and finds the smallest one that fails.

A target accepts an input, refuses it by a named error, or fails with whatever was raised.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

ACCEPTED = "accepted"
#: An error shows values clipped, whatever was given.
LONGEST_FAULT = 2_000

Check = Callable[[Any], Iterable[str]]


@dataclass(frozen=True)
class Servers:
    """Where a target runs."""

    folder: Path
    redis_url: str
    database_url: str | None = None


@dataclass(frozen=True)
class Target:
    """One way in. ``open`` gives what takes the inputs; it is opened anew for each ``round`` of examples."""

    inputs: st.SearchStrategy[Any]
    open: Callable[[Servers], AbstractContextManager[Check]]
    round: int = 500


@dataclass
class Tally:
    """What came of the inputs so far; ``last`` is the one that is being tried, and the smallest after a failure."""

    outcomes: Counter[str] = field(default_factory=Counter)
    last: Any = None
    slowest_s: float = 0.0

    @property
    def inputs(self) -> int:
        return self.outcomes.total()


def drive(target: Target, servers: Servers, tally: Tally, *, inputs: int, first_seed: int) -> Iterator[None]:
    """Feed a target at least so many inputs; yields after each round. Raises what the smallest failure raises."""
    number = first_seed
    while tally.inputs < inputs:
        with target.open(servers) as check:
            _round(target, check, tally, min(target.round, inputs - tally.inputs), number)
        number += 1
        yield


def _round(target: Target, check: Check, tally: Tally, examples: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(target.inputs)
    def one(value: Any) -> None:
        tally.last = value
        started = time.monotonic()
        outcomes = check(value)
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - started)
        tally.outcomes.update(outcomes)

    one()


def named(action: Callable[[], object], *errors: type[BaseException]) -> str:
    """``accepted``, or the class of the named error that the input was refused with."""
    try:
        action()
    except errors as error:
        message = error.message if isinstance(error, click.ClickException) else str(error)
        assert message
        assert len(message) < 10 * LONGEST_FAULT, f"an error of {len(message)} characters"
        return type(error).__name__
    return ACCEPTED
