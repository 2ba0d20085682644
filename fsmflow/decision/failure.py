"""What is recorded of an error."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from fsmflow import clock
from fsmflow.decision.entity import Failure, Snapshot

_VARYING = re.compile(r"0x[0-9a-f]+|\d+|'[^']*'|\"[^\"]*\"", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def describe(facts: Facts, snapshot: Snapshot, now: int, mask: Callable[[str], str]) -> Failure:
    """The failure that is recorded for an error in the state that the entity is in. ``mask`` comes before anything is
    clipped, or counted as the same: half a secret would not be found."""
    message = mask(facts.message)
    kind = f"{snapshot.machine}:{snapshot.state}:{facts.error_type}:{_VARYING.sub('*', message)[:200]}"
    return Failure(
        error_type=clip(facts.error_type, 200),
        message=clip(message, 2_000),
        traceback=clip(mask(facts.traceback), 8_000),
        state=snapshot.state,
        attempts=snapshot.work.attempt if snapshot.work else 1,
        at=clock.to_datetime(now),
        fingerprint=hashlib.sha256(kind.encode("utf-8", "replace")).hexdigest()[:12],
        permanent=facts.permanent,
    )


def clip(text: str, limit: int) -> str:
    """The end of a text, where it is too long; without what a database or a terminal could not take."""
    text = _UNPRINTABLE.sub(" ", text.encode("utf-8", "replace").decode())
    return text if len(text) <= limit else "..." + text[-limit:]


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
