"""Who listens: worker processes, with the code that they run. Told in Redis, and gone from it soon after they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from fsmflow.dispatch.prefix import own_key
from fsmflow.values import dataclass

if TYPE_CHECKING:
    from redis import Redis

#: For so long nothing need be heard of a supervisor before its processes count as gone.
HEARD_MS: Final = 30_000


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What some code can run of a machine: entities up to ``version``, in states (``"charging"``) and branches of
    states (``"checking/credit"``) that have a job, by all names under which they may be stored."""

    version: int
    runs: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A worker process. ``name`` begins with that of its supervisor; ``since`` in UTC milliseconds.

    ``release`` is that of the code that it has loaded, ``source`` a digest of the source of its machines.
    """

    name: str
    pid: int
    host: str
    since: int
    queues: tuple[str, ...]
    release: str | None
    source: str | None
    machines: Mapping[str, Abilities]

    def to_text(self) -> str:
        machines = {name: [found.version, sorted(found.runs)] for name, found in self.machines.items()}
        return json.dumps({**vars(self), "machines": machines})

    @classmethod
    def from_text(cls, text: str) -> Listener | None:
        """None for what another release of fsmflow, or somebody else, wrote in a way of its own."""
        try:
            told = json.loads(text)
            known = {each.name: told[each.name] for each in fields(cls)}
            machines = {
                str(name): Abilities(version=int(version), runs=frozenset(runs))
                for name, (version, runs) in told["machines"].items()
            }
            return cls(**{**known, "queues": tuple(told["queues"]), "machines": machines})
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def key_of(installation: str, supervisor: str) -> str:
    """The hash with the processes of a supervisor."""
    return own_key(installation, f"listeners:{supervisor}")


def present(client: Redis, installation: str, listener: Listener) -> None:
    """Tell of a process; its supervisor keeps that alive. One round trip. Raises RedisError and OSError."""
    key = key_of(installation, _supervisor_of(listener.name))
    pipe = client.pipeline(transaction=False)
    pipe.hset(key, listener.name, listener.to_text())
    pipe.pexpire(key, HEARD_MS)
    pipe.execute()


def absent(client: Redis, installation: str, name: str) -> None:
    """A process has ended. Raises RedisError and OSError."""
    client.hdel(key_of(installation, _supervisor_of(name)), name)


def found(client: Redis, installation: str, supervisors: Iterable[str]) -> list[Listener]:
    """The processes of these supervisors, the oldest first. One round trip. Raises RedisError and OSError."""
    pipe = client.pipeline(transaction=False)
    for supervisor in supervisors:
        pipe.hvals(key_of(installation, supervisor))
    told: list[Any] = pipe.execute() if len(pipe) else []
    listeners = [Listener.from_text(text.decode("utf-8", "replace")) for texts in told for text in texts]
    return sorted((each for each in listeners if each is not None), key=lambda each: (each.since, each.name))


def supervisors(client: Redis, installation: str) -> int:
    """How many supervisors have told that they live, and not that they end. Raises RedisError and OSError."""
    found: Any = client.zcard(own_key(installation, "supervisors"))
    return int(found)


def _supervisor_of(process: str) -> str:
    return process.partition(".")[0]
