"""Our RQ worker class: long-lived, no fork per job, several queues, and one round trip to Redis a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.utils import utcformat
from rq.worker import SimpleWorker

from fsmflow import clock, log
from fsmflow.dispatch.client import connect
from fsmflow.dispatch.doorbell import Doorbell, Ring
from fsmflow.dispatch.listeners import Listener, present
from fsmflow.dispatch.strays import refuse
from fsmflow.dispatch.tickets import MAX_DATA_BYTES, HostileJob, read_ticket
from fsmflow.errors import RedisUnavailable, shown
from fsmflow.points import point
from fsmflow.store.work import Ticket

_BLOCK_S: Final = 5
_TIMEOUT_S: Final = 15.0
_HEARTBEAT_S: Final = 30.0
_STARTED_TTL_S: Final = 86_400
_MAX_ID_SHOWN: Final = 200

#: Forgets the job that is done and puts those into their queues that follow from it. Then it pops the first job of the
#: first queue that has one (or takes the one that a blocking pop returned), marks it as started, for those who look
#: with RQ's tools, and returns its id, its data and the key of its queue. Entries without a job are passed over,
#: whatever somebody put under their key, and data larger than a job of ours can have stay where they are.
_TURN: Final = """
local prefix, at, worker, wanted, ttl, most = unpack(ARGV, 1, 6)
if ARGV[7] ~= '' then redis.call('DEL', prefix .. ARGV[7]) end
local i = 10
while i <= #ARGV do
  local last = i + 1 + tonumber(ARGV[9])
  redis.call('SADD', ARGV[8], ARGV[i])
  redis.call('HSET', prefix .. ARGV[i + 1], unpack(ARGV, i + 2, last))
  redis.call('RPUSH', ARGV[i], ARGV[i + 1])
  i = last + 1
end
for i = 1, #KEYS do
  while true do
    local id
    if wanted ~= '' then id = wanted else id = redis.call('LPOP', KEYS[i]) end
    if not id then break end
    local key = prefix .. id
    local size = redis.pcall('HSTRLEN', key, 'data')
    if type(size) == 'table' and string.sub(size['err'] or '', 1, 9) ~= 'WRONGTYPE' then return size end
    if type(size) == 'number' and size > 0 then
      local data = ''
      if size <= tonumber(most) then data = redis.call('HGET', key, 'data') end
      redis.call('HSET', key, 'status', 'started', 'started_at', at, 'worker_name', worker)
      redis.call('EXPIRE', key, ttl)
      return {id, data, KEYS[i]}
    end
    if wanted ~= '' then return false end
  end
end
return false
"""

#: Runs an attempt; what is to be rung for with the end of this one. None where it still runs, and others ring.
Perform = Callable[[Ticket], Sequence[Ring] | None]


class StepWorker(SimpleWorker):
    """Takes doorbells from our queues in RQ, and runs them. Once ``stopping`` it runs none that it has not begun.

    A job there that fsmflow did not put there is not run: it goes to RQ's registry of failed jobs.
    """

    def __init__(
        self,
        queues: Sequence[str],
        doorbell: Doorbell,
        perform: Perform,
        stopping: Callable[[], bool],
        *,
        name: str | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._url = doorbell.url()
        self.client = connect(self._url, timeout_s=_TIMEOUT_S)
        super().__init__(
            [Queue(doorbell.rq_queue(name), connection=self.client, serializer=JSONSerializer) for name in queues],
            name=name,
            connection=self.client,
            serializer=JSONSerializer,
        )
        self._doorbell = doorbell
        self._perform = perform
        self._stopping = stopping
        self._listener = listener
        self._turn_script = self.client.register_script(_TURN)
        #: The job that is done, and what follows from it: told with the next one that is taken.
        self._done = b""
        self._rings: Sequence[Ring] = ()
        self._prefix = Job.key_for("")
        self._seen_alive = float("-inf")
        self.waiting = False

    def _set_connection(self, connection: Redis) -> Redis:
        """Keep our own timeout; RQ would raise it to seven minutes for the whole pool."""
        return connection

    def work_once(self, *, block: bool) -> bool:
        """Take and run one job; wait a few seconds for it if ``block``. Whether there was one.

        Raises RedisError and OSError where Redis is not there; a job that was taken then is rung again from SQL.
        """
        self.tell_alive()
        taken = self._take([queue.key for queue in self.queues])
        if taken is None and block:
            taken = self._wait()
        if taken is None:
            return False
        id_, data, queue_key = taken
        if self._stopping():
            self._give_back(id_, queue_key)
            return False
        try:
            ticket = read_ticket(data, self._doorbell.installation)
        except HostileJob as error:
            log.job_refused(_readable(id_), str(error))
            refuse(self.client, (id_, queue_key), f"fsmflow did not run this job: {error}", worker=self.name)
            return True
        point("take.after", ticket.row)
        rings = self._perform(ticket)
        if rings is not None:
            self._rings, self._done = rings, id_
        return True

    def leave(self) -> None:
        """Tell what is done, and RQ that this worker is gone; Redis may be gone itself."""
        try:
            if self._done:
                self._turn([])
            self.register_death()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            log.farewell_failed(error)

    def _take(self, keys: list[Any], id_: bytes = b"") -> tuple[bytes, bytes, bytes] | None:
        found = self._turn(keys, id_)
        return (found[0], found[1], found[2]) if found else None

    def _turn(self, keys: list[Any], id_: bytes = b"") -> Any:
        """Tell what is done, and take what comes next. One round trip."""
        at = utcformat(clock.to_datetime(clock.local_now()))
        rings, done = self._rings, self._done
        self._rings, self._done = (), b""
        args: list[Any] = [self._prefix, at, self.name, id_, _STARTED_TTL_S, MAX_DATA_BYTES, done]
        try:
            return self._turn_script(keys=keys, args=[*args, *self._doorbell.arguments(rings)])
        except (RedisError, OSError) as error:
            if rings:
                log.dispatch_failed(len(rings), error)
            raise

    def _wait(self) -> tuple[bytes, bytes, bytes] | None:
        self.waiting = True
        try:
            if self._stopping():
                return None
            popped: Any = self.client.blpop([queue.key for queue in self.queues], timeout=_BLOCK_S)
        finally:
            self.waiting = False
        point("pop.after", 0)
        return None if popped is None else self._take([popped[0]], popped[1])

    def _give_back(self, id_: bytes, queue_key: bytes) -> None:
        """It was told to end before it took this one, which is for others."""
        key = self._prefix.encode() + id_
        pipe = self.client.pipeline()
        pipe.hset(key, "status", JobStatus.QUEUED.value)
        pipe.persist(key)
        pipe.lpush(queue_key, id_)
        pipe.execute()

    def tell_alive(self) -> None:
        """Tell RQ and those who look that this worker lives, twice a minute. Raises RedisError and OSError."""
        now = clock.monotonic()
        if now - self._seen_alive < _HEARTBEAT_S:
            return
        if self._done:  # told before anything that may take its time, or fail
            self._turn([])
        if self._doorbell.has_moved(self._url):
            raise RedisUnavailable("another server is the master of Redis now")
        if self._seen_alive == float("-inf") or not self.connection.exists(self.key):
            self.register_birth()  # type: ignore[no-untyped-call]
        self.heartbeat()
        if self._listener is not None:
            present(self.client, self._doorbell.installation, self._listener)
        self._seen_alive = now


def _readable(id_: bytes) -> str:
    """An id as a log line shows it, whoever wrote it."""
    text = id_.decode("ascii", "backslashreplace")
    return text if text.isprintable() and len(text) <= _MAX_ID_SHOWN else shown(text)
