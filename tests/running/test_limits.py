"""The signal that ends a job comes wherever the interpreter is, also where nobody would see what it raises."""

from __future__ import annotations

import pytest

from fsmflow import clock
from fsmflow.running.limits import TimeLimit, TimeUp

LIMIT_S = 0.05


class Slow:
    """Takes longer to be finalised than the limit."""

    def __init__(self, left: list[float]) -> None:
        self.left = left

    def __del__(self) -> None:
        until = clock.monotonic() + 4 * LIMIT_S
        while clock.monotonic() < until:
            pass
        self.left.append(clock.monotonic())


def test_a_limit_that_comes_while_something_is_finalised_ends_the_job_right_after() -> None:
    left: list[float] = []
    limit = TimeLimit(LIMIT_S, None, lambda _: None)

    def job() -> None:
        Slow(left)
        while clock.monotonic() < limit.began + 5:
            pass

    with pytest.raises(TimeUp), limit.running():
        job()
    assert len(left) == 1, "it was finalised to its end"
    assert clock.monotonic() - left[0] < 0.5
