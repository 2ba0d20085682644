"""A client of one Redis server. It fails fast, repeats nothing, and tells what a server means that takes no writes, or
is a node of a cluster."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import redis
from redis import Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

from fsmflow.errors import RedisUnavailable
from fsmflow.redaction import unreadable

_CONNECT_S: Final = 2.0
#: What can go wrong between this process and Redis.
REDIS_ERRORS: Final = (RedisError, OSError, RedisUnavailable)

#: The first that fits is told.
_TOLD: Final = (
    (
        MovedError,
        "MOVED: our keys are on another node of this Redis Cluster ({}); with redis+cluster://host:port as its URL the "
        "node is found anew by itself",
    ),
    (
        AskError | TryAgainError,
        "the slot of our keys is being moved to another node of the Redis Cluster ({}); jobs follow once it is there",
    ),
    (
        ReadOnlyError,
        "READONLY: this server is a replica; name the master, or the sentinels that know it: "
        "redis+sentinel://host:26379/name",
    ),
    (
        ClusterCrossSlotError,
        "CROSSSLOT: the keys of fsmflow and RQ are in several slots of this Redis Cluster; set RQ_KEY_PREFIX={{rq}} "
        "for all that runs fsmflow or RQ, and redis+cluster://host:port as the URL",
    ),
    (
        ClusterDownError,
        "CLUSTERDOWN: the Redis Cluster has no node for some slots ({}); jobs follow once a replica has taken over",
    ),
)
#: What a server says of a script that it runs, without a code of its own.
_ELSEWHERE: Final = "non local key"


def is_gone(error: BaseException) -> bool:
    """Whether nobody answers; else Redis does, and refuses."""
    return isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError | RedisUnavailable)


def is_elsewhere(error: BaseException) -> bool:
    """Whether a server has refused something, as it is done by another one now."""
    return isinstance(error, MovedError | ReadOnlyError)


class Client(Redis):
    """What redis-py has, with refusals in words."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            _reword(error)
            raise

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class Sent:
    """A command on its way, whose answer is read later: whoever sent it goes on meanwhile."""

    def __init__(self, client: Redis, *command: Any) -> None:
        self._client, self._name = client, command[0]
        self._connection = client.connection_pool.get_connection()
        try:
            self._connection.send_command(*command)  # type: ignore[no-untyped-call]
        except BaseException:  # a signal too: redis-py has closed it then, and nobody would give it back
            client.connection_pool.release(self._connection)
            raise

    def answer(self) -> Any:
        """Once. Raises RedisError and OSError."""
        try:
            return self._client.parse_response(self._connection, self._name)  # type: ignore[no-untyped-call]
        finally:
            self._client.connection_pool.release(self._connection)


class _Pipeline(Pipeline):
    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            _reword(error)
            raise


def _reword(error: ResponseError) -> None:
    said = str(error)
    told = next((words.format(said) for kind, words in _TOLD if isinstance(error, kind)), None)
    if told is None and _ELSEWHERE in said:
        told = f"the slot of our keys is on another node of this Redis Cluster, or on its way there ({said})"
    if told is not None:
        error.args = (told,)


def connect(url: str, *, timeout_s: float, connect_s: float = _CONNECT_S) -> Redis:
    """A client that fails fast and repeats nothing. Raises RedisUnavailable for a URL that cannot be used."""
    try:
        if not url.startswith("unix:") and "@" in urlsplit(url).path:
            raise ValueError("a password with a '/' in it was taken for a host and a port")
        client = Client.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_s,
            **({} if url.startswith("unix:") else {"socket_connect_timeout": connect_s}),
        )
        _check_options(client, url)
        return client
    except ValueError as error:
        raise RedisUnavailable(
            f"the Redis URL cannot be used: {unreadable(url, error)}; write redis://host:6379/0, rediss://..., "
            f"redis+sentinel://host:26379/name, redis+cluster://host:6379 or unix:///path"
        ) from None


def _check_options(client: Redis, url: str) -> None:
    """Raises ValueError for what a URL asks for and redis-py passes by, or meets at its first connection only."""
    path = "" if url.startswith("unix:") else urlsplit(url).path.strip("/")
    if path and not path.isdecimal():
        raise ValueError(f"the database {path[:40]!r} is no number")
    pool = client.connection_pool
    try:
        pool.connection_class(**pool.connection_kwargs)  # opens nothing
    except TypeError as error:
        raise ValueError(f"it has an option that is not known: {error}") from error
