"""What a command tells of the workers that take up what it has set going."""

from __future__ import annotations

from fsmflow.cli import output
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.runtime import Runtime


def note_other_code(runtime: Runtime) -> None:
    """Note that all workers of a queue in which this process has put jobs have loaded other code than there is here:
    whoever has just mended a machine has mended nothing for them. Two round trips; none where nothing was put anywhere,
    or where Redis took none."""
    told = Reasons(runtime).other_code_on(runtime.rung())
    if told is not None:
        output.note(f"note: {told}")
