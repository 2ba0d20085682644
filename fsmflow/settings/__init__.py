"""Which database, which Redis, which machines: from ``configure()`` or from the environment, at first use."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fsmflow import log
from fsmflow.errors import ConfigurationError
from fsmflow.redaction import hide_password
from fsmflow.scope import scope
from fsmflow.settings import alarms as alarms_of
from fsmflow.settings import queues as queues_of
from fsmflow.settings import variables
from fsmflow.settings.alarms import Alarm
from fsmflow.settings.amounts import count_of, is_on, schema_of, size_of
from fsmflow.settings.limits import Limit, read_queue_limits
from fsmflow.settings.permissions import Permissions, read_file, read_permissions
from fsmflow.settings.web import read_web_url
from fsmflow.values import dataclass

if TYPE_CHECKING:
    from fsmflow.channels import Channel

DATABASE_URL = "FSMFLOW_DATABASE_URL"
REDIS_URL = "FSMFLOW_REDIS_URL"
MACHINES = "FSMFLOW_MACHINES"
HOME = "FSMFLOW_HOME"
RELEASE = "FSMFLOW_RELEASE"
MAX_JOBS = "FSMFLOW_MAX_JOBS"
MAX_MEMORY = "FSMFLOW_MAX_MEMORY"
PERMISSIONS = "FSMFLOW_PERMISSIONS"
CHANNELS = "FSMFLOW_CHANNELS"
ALARMS = "FSMFLOW_ALARMS"
SEARCH_TIMEOUT = "FSMFLOW_SEARCH_TIMEOUT"
WEB_URL = "FSMFLOW_WEB_URL"
USERS = "FSMFLOW_USERS"
ASYNC_THREADS = "FSMFLOW_ASYNC_THREADS"
RUN_ON = "FSMFLOW_RUN_ON"
QUEUE_LIMITS = "FSMFLOW_QUEUE_LIMITS"
SCHEMA = "FSMFLOW_SCHEMA"

VARIABLES = (
    *(DATABASE_URL, REDIS_URL, MACHINES, HOME, RELEASE, MAX_JOBS, MAX_MEMORY, PERMISSIONS, CHANNELS, ALARMS),
    *(SEARCH_TIMEOUT, WEB_URL, USERS, ASYNC_THREADS, RUN_ON, QUEUE_LIMITS, SCHEMA),
)

#: The most characters of the name of a release.
MAX_RELEASE = 64

MachineSource = str | ModuleType | type


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one process works with. Where a URL is None, the embedded server stands in."""

    database_url: str | None = field(default=None, repr=False)
    database: Any = None
    #: The schema of PostgreSQL in which the tables are, where one is named.
    schema: str | None = None
    redis_url: str | None = field(default=None, repr=False)
    #: The URLs of the servers of queues that have one of their own, by their names or the variables that say so.
    queues: Mapping[str, str] = field(default_factory=dict, repr=False)
    machines: tuple[MachineSource, ...] = ("machines",)
    home: Path = Path(".fsmflow")
    #: After how many jobs, and from how many bytes of memory on, a worker process is replaced.
    max_jobs: int | None = None
    max_memory: int | None = None
    #: Whether a worker goes straight on with the next step of an entity, where the machine does not say.
    run_on: bool = False
    #: How many jobs of a queue run at once, or begin in a minute, over all hosts.
    queue_limits: Mapping[str, Limit] = field(default_factory=dict)
    #: How many seconds one query of a search may take.
    search_timeout: int = 10
    #: In how many threads is done what an event loop awaits, each with a connection to the database.
    async_threads: int = 8
    #: Where people reach the web of this installation, without a slash at its end.
    web_url: str | None = None
    #: What the code here is called, where somebody says so.
    release: str | None = None
    #: Who may do what, where the installation says so.
    permissions: Permissions | None = field(default=None, repr=False)
    #: Where messages to people and other systems go, by name, where the installation says so.
    channels: Mapping[str, Channel] | None = field(default=None, repr=False)
    #: What somebody is told of, besides what machines say.
    alarms: tuple[Alarm, ...] = ()
    #: The file of those who may log in on the web; None where they are in the database.
    users: str | None = None
    #: A module that is imported first in each worker process, as it sets a framework up; None for none.
    setup: str | None = None
    #: Whether nothing is made that is not there: of whoever only looks.
    looks: bool = False

    @property
    def is_embedded(self) -> bool:
        """Whether the database or Redis is one that is kept in ``home``."""
        return self.embedded_file is not None or self.redis_url is None

    @property
    def embedded_file(self) -> Path | None:
        """The file of the embedded database; None where another one is named."""
        is_named = self.database is not None or self.database_url is not None
        return None if is_named else self.home.absolute() / "fsmflow.db"


class _Chosen:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.settings: Settings | None = None
        self.looks = False
        self.has_told = False


_chosen = _Chosen()


def configure(
    *,
    database_url: str | None = None,
    database: Any = None,
    schema: str | None = None,
    redis_url: str | None = None,
    queues: Mapping[str, str] | None = None,
    machines: Iterable[MachineSource] | None = None,
    home: str | os.PathLike[str] | None = None,
    max_jobs: int | None = None,
    max_memory: int | str | None = None,
    search_timeout: int | None = None,
    async_threads: int | None = None,
    run_on: bool | None = None,
    queue_limits: str | Mapping[str, int | str] | None = None,
    web_url: str | None = None,
    permissions: Mapping[str, Any] | None = None,
    channels: Mapping[str, Channel | Mapping[str, Any]] | None = None,
    alarms: Sequence[Alarm | Mapping[str, Any]] | None = None,
    users: str | os.PathLike[str] | None = None,
) -> None:
    """Choose the database, Redis, machines and home of this process; what is not given comes from the environment.
    ``queues``: ``{"slow": "redis://b"}`` queues with a Redis server of their own. ``max_jobs`` and ``max_memory``
    ("500MB") say when a worker process is replaced. A query of a search is ended after ``search_timeout`` seconds; what
    an event loop awaits is done in ``async_threads`` threads. ``run_on``: workers go straight on with the next step of
    an entity. ``queue_limits``: ``{"slow": 5, "mail": "100/min"}`` jobs of a queue at once, or a minute, on all hosts.
    ``web_url``: where people reach the web; ``users``: the file of who may log in there. ``permissions`` says who may
    do what, ``channels`` by name where messages go, ``alarms`` what somebody is told of besides what machines say: each
    as a file of TOML has it, or with values of ``fsmflow.channels``.

    ``schema``: that of PostgreSQL with the tables. ``database`` is a peewee Database of yours: calls inside its
    ``atomic()`` join that transaction. Opens nothing; the next use works with it. Raises ConfigurationError.
    """
    chosen = _on_database(from_environment(), database, database_url, schema)
    limits = _limits(max_jobs, max_memory, search_timeout, async_threads, run_on, queue_limits)
    whom, read = _of_whom(redis_url, queues, machines), _read(permissions, channels, alarms)
    more = dict((*whom, *limits, *read, *_of_web(web_url, users)))
    choose(replace(chosen, home=chosen.home if home is None else Path(home), **more))


def _of_whom(redis_url: str | None, queues: Any, machines: Iterable[MachineSource] | None) -> Iterator[tuple[str, Any]]:
    """Those that are given. Raises ConfigurationError."""
    if redis_url is not None:
        yield "redis_url", redis_url
    if queues is not None:
        yield "queues", queues_of.read_queues(queues, "queues")
    if machines is not None:
        yield "machines", _names(machines) if isinstance(machines, str) else tuple(machines)


def _of_web(web_url: Any, users: Any) -> Iterator[tuple[str, Any]]:
    """The same of what the web goes by."""
    if web_url is not None:
        yield "web_url", read_web_url(web_url, "web_url")
    if users is not None:
        yield "users", str(users)


def _read(permissions: Any, channels: Any, alarms: Any) -> Iterator[tuple[str, Any]]:
    """Those that are given. Raises ConfigurationError."""
    if permissions is not None:
        yield "permissions", read_permissions(permissions)
    if channels is not None:
        yield "channels", _of_channels().read_channels(channels)
    if alarms is not None:
        yield "alarms", alarms_of.read_alarms(alarms)


def _limits(
    max_jobs: int | None,
    max_memory: int | str | None,
    search_timeout: int | None,
    async_threads: int | None,
    run_on: bool | None,
    queue_limits: Any,
) -> Iterator[tuple[str, Any]]:
    """Those that are given. Raises ConfigurationError."""
    if max_jobs is not None:
        yield "max_jobs", count_of(max_jobs, "max_jobs")
    if max_memory is not None:
        yield "max_memory", size_of(max_memory, "max_memory")
    if search_timeout is not None:
        yield "search_timeout", count_of(search_timeout, "search_timeout", "seconds")
    if async_threads is not None:
        yield "async_threads", count_of(async_threads, "async_threads", "threads")
    if run_on is not None:
        yield "run_on", is_on(run_on, "run_on")
    if queue_limits is not None:
        yield "queue_limits", read_queue_limits(queue_limits, "queue_limits")


def _on_database(chosen: Settings, database: Any, database_url: str | None, schema: str | None) -> Settings:
    """What is chosen, on the database that is given. Raises ConfigurationError."""
    if database is not None and database_url is not None:
        raise ConfigurationError("configure() takes database= or database_url=, not both")
    if isinstance(database, str):
        raise ConfigurationError(
            f"configure(database={hide_password(database)!r}): that is a URL: database_url= takes it, and database= a "
            f"peewee Database of yours"
        )
    if database is not None or database_url is not None:
        chosen = replace(chosen, database=database, database_url=database_url)
    return chosen if schema is None else replace(chosen, schema=schema_of(schema, "schema"))


def current() -> Settings:
    """The settings in force: those configured, else those of the environment as it is at the first call."""
    with _chosen.lock:
        if _chosen.settings is None:
            _chosen.settings = from_environment()
        return _chosen.settings


def chosen() -> Settings | None:
    """The settings in force; None where none have been asked for yet."""
    with _chosen.lock:
        return _chosen.settings


def choose(settings: Settings | None) -> None:
    """Put back what ``chosen`` said."""
    with _chosen.lock:
        _chosen.settings = settings


@scope
def looking() -> Iterator[None]:
    """Inside, whatever is asked for is only looked at: an embedded database that is not there is as if it were empty,
    and an embedded server that does not run is not started."""
    before, _chosen.looks = chosen(), True
    inside = replace(before, looks=True) if before is not None and before.is_embedded else before
    choose(inside)
    try:
        yield
    finally:
        _chosen.looks, after = False, chosen()
        # Another one was configured meanwhile, and stays.
        choose(before if after is inside or after is None else replace(after, looks=False))


def from_environment() -> Settings:
    """The settings that the environment asks for. An empty variable counts as not set. Unknown ones are told once."""
    if not _chosen.has_told:
        _chosen.has_told = True
        for wrong, meant in misspelt().items():
            log.variable_misspelt(unread(wrong, meant))
    machines = _names(os.environ.get(MACHINES, ""))
    return Settings(
        database_url=os.environ.get(DATABASE_URL) or None,
        schema=schema_of(os.environ[SCHEMA], SCHEMA) if os.environ.get(SCHEMA) else None,
        redis_url=os.environ.get(REDIS_URL) or None,
        queues=queues_of.in_environment(os.environ),
        machines=machines or ("machines",),
        home=Path(os.environ.get(HOME) or ".fsmflow"),
        max_jobs=count_of(os.environ[MAX_JOBS], MAX_JOBS) if os.environ.get(MAX_JOBS) else None,
        max_memory=size_of(os.environ[MAX_MEMORY], MAX_MEMORY) if os.environ.get(MAX_MEMORY) else None,
        search_timeout=count_of(os.environ.get(SEARCH_TIMEOUT) or Settings.search_timeout, SEARCH_TIMEOUT, "seconds"),
        async_threads=count_of(os.environ.get(ASYNC_THREADS) or Settings.async_threads, ASYNC_THREADS, "threads"),
        run_on=is_on(os.environ.get(RUN_ON) or False, RUN_ON),
        queue_limits=read_queue_limits(os.environ.get(QUEUE_LIMITS) or "", QUEUE_LIMITS),
        web_url=read_web_url(os.environ[WEB_URL], WEB_URL) if os.environ.get(WEB_URL) else None,
        release=_release(os.environ[RELEASE]) if os.environ.get(RELEASE) else None,
        permissions=read_file(os.environ[PERMISSIONS]) if os.environ.get(PERMISSIONS) else None,
        channels=_of_channels().read_file(os.environ[CHANNELS]) if os.environ.get(CHANNELS) else None,
        alarms=alarms_of.read_file(os.environ[ALARMS]) if os.environ.get(ALARMS) else (),
        users=os.environ.get(USERS) or None,
        looks=_chosen.looks,
    )


def _of_channels() -> Any:
    """Few processes have channels, and what reads them takes time to import."""
    return import_module("fsmflow.settings.channels")


def source_of(variable: str) -> str:
    """Where a setting in force comes from: the variable itself, ``configure()``, or the default."""
    name = variable.removeprefix(variables.PREFIX).lower()
    in_force = current()
    if getattr(in_force, name) != getattr(from_environment(), name) or (
        variable == DATABASE_URL and in_force.database is not None
    ):
        return "configure()"
    return variable if os.environ.get(variable) else "default"


def misspelt() -> dict[str, str | None]:
    """Variables of the environment that look like fsmflow's and are not read, each with the one that was probably
    meant, or None where none is near."""
    return variables.misspelt(os.environ, VARIABLES)


def unread(name: str, meant: str | None) -> str:
    """That a variable is not read, in words."""
    return f"{name} is not read; " + (f"did you mean {meant}?" if meant else f"fsmflow reads {', '.join(VARIABLES)}")


def tells_itself() -> None:
    """Whoever calls this tells what is not read: the log says nothing of it."""
    _chosen.has_told = True


def _release(text: str) -> str:
    """The name of a release. Raises ConfigurationError."""
    name = text.strip()
    if not name or len(name) > MAX_RELEASE or not name.isprintable():
        raise ConfigurationError(
            f"{RELEASE} is {text[:MAX_RELEASE]!r}; it takes a name of 1 to {MAX_RELEASE} characters, such as a version "
            f"or a commit"
        )
    return name


def handed_over(settings: Settings) -> dict[str, Any]:
    """What gives another process of this host the same settings, as JSON can hold it.

    A Database object cannot be handed over: the module that configured it does so again where it is imported.
    Raises ConfigurationError for machines of the main script.
    """
    return {
        "database_url": settings.database_url,
        "schema": settings.schema,
        "redis_url": settings.redis_url,
        "queues": dict(settings.queues),
        "machines": [_module_name(source) for source in settings.machines],
        "home": str(settings.home.absolute()),
        "release": settings.release,
        "setup": settings.setup,
        "search_timeout": settings.search_timeout,
        "async_threads": settings.async_threads,
        "run_on": settings.run_on,
        "queue_limits": {queue: limit.plain for queue, limit in settings.queue_limits.items()},
        "web_url": settings.web_url,
        "alarms": [alarm.as_plain() for alarm in settings.alarms],
        "permissions": None if settings.permissions is None else settings.permissions.as_plain(),
        "channels": {name: channel.as_plain() for name, channel in (settings.channels or {}).items()} or None,
    }


def take_over(handed: Mapping[str, Any]) -> None:
    """Work with what ``handed_over`` gave in another process. What sets a framework up there is imported first."""
    _chosen.has_told = True  # by the process that handed it over
    if (setup := handed.get("setup")) is not None:
        import_module(setup)
    given = handed.get("permissions")
    permissions = None if given is None else read_permissions(given, "the permissions of the supervisor")
    channels = handed.get("channels")
    if channels is not None:
        channels = _of_channels().read_channels(channels, "the channels of the supervisor")
    found = {**handed, "machines": tuple(handed["machines"]), "home": Path(handed["home"])}
    alarms = alarms_of.read_alarms(handed.get("alarms", []), "the alarms of the supervisor")
    found["queue_limits"] = read_queue_limits(handed.get("queue_limits", {}), "the queue limits of the supervisor")
    choose(Settings(**{**found, "permissions": permissions, "channels": channels, "alarms": alarms}))


def _module_name(source: MachineSource) -> str:
    name = source if isinstance(source, str) else source.__name__ if isinstance(source, ModuleType) else None
    name = name or getattr(source, "__module__", "__main__")
    if name == "__main__":
        raise ConfigurationError(
            f"{source!r} is defined in the main script, which worker processes cannot import; "
            f"move it to a module and name that in FSMFLOW_MACHINES"
        )
    return str(name)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
