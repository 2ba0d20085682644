"""What a command tells of the workers that take up what it has set going."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

from fsmflow.cli import output
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.runtime import current

Taken = ParamSpec("Taken")


def sets_going(command: Callable[Taken, int]) -> Callable[Taken, int]:
    """A command after which jobs may wait for workers. At its end it is noted where all workers of a queue in which
    it has put some have loaded other code than there is here: whoever has just mended a machine has mended nothing for
    them. Two round trips; none where nothing was put anywhere, or where Redis took none."""

    @functools.wraps(command)
    def wrapped(*args: Taken.args, **options: Taken.kwargs) -> int:
        status = command(*args, **options)
        runtime = current()
        told = Reasons(runtime).other_code_on(runtime.rung())
        if told is not None:
            output.note(f"note: {told}")
        return status

    return wrapped
