"""Where doorbells are that nobody has answered: in their queue, with a worker that lives, or nowhere any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis
from rq.job import Job, JobStatus

from fsmflow.dispatch.prefix import queue_key
from fsmflow.dispatch.tickets import job_id, rq_queue
from fsmflow.store.work import Ticket


def astray(client: Redis, installation: str, rings: Sequence[tuple[Ticket, str]], dead: Sequence[str]) -> set[int]:
    """The rows of those tickets whose doorbell nobody will answer: it is not in its queue, and no worker has it but one
    whose name begins as ``dead`` does. One round trip. Raises RedisError and OSError.

    One that is being rung right now counts as astray, too: it then comes twice, and is answered once.
    """
    if not rings:
        return set()
    pipe = client.pipeline(transaction=False)
    for ticket, queue in rings:
        id_ = job_id(installation, ticket)
        pipe.lpos(queue_key(rq_queue(installation, queue)), id_)
        pipe.hmget(Job.key_for(id_), "status", "worker_name")
    found = iter(pipe.execute())
    return {ticket.row for ticket, _ in rings if _is_astray(next(found), next(found), dead)}


def _is_astray(place: int | None, job: Sequence[Any], dead: Sequence[str]) -> bool:
    if place is not None:
        return False
    status, worker = ((value or b"").decode("utf-8", "replace") for value in job)
    return status != JobStatus.STARTED.value or worker.startswith(tuple(dead))
