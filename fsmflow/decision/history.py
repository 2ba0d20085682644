"""What is told of an entity, line by line, and what each kind of line means."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, Final

from fsmflow.decision.edit import Edit
from fsmflow.decision.entity import Failure
from fsmflow.decision.kind import Kind
from fsmflow.redaction import hide
from fsmflow.values import dataclass, replace


class HistoryKind(Kind):
    """What a line of history tells. A kind that this release does not know means none of what is asked here."""

    START = "start"
    TRANSITION = "transition"
    INTERNAL = "internal"
    ATTEMPT_FAILED = "attempt_failed"
    CRASHED = "crashed"
    DEFERRED = "deferred"
    IGNORED = "ignored"
    DISCARDED = "discarded"
    SAVED = "saved"
    PAUSED = "paused"
    RESUMED = "resumed"
    FORCED = "forced"
    SKIPPED = "skipped"
    REWOUND = "rewound"
    HURRIED = "hurried"
    REVISED = "revised"
    UNSENT = "unsent"
    DELIVERED = "delivered"
    REFUSED = "refused"
    DROPPED = "dropped"
    ERASED = "erased"
    ASKED = "asked"

    @property
    def enters(self) -> bool:
        """Whether the entity enters a state, and its epoch grows by one."""
        return self in _ENTER

    @property
    def is_rerun(self) -> bool:
        """Whether an attempt has ended, and the job is run again in the same visit."""
        return self in _RUN_AGAIN

    @property
    def is_hooked(self) -> bool:
        """Whether ``on_transition`` is told of it, and channels can be."""
        return self in _ENTER or self is HistoryKind.INTERNAL


_ENTER: Final = frozenset(
    {
        HistoryKind.START,
        HistoryKind.TRANSITION,
        HistoryKind.FORCED,
        HistoryKind.SKIPPED,
        HistoryKind.REWOUND,
    }
)
_RUN_AGAIN: Final = frozenset({HistoryKind.ATTEMPT_FAILED, HistoryKind.CRASHED})


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """One line of an entity's history. ``dest`` is the state after it, ``actor`` a name, ``duration`` seconds.

    ``edit`` is what became of the data by hand, by a callback, or as a job's end met what others had written. What a
    job made of its data is not among it. ``version`` is that of the machine which wrote it: what it says is legal by
    that, whatever the machine is by now. ``release`` is that of the code that wrote it: see ``FSMFLOW_RELEASE``.
    ``repeated``: it was there before, as what was asked for had been done with the same key; no two entries differ by
    that alone.
    """

    seq: int
    kind: HistoryKind
    at: datetime
    trigger: str | None
    source: str | None
    dest: str
    epoch: int
    attempt: int | None = None
    actor: str | None = None
    reason: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    failure: Failure | None = None
    duration: float | None = None
    version: int = 1
    edit: Edit | None = None
    release: str | None = None
    repeated: bool = field(default=False, compare=False)

    def hidden(self, keys: Collection[str]) -> HistoryEntry:
        """The same with masks for ``keys``, which may be redacted only since it was written."""
        edit = None if self.edit is None else self.edit.hidden(keys)
        return replace(self, payload=hide(self.payload, keys), edit=edit)
