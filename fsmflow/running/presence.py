"""What a worker process tells of itself: where it runs, on which queues it listens, and which code it has loaded."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence

from fsmflow import clock
from fsmflow.definition.model import Definition
from fsmflow.dispatch.listeners import Abilities, Listener
from fsmflow.engine.runtime import Runtime


def listener_of(runtime: Runtime, name: str, queues: Sequence[str]) -> Listener:
    """This process as one that listens from now on. Raises nothing that importing the machines has not raised."""
    return Listener(
        name=name,
        pid=os.getpid(),
        host=socket.gethostname(),
        since=clock.local_now(),
        queues=tuple(queues),
        release=runtime.release.name,
        source=runtime.release.source,
        machines={machine: abilities_of(definition) for machine, definition in runtime.machines.all().items()},
    )


def abilities_of(definition: Definition) -> Abilities:
    """What this code can run of a machine."""
    today = set(_runs(definition))
    renamed = definition.wide.renamed
    former = {f"{old}{run.removeprefix(new)}" for old, new in renamed.items() for run in today if _is_of(run, new)}
    return Abilities(version=definition.version, runs=frozenset(today | former))


def _runs(definition: Definition) -> Iterator[str]:
    for state, spec in definition.states.items():
        if spec.is_working:
            yield state
        if spec.fan is not None:
            yield from (f"{state}/{branch.name}" for branch in spec.fan.named)


def _is_of(run: str, state: str) -> bool:
    return run == state or run.startswith(f"{state}/")
