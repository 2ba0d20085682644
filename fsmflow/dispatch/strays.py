"""What becomes of a job that stands in a queue of ours and is not ours: kept as RQ keeps what has failed, and told."""

from __future__ import annotations

from typing import Any, Final

from redis import Redis
from rq.defaults import DEFAULT_FAILURE_TTL
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import utcformat

from fsmflow import clock
from fsmflow.dispatch.prefix import queue_in

#: Of one job RQ keeps as many results.
_MOST_RESULTS: Final = 10


def refuse(client: Redis, taken: tuple[bytes, bytes], why: str, *, worker: str) -> None:
    """Put a job, given by its id and the key of the queue that it stood in, into the registry of failed jobs there.

    Nothing of it is run or unpacked, its callbacks neither, and nothing of it is lost: ``rq requeue`` puts it back
    where it came from. Two round trips. Raises RedisError and OSError; the job is then only out of its queue, and RQ
    forgets it after a day.
    """
    id_, queue_key = taken
    key = Job.key_for("").encode() + id_
    ttl = _ttl(client.hget(key, "failure_ttl"))
    now = clock.local_now()
    pipe = client.pipeline(transaction=False)
    pipe.hset(key, mapping={"status": JobStatus.FAILED.value, "ended_at": utcformat(clock.to_datetime(now))})
    results = Result.get_key("").encode() + id_  # type: ignore[no-untyped-call]
    told: Any = Result("", Result.Type.FAILED, client, exc_string=why, worker_name=worker, serializer=JSONSerializer)
    pipe.xadd(results, told.serialize(), maxlen=_MOST_RESULTS)
    for kept in (key, results):
        if ttl < 0:
            pipe.persist(kept)
        else:
            pipe.expire(kept, ttl)
    pipe.zadd(_registry_key(client, queue_key), {id_: -1 if ttl < 0 else now // 1000 + ttl})
    pipe.execute()


def _registry_key(client: Redis, queue_key: bytes) -> str:
    return FailedJobRegistry(queue_in(queue_key), connection=client).key


def _ttl(written: Any) -> int:
    """For how long whoever made the job wants it to be kept, once it has failed; below zero for ever."""
    try:
        return min(int(written), DEFAULT_FAILURE_TTL) or DEFAULT_FAILURE_TTL
    except (TypeError, ValueError):
        return DEFAULT_FAILURE_TTL
