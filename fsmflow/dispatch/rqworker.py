"""Our RQ worker class: long-lived, no fork per job, several queues, and one round trip to Redis a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.utils import utcformat
from rq.worker import SimpleWorker

from fsmflow import clock, log
from fsmflow.definition.priority import queue_below
from fsmflow.dispatch.client import Sent, connect
from fsmflow.dispatch.doorbell import Doorbell, Ring
from fsmflow.dispatch.listeners import Listener, present
from fsmflow.dispatch.prefix import own_key
from fsmflow.dispatch.reserve import Reserve, Taken
from fsmflow.dispatch.strays import refuse
from fsmflow.dispatch.tickets import MAX_DATA_BYTES, HostileJob, read_ticket, ticket_of_id
from fsmflow.dispatch.turns import Turns
from fsmflow.errors import RedisUnavailable, shown
from fsmflow.points import point
from fsmflow.store.work import Ticket

_BLOCK_S: Final = 5
_TIMEOUT_S: Final = 15.0
_HEARTBEAT_S: Final = 30.0
_STARTED_TTL_S: Final = 86_400
_MAX_ID_SHOWN: Final = 200
#: How long what is to wake somebody who waits is there; who waits does not do so for longer.
_WAKE_TTL_S: Final = 2 * _BLOCK_S

#: Forgets the job that is done and puts those into their queues that follow from it. Then it pops the first jobs of the
#: first queues that have any (or takes the one that a blocking pop returned), marks them as started, for those who look
#: with RQ's tools, and returns of each its id, its data and the key of its queue. More than ``count`` are taken ahead
#: where one is left to others. Entries without a job are passed over, whatever somebody put under their key, and data
#: larger than a job of ours can have stay where they are. Where ``rooms`` are told, there is one for each queue, with
#: how many may be taken of all queues that have the same number.
_TURN: Final = """
local prefix, at, worker, wanted, ttl, most, count, ahead, rooms = unpack(ARGV, 1, 9)
if ARGV[10] ~= '' then redis.call('DEL', prefix .. ARGV[10]) end
local i = 13
while i <= #ARGV do
  local last = i + 1 + tonumber(ARGV[12])
  redis.call('SADD', ARGV[11], ARGV[i])
  redis.call('HSET', prefix .. ARGV[i + 1], unpack(ARGV, i + 2, last))
  redis.call('RPUSH', ARGV[i], ARGV[i + 1])
  i = last + 1
end
local found, numbers, left = {}, {}, {}
count = tonumber(count)
for number, room in string.gmatch(rooms, '(%d+):(%d+)') do
  table.insert(numbers, number)
  left[number] = tonumber(room)
end
for i = 1, #KEYS do
  local number = numbers[i]
  while #found < count + ahead and (not number or left[number] > 0) do
    local id
    if #found >= count and redis.call('LLEN', KEYS[i]) < 2 then break end
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
      table.insert(found, {id, data, KEYS[i]})
      if number then left[number] = left[number] - 1 end
    end
    if wanted ~= '' then return found end
  end
end
return found
"""

#: Runs an attempt; what is to be rung for with the end of this one.
Perform = Callable[[Ticket], Sequence[Ring]]
#: Begins several, and sees to the end of each and to what is to be rung for then.
PerformAll = Callable[[Sequence[Ticket]], None]
#: How many may be taken of those queues of which not all may.
Left = Callable[[], Mapping[str, int]]
#: The id of a job, its data, and the key of its queue.
Found = tuple[bytes, bytes, bytes]


class StepWorker(SimpleWorker):
    """Takes doorbells from our queues in RQ, and runs them. Once ``stopping`` it runs none that it has not begun.

    A job there that fsmflow did not put there is not run: it goes to RQ's registry of failed jobs. ``shares``: those of
    the queues that have their turns. ``reserve``: where ``perform`` draws what it claims with the end of a step.
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
        shares: Mapping[str, int] | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        self._url = doorbell.url()
        self.client = connect(self._url, timeout_s=_TIMEOUT_S)
        super().__init__(
            [Queue(doorbell.rq_queue(name), connection=self.client, serializer=JSONSerializer) for name in queues],
            name=name,
            connection=self.client,
            serializer=JSONSerializer,
        )
        self._turns = Turns(queues, shares)
        self._keys = {name: queue.key for name, queue in zip(queues, self.queues, strict=True)}
        self._doorbell = doorbell
        self._perform = perform
        self._stopping = stopping
        self._listener = listener
        self._turn_script = self.client.register_script(_TURN)
        #: The job that is done, and what follows from it: told with the next one that is taken.
        self._done = b""
        self._rings: Sequence[Ring] = ()
        self._prefix = Job.key_for("")
        self._marking: Sent | None = None
        self._seen_alive = float("-inf")
        self._reserve = reserve or Reserve()
        self._reserve.belongs_to(self._return_late)
        self.waiting = False
        self._is_woken = False
        self._wake_key = own_key(doorbell.installation, f"wake:{self.name}")

    def _set_connection(self, connection: Redis) -> Redis:
        """Keep our own timeout; RQ would raise it to seven minutes for the whole pool."""
        return connection

    def work_once(self, *, block: bool) -> bool:
        """Take and run one job, and those that are claimed with the end of it; wait a few seconds for one if ``block``.
        Whether there was one.

        Raises RedisError and OSError where Redis is not there; a job that was taken then is rung again from SQL.
        """
        first = self._next(block=block)
        self._reserve.begin()
        taken, fails = first, False
        while taken is not None:
            began = clock.monotonic()
            rings = self._perform(taken.ticket)
            self._rings, self._done = [*self._rings, *rings], taken.id
            self._reserve.ran(clock.monotonic() - began)
            taken = self._reserve.drawn()
            # What is claimed is run, whatever becomes of Redis.
            fails = fails or (taken is not None and not self._go_on())
        if fails:
            self._turn([])
        return first is not None

    def work_several(self, most: int, perform: PerformAll, *, block: bool, left: Left = dict) -> bool:
        """Take up to so many jobs that are there, and have them performed; wait a few seconds for one if ``block``.
        Of a queue that is full (``left``) none is taken; ``wake`` ends the wait. Whether there were any. Raises as
        ``work_once`` does."""
        taken = self._take_some(most, block=block, left=left)
        if taken:
            perform([each.ticket for each in taken])
        return bool(taken)

    def _next(self, *, block: bool) -> Taken | None:
        """The job to be run next. Of what was taken ahead it is the first; what is done is told before it begins."""
        if self._reserve.is_empty:
            taken = self._take_some(1, block=block)
            self._reserve.put(taken[1:])
            return taken[0] if taken else None
        self.tell_alive()
        ahead = self._turn(self._order(), most=0)
        self._reserve.put(ahead)
        if not self._stopping():
            return self._reserve.take()
        self._return(self._reserve.clear())
        return self._reserve.drawn()

    def _go_on(self) -> bool:
        """Tell what is done, and take more ahead. False where Redis is not there: what was ahead is found in SQL."""
        try:
            self._reserve.put(self._turn([] if self._stopping() else self._order(), most=0))
        except (RedisError, OSError):
            self._reserve.clear()
            return False
        return True

    def _order(self) -> list[str]:
        return [self._keys[name] for name in self._turns.order()]

    def wake(self) -> None:
        """Have it look into its queues at once, as one that was full has room again. For other threads; raises
        nothing."""
        self._is_woken = True
        if not self.waiting:
            return
        try:
            pipe = self.client.pipeline(transaction=False)
            pipe.rpush(self._wake_key, "")
            pipe.expire(self._wake_key, _WAKE_TTL_S)
            pipe.execute()
        except (RedisError, OSError):
            return  # who waits meets that too, and tells

    def _take_some(self, most: int, *, block: bool, left: Left = dict) -> list[Taken]:
        """What is taken, and given back at once where this was told to end meanwhile."""
        self.tell_alive()
        self._is_woken = False  # before it is asked how many are left: of what changes after that it is told
        rooms = left()
        names = [name for name in self._turns.order() if rooms.get(queue_below(name), 1) > 0]
        keys = [self._keys[name] for name in names]
        taken = self._turn(keys, most=most, rooms=_rooms(names, rooms, most) if rooms else "")
        if not taken and block:
            taken = self._wait(keys if len(names) == len(self._keys) else [*keys, self._wake_key])
        if not self._stopping():
            return taken
        self._return(taken)
        return []

    def _read(self, found: Sequence[Found]) -> Iterator[Taken]:
        """Those that are ours; the others are refused."""
        for id_, data, queue_key in found:
            try:
                ticket = read_ticket(data, self._doorbell.installation)
            except HostileJob as error:
                log.job_refused(_readable(id_), str(error))
                refuse(self.client, (id_, queue_key), f"fsmflow did not run this job: {error}", worker=self.name)
                continue
            point("take.after", ticket.row)
            yield Taken(id_, queue_key, ticket)

    def leave(self) -> None:
        """Give back what was taken ahead, tell what is done, and RQ that this worker is gone; Redis may be gone
        itself."""
        try:
            self._return(self._reserve.clear())
            if self._done:
                self._turn([])
            self.register_death()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            log.farewell_failed(error)

    def _turn(self, keys: list[Any], id_: bytes = b"", *, most: int = 1, rooms: str = "") -> list[Taken]:
        """Tell what is done, and take what comes next: ``most``, and those ahead that there is room for. One round
        trip, and one more behind jobs that are not ours."""
        while True:
            found = self._told(keys, id_, most, rooms)
            taken = list(self._read(found))
            if taken or not found or id_ or not most or self._stopping():
                return taken

    def _told(self, keys: list[Any], id_: bytes, most: int, rooms: str) -> Sequence[Found]:
        self._end_marking()
        rings, done = self._rings, self._done
        self._rings, self._done = (), b""
        args = [*self._asked(id_, most), self._reserve.room, rooms, done, *self._doorbell.arguments(rings)]
        try:
            found: Any = self._turn_script(keys=keys, args=args)
        except (RedisError, OSError) as error:
            if rings:
                log.dispatch_failed(len(rings), error)
            raise
        return [(id_, data, queue_key) for id_, data, queue_key in found]

    def _asked(self, id_: bytes, most: int) -> list[Any]:
        at = utcformat(clock.to_datetime(clock.local_now()))
        return [self._prefix, at, self.name, id_, _STARTED_TTL_S, MAX_DATA_BYTES, most]

    def _mark(self, queue_key: bytes, id_: bytes) -> None:
        """Mark a job as started that is taken already, and wait for no answer."""
        sha, args = self._turn_script.sha, [*self._asked(id_, 1), 0, "", "", *self._doorbell.arguments(())]
        self._marking = Sent(self.client, "EVALSHA", sha, 1, queue_key, *args)

    def _end_marking(self) -> None:
        marking, self._marking = self._marking, None
        if marking is not None:
            # It is for those who look. Whoever goes on meets what is wrong with Redis too.
            with suppress(RedisError, OSError):
                marking.answer()

    def _wait(self, keys: list[Any]) -> list[Taken]:
        self.waiting = True
        try:
            if self._stopping() or self._is_woken:
                return []
            popped: Any = self.client.blpop(keys, timeout=_BLOCK_S)
        finally:
            self.waiting = False
        point("pop.after", 0)
        if popped is None or popped[0] == self._wake_key.encode():
            return []
        queue_key, id_ = popped
        ticket = ticket_of_id(id_, self._doorbell.installation)
        if ticket is None:
            return self._turn([queue_key], id_)
        self._mark(queue_key, id_)
        point("take.after", ticket.row)
        return [Taken(id_, queue_key, ticket)]

    def _return(self, taken: Sequence[Taken]) -> None:
        """It was told to end before it began these, which are for others. Raises RedisError and OSError."""
        if not taken:
            return
        self._end_marking()
        pipe = self.client.pipeline()
        for each in reversed(taken):
            key = self._prefix.encode() + each.id
            pipe.hset(key, "status", JobStatus.QUEUED.value)
            pipe.persist(key)
            pipe.lpush(each.queue_key, each.id)
        pipe.execute()

    def _return_late(self, taken: Sequence[Taken]) -> None:
        """What it would begin later than expected is for others, too."""
        try:
            self._return(taken)
        except (RedisError, OSError) as error:
            log.dispatch_failed(len(taken), error)

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


def _rooms(names: Sequence[str], left: Mapping[str, int], most: int) -> str:
    """As the script reads it: of each queue a number that it shares with its priorities, and how many may be taken."""
    numbers: dict[str, int] = {}
    for name in names:
        numbers.setdefault(queue_below(name), len(numbers))
    return " ".join(f"{numbers[queue]}:{left.get(queue, most)}" for queue in map(queue_below, names))


def _readable(id_: bytes) -> str:
    """An id as a log line shows it, whoever wrote it."""
    text = id_.decode("ascii", "backslashreplace")
    return text if text.isprintable() and len(text) <= _MAX_ID_SHOWN else shown(text)
