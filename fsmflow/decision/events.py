"""What can happen to an entity: the inputs of ``decide``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fsmflow.decision.records import Actor, Claim


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What all requests from outside have in common."""

    actor: Actor | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Triggered(Asked):
    """A trigger from outside. ``patch`` is merged into data first; ``new_key`` makes a retry a new step."""

    trigger: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    epoch: int | None = None
    patch: Mapping[str, Any] = field(default_factory=dict)
    new_key: bool = False


@dataclass(frozen=True, kw_only=True)
class Paused(Asked):
    """Hold what comes next."""


@dataclass(frozen=True, kw_only=True)
class Resumed(Asked):
    """Let go of what was held."""


@dataclass(frozen=True, kw_only=True)
class TimerFired:
    """The deadline or delay of the state is over."""


@dataclass(frozen=True, kw_only=True)
class Settling:
    """What all ends of an attempt have in common."""

    claim: Claim
    duration_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The top-level keys of data that a job set or removed."""

    changed: Mapping[str, Any] = field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def applied_to(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """``data`` with the changes; they win."""
        merged = {**data, **self.changed}
        for key in self.removed:
            merged.pop(key, None)
        return merged


@dataclass(frozen=True, kw_only=True)
class Returned(Settling):
    """The job returned: fire ``trigger`` with its changes merged."""

    trigger: str
    changes: Changes


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of an error. ``kind`` is its class, which the retry policy is asked about."""

    kind: type[BaseException]
    message: str
    traceback: str = ""
    permanent: bool = False

    @property
    def error_type(self) -> str:
        return self.kind.__name__


@dataclass(frozen=True, kw_only=True)
class Failed(Settling):
    """The job raised, or ran out of time."""

    facts: Facts


@dataclass(frozen=True, kw_only=True)
class Postponed(Settling):
    """The job raised RetryAfter."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Crashed(Settling):
    """The process that ran the attempt is gone, or stopped renewing its lease."""

    detail: str


@dataclass(frozen=True, kw_only=True)
class Saved(Settling):
    """The job asked to commit its data now."""

    changes: Changes


Happening = Triggered | Paused | Resumed | TimerFired | Returned | Failed | Postponed | Crashed | Saved
