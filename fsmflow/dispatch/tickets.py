"""Tickets as RQ jobs: a queue of our own, a fresh id per dispatch, ids as the only arguments, JSON, one entry point."""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from redis import Redis
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.utils import utcformat

from fsmflow.errors import shown
from fsmflow.store.work import Ticket

#: The only function that fsmflow puts into Redis, and the only one that its workers accept.
ENTRY_POINT: Final = "fsmflow.running.executor.run"
_FAILURE_TTL_S: Final = 86_400
#: More than a job of ours has, packed or not.
MAX_DATA_BYTES: Final = 4_096
#: A number that a database can hold has no more.
_DIGITS: Final = 18


class HostileJob(Exception):
    """A job in Redis that fsmflow did not put there."""


def rq_queue(installation: str, queue: str) -> str:
    """What a queue is called in RQ. Neither an RQ application nor another installation has one of that name, so whoever
    shares this Redis with them takes nothing of theirs, and they nothing of ours."""
    return f"fsmflow:{installation}:{queue}"


def job_id(installation: str, ticket: Ticket) -> str:
    """Never used twice: RQ remembers ids, and re-using one is dangerous."""
    return f"{installation}-{ticket.row}-{ticket.epoch}-{ticket.attempt}-{ticket.dispatch}"


def ticket_of_id(id_: bytes, installation: str) -> Ticket | None:
    """The ticket of a job by its id; None where it is no id of this installation."""
    start = f"{installation}-".encode()
    parts = id_[len(start) :].split(b"-") if id_.startswith(start) else []
    if len(parts) != 4 or any(not part.isdigit() or len(part) > _DIGITS for part in parts):
        return None
    row, epoch, attempt, dispatch = map(int, parts)
    return Ticket(row=row, epoch=epoch, attempt=attempt, dispatch=dispatch)


class JobTemplate:
    """The hash that RQ stores for a job of one queue, made by RQ once; only what differs is filled in.

    ``queue``: as RQ calls it.
    """

    def __init__(self, queue: str, connection: Redis) -> None:
        self.queue = Queue(queue, connection=connection, serializer=JSONSerializer)
        job = Job.create(
            ENTRY_POINT,
            args=[],
            id="template",
            connection=connection,
            serializer=JSONSerializer,
            origin=queue,
            timeout=-1,
            result_ttl=0,
            failure_ttl=_FAILURE_TTL_S,
            status="queued",  # type: ignore[arg-type]
        )
        self._fixed: dict[str, Any] = {key: value for key, value in job.to_dict().items() if value not in ("", None)}

    def hash(self, installation: str, ticket: Ticket, now: datetime) -> dict[str, Any]:
        """The fields of one job."""
        numbers = f"{ticket.row}, {ticket.epoch}, {ticket.attempt}, {ticket.dispatch}"
        called = f'["{ENTRY_POINT}", null, ["{installation}", {numbers}], {{}}]'
        at = _written(now)
        return {
            **self._fixed,
            "created_at": at,
            "enqueued_at": at,
            # RQ unpacks it; to pack so few bytes takes longer than to send them.
            "data": zlib.compress(called.encode(), 0),
            "description": f"fsmflow step {ticket.row}-{ticket.epoch}-{ticket.attempt}",
        }


#: Thousands that are rung for together have one moment.
_written: Final = lru_cache(maxsize=4)(utcformat)


def read_ticket(data: bytes | None, installation: str) -> Ticket:
    """The ticket in a job's data. Raises HostileJob for anything but what ``JobTemplate`` writes."""
    try:
        text = zlib.decompressobj().decompress(data or b"", MAX_DATA_BYTES)
        function, instance, arguments, keywords = json.loads(text)
    except (zlib.error, ValueError, TypeError, RecursionError) as error:
        raise HostileJob(f"its data cannot be read ({error})") from error
    if function != ENTRY_POINT or instance is not None or keywords != {}:
        raise HostileJob(f"it asks for {shown(function)}, and only {ENTRY_POINT} is ever run")
    return read_arguments(arguments, installation)


def read_arguments(arguments: Any, installation: str) -> Ticket:
    """The ticket in a job's arguments. Raises HostileJob."""
    if not isinstance(arguments, (list, tuple)) or len(arguments) != 5:
        raise HostileJob(f"its arguments are {shown(arguments)}")
    theirs, *numbers = arguments
    if any(type(number) is not int or not 0 <= number < 2**63 for number in numbers):
        raise HostileJob(f"its arguments are {shown(arguments)}")
    if theirs != installation:
        raise HostileJob(f"it belongs to installation {shown(theirs)}, not to {installation!r}")
    row, epoch, attempt, dispatch = numbers
    return Ticket(row=row, epoch=epoch, attempt=attempt, dispatch=dispatch)
