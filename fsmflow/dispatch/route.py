"""How a URL leads to the Redis server that is meant by it: it is named, or sentinels know it, or it is that node of a
cluster which has the slot of our keys. Asked anew after each error, as another one may have taken over."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from contextlib import closing
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from redis import Redis
from redis.crc import key_slot

from fsmflow.dispatch.client import REDIS_ERRORS, connect
from fsmflow.dispatch.prefix import PREFIX, queue_key
from fsmflow.errors import RedisUnavailable
from fsmflow.redaction import hide_password, unreadable
from fsmflow.values import dataclass

#: How long one of several servers may take to say where the one is that is meant.
_ASKED_S: Final = 1.0
_URL: Final = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://((?P<login>.*)@)?"
    r"(?P<hosts>[^/?#@]*)(/(?P<path>[^?#]*))?(\?(?P<query>[^#]*))?"
)
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:\s]+)(:(?P<port>\d{1,5}))?")
_PORTS: Final = {"sentinel": 26379, "cluster": 6379}

Address = tuple[str, int]


class Route(ABC):
    """The way from the URL that is configured to a server."""

    #: Whether it always leads to the same one.
    is_fixed = False

    @abstractmethod
    def url(self) -> str:
        """The URL of the server that is meant now. Raises RedisUnavailable where nobody can tell."""

    @abstractmethod
    def check(self) -> None:
        """Raises RedisUnavailable for a URL that could never be used. Opens nothing."""

    @abstractmethod
    def doubt(self) -> None:
        """Who has told it last may be mistaken: the others are asked first."""


class Direct(Route):
    """The URL names the server itself."""

    is_fixed = True

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self) -> str:
        return self._url

    def check(self) -> None:
        connect(self._url, timeout_s=_ASKED_S).close()

    def doubt(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What a URL says, by its parts."""

    scheme: str
    login: str
    hosts: tuple[Address, ...]
    path: str
    options: dict[str, str]

    def url_of(self, address: Address, login: str, database: str = "0") -> str:
        """The URL of one server."""
        host, port = address
        named = f"[{host}]" if ":" in host else host
        options = f"?{urlencode(self.options)}" if self.options else ""
        return f"{self.scheme}://{f'{login}@' if login else ''}{named}:{port}/{database}{options}"


class _Asked(Route):
    """Several servers, one of which is asked where the one is that is meant."""

    def __init__(self, told: _Told) -> None:
        self._told = told
        #: The one that has answered last comes first.
        self._hosts = list(told.hosts)

    def url(self) -> str:
        troubles = []
        for host in list(self._hosts):
            try:
                with closing(connect(self._url_of(host), timeout_s=_ASKED_S, connect_s=_ASKED_S)) as client:
                    found = self._ask(client, host)
            except REDIS_ERRORS as error:
                troubles.append(f"{_written(host)}: {error}")
                continue
            if found is not None:
                self._hosts = [host, *(other for other in self._hosts if other != host)]
                return self._found(found)
            troubles.append(f"{_written(host)} {self._knows_not}")
        raise RedisUnavailable(f"{self._nobody} ({'; '.join(troubles)})")

    def check(self) -> None:
        connect(self._found(self._hosts[0]), timeout_s=_ASKED_S).close()

    def doubt(self) -> None:
        first, *others = self._hosts
        self._hosts = [*others, first]

    @property
    @abstractmethod
    def _knows_not(self) -> str:
        """That one of them knows of none, in words."""

    @property
    @abstractmethod
    def _nobody(self) -> str:
        """That none of them has told, in words."""

    @abstractmethod
    def _url_of(self, host: Address) -> str:
        """The URL of one that is asked."""

    @abstractmethod
    def _ask(self, client: Redis, asked: Address) -> Address | None:
        """Where the server that is meant is, by one of them. Raises REDIS_ERRORS."""

    @abstractmethod
    def _found(self, address: Address) -> str:
        """The URL of the server that is meant."""


class BySentinels(_Asked):
    """``redis+sentinel://user:password@h1:26379,h2/name/0``: the master of that name. Sentinels may have a name and a
    password of their own: ``?sentinel_username=...&sentinel_password=...``."""

    def __init__(self, told: _Told) -> None:
        options = dict(told.options)
        user, password = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
        super().__init__(_Told(scheme=told.scheme, login=told.login, hosts=told.hosts, path=told.path, options=options))
        self._login = f"{quote(user, safe='')}:{quote(password, safe='')}" if user or password else ""
        self._name, _, self._database = told.path.partition("/")
        self._name = unquote(self._name)
        if not self._name:
            raise ValueError("it does not name the master, as in redis+sentinel://host:26379/mymaster")

    @property
    def _knows_not(self) -> str:
        return f"knows no master {self._name!r}"

    @property
    def _nobody(self) -> str:
        return f"no sentinel says where the master {self._name!r} of Redis is"

    def _url_of(self, host: Address) -> str:
        return self._told.url_of(host, self._login)

    def _ask(self, client: Redis, asked: Address) -> Address | None:
        found: Any = client.sentinel_get_master_addr_by_name(self._name)
        return None if not found else (_text(found[0]), int(found[1]))

    def _found(self, address: Address) -> str:
        return self._told.url_of(address, self._told.login, self._database or "0")


class ByCluster(_Asked):
    """``redis+cluster://user:password@h1:6379,h2``: the node that has the slot of our keys."""

    def __init__(self, told: _Told) -> None:
        super().__init__(told)
        if told.path.strip("/") not in ("", "0"):
            raise ValueError(f"a Redis Cluster has the database 0 alone, not {told.path[:40]!r}")
        slots = {key_slot(queue_key(name).encode()) for name in "abc"}
        if len(slots) > 1:
            raise RedisUnavailable(
                f"all keys of fsmflow and RQ have to be in one slot of the Redis Cluster, and RQ_KEY_PREFIX is "
                f"{PREFIX!r}: set RQ_KEY_PREFIX={{rq}} in the environment of all that runs fsmflow or RQ"
            )
        (self._slot,) = slots

    @property
    def _knows_not(self) -> str:
        return f"knows no node for slot {self._slot}"

    @property
    def _nobody(self) -> str:
        return f"no node of the Redis Cluster says where slot {self._slot} is, in which all keys of fsmflow are"

    def _url_of(self, host: Address) -> str:
        return self._told.url_of(host, self._told.login)

    def _ask(self, client: Redis, asked: Address) -> Address | None:
        ranges: Any = client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        owner = next((owner for first, last, owner, *_ in ranges if int(first) <= self._slot <= int(last)), None)
        nodes = [_at(node, asked) for _, _, *members in ranges for node in members]
        # Those of the URL may be gone one day.
        self._hosts = [*dict.fromkeys((*self._hosts, *nodes))]
        return None if owner is None else _at(owner, asked)

    def _found(self, address: Address) -> str:
        return self._told.url_of(address, self._told.login)


def route_of(url: str) -> Route:
    """The way that a URL describes. Raises RedisUnavailable for one that cannot be used."""
    scheme = url.partition("://")[0]
    if "+" not in scheme:
        return Direct(url)
    try:
        told, kind = _read(url)
        return BySentinels(told) if kind == "sentinel" else ByCluster(told)
    except ValueError as error:
        raise RedisUnavailable(
            f"the Redis URL {hide_password(url).partition('?')[0]!r} cannot be used: {unreadable(url, error)}; write "
            f"redis+sentinel://host:26379,host2/name/0 or redis+cluster://host:6379,host2, or rediss+... for TLS"
        ) from None


def _read(url: str) -> tuple[_Told, str]:
    """What the URL of sentinels or of a cluster says, and which of the two it is. Raises ValueError."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("it is of no known kind")
    hosts = tuple(_host(text, _PORTS[found["kind"]]) for text in found["hosts"].split(","))
    options = dict(parse_qsl(found["query"] or "", keep_blank_values=True, strict_parsing=bool(found["query"])))
    login, path = found["login"] or "", found["path"] or ""
    if "/" in login or "@" in path:
        raise ValueError("a password with a '/' in it was taken for a host")
    return _Told(scheme=found["scheme"], login=login, hosts=hosts, path=path, options=options), found["kind"]


def _host(text: str, port: int) -> Address:
    found = _HOST.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:80]!r} is no host, nor a host:port")
    return found["host"].strip("[]"), int(found["port"] or port)


def _at(node: Any, asked: Address) -> Address:
    """Where a node of a cluster is, as the one that was asked tells it; itself it knows without a name."""
    name = "" if node[0] is None else _text(node[0])
    return (name if name not in ("", "?") else asked[0]), int(node[1])


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _written(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
