"""Rings RQ for work that is committed in SQL. Redis is disposable: whatever it loses is rung again from SQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError
from rq.job import Job
from rq.queue import Queue
from rq.utils import utcparse

from fsmflow import clock, log
from fsmflow.dispatch import listeners, prefix
from fsmflow.dispatch.client import REDIS_ERRORS, connect, is_elsewhere, is_gone
from fsmflow.dispatch.embedded import EmbeddedServer
from fsmflow.dispatch.listeners import Listener
from fsmflow.dispatch.route import Route, route_of
from fsmflow.dispatch.tickets import JobTemplate, job_id, rq_queue
from fsmflow.dispatch.whereabouts import astray
from fsmflow.errors import ConfigurationError, RedisUnavailable
from fsmflow.settings import Settings
from fsmflow.store.work import Ticket

Ring = tuple[Ticket, str]

_TIMEOUT_S: Final = 5.0
#: For so long after a failure it is not rung by who does not insist.
QUIET_S: Final = 1.0
_LISTEN_MS: Final = 30_000
#: A supervisor that lives says so every second.
_ALIVE_MS: Final = 5_000
#: How long whoever found Redis empty has to bring back what it had, before another one tries.
_RECOVERY_MS: Final = 10_000


class Doorbell:
    """The one place that enqueues. ``ring`` never raises; what it could not ring is found again in SQL."""

    #: What its methods raise: ``REDIS_ERRORS``, for who must not import them.
    errors: Final = REDIS_ERRORS
    is_gone = staticmethod(is_gone)

    def __init__(self, settings: Settings, installation: str, now: Callable[[], int]) -> None:
        self._now = now
        self._url = settings.redis_url
        self._embedded = EmbeddedServer(settings.home) if settings.redis_url is None else None
        self._looks = settings.looks
        self.installation = installation
        self._lock = threading.Lock()
        self._route: Route | None = None
        self._client: Redis | None = None
        #: Of the server that the client is connected to.
        self._clients_url = ""
        self._templates: dict[str, JobTemplate] = {}
        self._quiet_until = float("-inf")
        self.failures = 0
        self._took_none = False

    @property
    def servers(self) -> Sequence[Doorbell]:
        """The doorbells of each server: here there is one."""
        return (self,)

    def at(self, queue: str) -> Doorbell:
        """The doorbell of the server on which a queue is."""
        return self

    def stand_at(self, queue: str) -> None:
        """Where this process takes jobs."""

    def ring_others(self, rings: Sequence[Ring]) -> Sequence[Ring]:
        """Ring for what is on other servers than the one at which this process stands; the rest."""
        return rings

    def url(self) -> str:
        """The URL of the Redis server, looked for where the settings name sentinels or a cluster; starts the embedded
        one where it is not running, but not for who only looks. Raises RedisUnavailable."""
        if self._embedded is None:
            return self._way().url()
        if self.is_asleep:
            asleep = "the embedded server does not run; 'fsmflow worker' starts it"
            raise RedisUnavailable(self._embedded.obstacle() or asleep)
        try:
            return self._embedded.ensure()
        except ConfigurationError as error:
            raise RedisUnavailable(str(error)) from error

    @property
    def is_asleep(self) -> bool:
        """Whether this only looks, and the embedded server does not run: then nobody listens either."""
        return self._looks and self._client is None and self._embedded is not None and not self._embedded.runs()

    def client(self) -> Redis:
        """The client of this process. It repeats nothing: a repeated push would ring twice."""
        with self._lock:
            if self._client is None:
                self._clients_url = self.url()
                self._client = connect(self._clients_url, timeout_s=_TIMEOUT_S)
            return self._client

    def check(self) -> None:
        """Raises RedisUnavailable for a URL that could never be used, or where the embedded server cannot be had."""
        if self._embedded is None:
            self._way().check()
        else:
            self.url()

    def _way(self) -> Route:
        if self._route is None:
            self._route = route_of(str(self._url))
        return self._route

    def has_moved(self, url: str) -> bool:
        """Whether another server has taken over from that of this URL. False where nobody can tell."""
        if self._embedded is not None or self._way().is_fixed:
            return False
        try:
            return self.url() != url
        except RedisUnavailable as error:
            log.redis_unknown(error)
            return False

    def check_writes(self) -> None:
        """Write, without changing anything: a replica, and a wrong node of a cluster, are found out only so. Raises
        REDIS_ERRORS."""
        try:
            self.client().hdel(prefix.NOTHING, "nothing")
        except NoPermissionError:
            return  # of an older ACL: what this user writes besides will tell

    def version(self) -> str | None:
        """Which server answers: ``valkey 9.1.0``; None where this user may not ask. Raises REDIS_ERRORS."""
        client = self.client()
        try:
            told: Any = client.info("server")
        except ResponseError:
            client.ping()
            return None
        name = told.get("server_name", "redis")
        return f"{name} {told.get(f'{name}_version', told.get('redis_version'))}"

    def rq_queue(self, queue: str) -> str:
        """What one of our queues is called in RQ, for those who look with its tools or run a worker of its own."""
        return rq_queue(self.installation, queue)

    def ring(self, rings: Sequence[Ring], *, insist: bool = False) -> bool:
        """Enqueue a job for each ticket, in one round trip. False, and logged, where Redis did not take them.

        For a second after a failure it is not even tried, lest callers wait for a Redis that is down; ``insist`` tries.
        """
        if not rings or (clock.monotonic() < self._quiet_until and not insist):
            return not rings
        return self._send(rings)

    def finish(self, done: Sequence[Ticket], rings: Sequence[Ring]) -> bool:
        """The same, and forget the doorbells that are done."""
        return clock.monotonic() >= self._quiet_until and self._send(rings, done)

    def _send(self, rings: Sequence[Ring], done: Sequence[Ticket] = ()) -> bool:
        began_s = clock.monotonic()
        try:
            self._enqueue(rings, done)
        except REDIS_ERRORS as error:
            self._failed(len(rings), error, clock.monotonic() - began_s)
            return False
        if self._took_none:
            self._took_none = False
            log.dispatch_works()
        return True

    def _enqueue(self, rings: Sequence[Ring], done: Sequence[Ticket]) -> None:
        """Raises REDIS_ERRORS. Where the server has refused it, as another one has taken over, that one is asked."""
        for is_last in (False, True):
            try:
                pipe = self.client().pipeline(transaction=False)
                if done:
                    pipe.delete(*(Job.key_for(job_id(self.installation, ticket)) for ticket in done))
                self.add(pipe, rings)
                pipe.execute()
                return
            except REDIS_ERRORS as error:
                if is_last or not is_elsewhere(error) or self._way().is_fixed:
                    raise
                self.forget()

    def add(self, pipe: Any, rings: Iterable[Ring]) -> None:
        """Add the commands that enqueue these tickets to a pipeline: one for each, and two for each queue."""
        now = clock.to_datetime(self._now())
        ids: dict[str, list[str]] = {}
        for ticket, name in rings:
            template = self._template(name)
            id_ = job_id(self.installation, ticket)
            pipe.hset(Job.key_for(id_), mapping=template.hash(self.installation, ticket, now))
            ids.setdefault(template.queue.key, []).append(id_)
        if ids:
            pipe.sadd(Queue.redis_queues_keys, *ids)
        for key, found in ids.items():
            pipe.rpush(key, *found)

    def arguments(self, rings: Iterable[Ring]) -> list[Any]:
        """What a script needs to enqueue these tickets: the key of the set of all queues, how many arguments a job has,
        and for each its queue, its id and the fields of its hash."""
        now = clock.to_datetime(self._now())
        found: list[Any] = [Queue.redis_queues_keys, 0]
        for ticket, name in rings:
            template = self._template(name)
            fields = template.hash(self.installation, ticket, now)
            found[1] = 2 * len(fields)
            found += (template.queue.key, job_id(self.installation, ticket))
            found += chain.from_iterable(fields.items())
        return found

    def rung(self) -> frozenset[str]:
        """The queues in which jobs were put over this connection."""
        return frozenset(self._templates)

    def has_marker(self) -> bool:
        """Whether Redis still has what it was given since ``set_marker``. Raises REDIS_ERRORS.

        Of all who ask, one is told that it has not: that one brings back what was lost, and sets the marker. If it does
        not come to that, another one is told so some seconds later.
        """
        return not self.client().set(self._marker_key, "0", nx=True, px=_RECOVERY_MS)

    def set_marker(self) -> None:
        """From now on a Redis without the marker has lost what it had. Raises REDIS_ERRORS."""
        self.client().set(self._marker_key, "1")

    def appear(self, name: str) -> None:
        """Tell that a supervisor lives, for some seconds, and its processes with it. One round trip. Raises
        REDIS_ERRORS."""
        pipe = self.client().pipeline(transaction=False)
        pipe.zadd(self._supervisors_key, {name: self._now() + _ALIVE_MS})
        pipe.pexpire(listeners.key_of(self.installation, name), listeners.HEARD_MS)
        pipe.execute()

    def disappear(self, name: str) -> None:
        """Tell that a supervisor ends, and has left nothing behind. Raises REDIS_ERRORS."""
        pipe = self.client().pipeline(transaction=False)
        pipe.zrem(self._supervisors_key, name)
        pipe.delete(listeners.key_of(self.installation, name))
        pipe.execute()

    def absent(self, process: str) -> None:
        """Tell that a worker process has ended. Raises REDIS_ERRORS."""
        listeners.absent(self.client(), self.installation, process)

    def listeners(self) -> list[Listener]:
        """The worker processes that live, as they told of themselves, the oldest first. Two round trips. Raises
        REDIS_ERRORS."""
        if self.is_asleep:
            return []
        client, since = self.client(), self._now() + _ALIVE_MS - listeners.HEARD_MS
        names: Any = client.zrangebyscore(self._supervisors_key, since, "+inf")
        return listeners.found(client, self.installation, [name.decode("utf-8", "replace") for name in names])

    def place_of(self, ring: Ring) -> int | None:
        """How many doorbells are before this one in its queue; None where it is not there. Raises REDIS_ERRORS."""
        if self.is_asleep:
            return None
        ticket, queue = ring
        place: Any = self.client().lpos(prefix.queue_key(self.rq_queue(queue)), job_id(self.installation, ticket))
        return None if place is None else int(place)

    def gone(self) -> list[str]:
        """The supervisors that have appeared, and have not been heard of since; each is told to one who asks. Raises
        REDIS_ERRORS."""
        client = self.client()
        silent: Any = client.zrangebyscore(self._supervisors_key, "-inf", self._now())
        return [name.decode("utf-8", "replace") for name in silent if client.zrem(self._supervisors_key, name)]

    def astray(self, rings: Sequence[Ring], dead: Sequence[str]) -> set[int]:
        """The rows of those tickets whose doorbell is in no queue, and with no worker but one whose name begins as
        ``dead`` does. Raises REDIS_ERRORS."""
        return astray(self.client(), self.installation, rings, dead)

    def take_turn(self, for_ms: int) -> int:
        """Ask for the turn of all sweepers of this installation. 0 where it is had, else the milliseconds that another
        one has it for. One round trip. Raises REDIS_ERRORS."""
        pipe = self.client().pipeline(transaction=False)
        pipe.set(self._turn_key, "1", nx=True, px=for_ms)
        pipe.pttl(self._turn_key)
        had, left_ms = pipe.execute()
        return 0 if had else max(int(left_ms), 1)

    def keep_turn(self, for_ms: int) -> None:
        """From now on the turn that is had lasts so long; with 0 it is over. Raises REDIS_ERRORS."""
        self.client().pexpire(self._turn_key, for_ms)

    def announce(self, queues: Iterable[str]) -> None:
        """Tell that workers listen on these queues, anew if the connection is broken. Raises REDIS_ERRORS."""
        client = self._client_that_answers()
        mapping: dict[Any, Any] = {queue: self._now() + _LISTEN_MS for queue in queues}
        if mapping:
            client.zadd(self._listening_key, mapping)

    def withdraw(self, queues: Iterable[str]) -> None:
        """Take an announcement back; other supervisors of the same queues repeat theirs soon. Raises REDIS_ERRORS."""
        self.client().zrem(self._listening_key, *queues)

    def listened(self) -> set[str]:
        """The queues on which workers listen now. Raises REDIS_ERRORS."""
        if self.is_asleep:
            return set()
        names: Any = self.client().zrangebyscore(self._listening_key, self._now(), "+inf")
        return {name.decode("utf-8", "replace") for name in names}

    def oldest(self, queues: Iterable[str]) -> dict[str, int | None]:
        """When the job at the head of each queue was enqueued, in milliseconds; None where the queue is empty, or its
        head does not say so in RQ's way, as what others put there may not.

        Queues are first in, first out: what was rung before the head was and is not claimed has been lost.
        Raises REDIS_ERRORS.
        """
        client = self.client()
        return {name: _head_of(client, self._template(name).queue.key) for name in queues}

    def forget(self) -> None:
        """Drop the connection, so that the next use connects (and starts the embedded server) anew."""
        with self._lock:
            client, self._client = self._client, None
            self._templates.clear()
            if self._route is not None:
                self._route.doubt()
        if client is not None:
            client.close()

    @property
    def _marker_key(self) -> str:
        return prefix.own_key(self.installation, "marker")

    @property
    def _turn_key(self) -> str:
        return prefix.own_key(self.installation, "turn")

    @property
    def _supervisors_key(self) -> str:
        return prefix.own_key(self.installation, "supervisors")

    @property
    def _listening_key(self) -> str:
        return prefix.own_key(self.installation, "listening")

    def _client_that_answers(self) -> Redis:
        if self._client is not None and self.has_moved(self._clients_url):
            self.forget()
        try:
            client = self.client()
            client.ping()
        except REDIS_ERRORS:
            self.forget()
            client = self.client()
            client.ping()
        return client

    def _quiet_s(self, took_s: float) -> float:
        """For how long it is not rung after a failure that took so long."""
        return QUIET_S

    def _template(self, queue: str) -> JobTemplate:
        template = self._templates.get(queue)
        if template is None:
            template = self._templates[queue] = JobTemplate(self.rq_queue(queue), self.client())
        return template

    def _failed(self, count: int, error: BaseException, took_s: float) -> None:
        self.failures += count
        self._quiet_until = clock.monotonic() + self._quiet_s(took_s)
        self.forget()
        log.dispatch_failed(count, error, again=self._took_none)
        self._took_none = True


def _head_of(client: Redis, queue_key: str) -> int | None:
    try:
        id_: Any = client.lindex(queue_key, 0)
        at: Any = client.hget(Job.key_for("").encode() + id_, "enqueued_at") if id_ else None
        return clock.from_datetime(utcparse(at.decode())) if at else None
    except (ResponseError, ValueError):  # another type of key; no text, or no moment
        return None
