"""Machines, counts, queues and workers over HTTP."""

from __future__ import annotations

from typing import Final

from fsmflow.diagram import outline
from fsmflow.engine.runtime import current
from fsmflow.objects.counts import queue_objects, stats_object, stats_of, worker_objects
from fsmflow.queries import listening, queues_of
from fsmflow.web.api.call import Answer, Call
from fsmflow.web.api.operation import Operation, page


def machines(call: Call) -> Answer:
    """The machines of the installation."""
    known = current().machines.of_user().values()
    return Answer(content=page([{"name": one.name, "summary": one.summary, "version": one.version} for one in known]))


def machine(call: Call) -> Answer:
    """One machine: its states and transitions."""
    return Answer(content=outline(current().machines.get(call.path["machine"])))


def counts(call: Call) -> Answer:
    """How many stand in each state, queues, and what is due."""
    runtime = current()
    return Answer(content=stats_object(runtime, stats_of(runtime, call.actor)))


def queues(call: Call) -> Answer:
    """The queues that machines name."""
    runtime = current()
    heard = listening(runtime)
    return Answer(content=page(queue_objects(runtime, queues_of(runtime.machines.of_user().values()), heard)))


def workers(call: Call) -> Answer:
    """The worker processes that listen."""
    return Answer(content=page(worker_objects(current())))


OPERATIONS: Final = (
    Operation(
        name="list_machines",
        method="GET",
        path="/machines",
        told="The machines of this installation.",
        tag="machines",
        act=machines,
        gives="Machines",
    ),
    Operation(
        name="get_machine",
        method="GET",
        path="/machines/{machine}",
        told="States and transitions of a machine, as `fsmflow draw --as json` has them.",
        tag="machines",
        act=machine,
        gives="Machine",
        refusals=(404,),
    ),
    Operation(
        name="get_counts",
        method="GET",
        path="/counts",
        told="How many stand in each state, queues, and what is due: `fsmflow stats`.",
        tag="machines",
        act=counts,
        gives="Counts",
    ),
    Operation(
        name="list_queues",
        method="GET",
        path="/queues",
        told="Queues, and whether workers listen there.",
        tag="machines",
        act=queues,
        gives="Queues",
    ),
    Operation(
        name="list_workers",
        method="GET",
        path="/workers",
        told="The worker processes that listen.",
        tag="machines",
        act=workers,
        gives="Workers",
    ),
)
