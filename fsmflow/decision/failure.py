"""What is recorded of an error."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from fsmflow import clock, codec
from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.errors import GuardError, MethodError, name_of, text_of

_VARYING = re.compile(r"0x[0-9a-f]+|\d+|'[^']*'|\"[^\"]*\"", re.IGNORECASE)
#: What is shorter may be a word of any message.
_WORD = 3
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def describe(facts: Facts, snapshot: Snapshot, now: int, mask: Callable[[str], str]) -> Failure:
    """The failure that is recorded for an error in the state that the entity is in. ``mask`` comes before anything is
    clipped, or counted as the same: half a secret would not be found."""
    message = mask(facts.message)
    alike = message if facts.alike is None else mask(facts.alike)
    kind = f"{snapshot.machine}:{snapshot.state}:{facts.error_type}:{_common(alike, snapshot)[:200]}"
    return Failure(
        error_type=clip(facts.error_type, 200),
        message=clip(message, 2_000),
        traceback=fitted([mask(block) for block in facts.blocks], 8_000),
        state=snapshot.state,
        attempts=snapshot.work.attempt if snapshot.work else 1,
        at=clock.to_datetime(now),
        fingerprint=hashlib.sha256(kind.encode("utf-8", "replace")).hexdigest()[:12],
        permanent=facts.permanent,
    )


def _common(message: str, snapshot: Snapshot) -> str:
    """What the message of an entity has in common with those of others: no numbers, nothing in quotes, not what the
    entity is called, nor the item that it was made for."""
    item = codec.decode(snapshot.item_text) if snapshot.item_text else None
    for own in (snapshot.entity_id, snapshot.entity_id.partition("/")[0], item):
        if isinstance(own, str) and len(own) >= _WORD:
            message = re.sub(rf"(?<!\w){re.escape(own)}(?!\w)", "*", message)
    return _VARYING.sub("*", message)


def clip(text: str, limit: int) -> str:
    """The end of a text, where it is too long; without what a database or a terminal could not take."""
    text = _sound(text)
    return text if len(text) <= limit else "..." + text[-limit:]


def _sound(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text.encode("utf-8", "replace").decode())


def fitted(blocks: Sequence[str], limit: int) -> str:
    """Texts one after the other. Where they are too long together, the long ones share what the short ones leave, and
    of each its beginning and its end are kept."""
    room, left = limit - 3 * (len(blocks) - 1), len(blocks)
    shares: dict[int, int] = {}
    for index in sorted(range(len(blocks)), key=lambda index: len(blocks[index])):
        shares[index] = min(len(blocks[index]), room // left)
        room, left = room - shares[index], left - 1
    return "".join(_shortened(_sound(block), shares[index]) for index, block in enumerate(blocks))


def _shortened(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}...{text[half - limit :]}"


def kind_of(error: BaseException) -> type[BaseException]:
    """What an error is recorded as: what a guard or method of the user's raised, rather than that it did."""
    # Not isinstance, which asks the error itself what it is.
    kind = type(error)
    return type(error.__cause__) if issubclass(kind, GuardError | MethodError) and error.__cause__ is not None else kind


def raised(what: str, error: BaseException, *, why: str | None = None) -> str:
    """``what`` raised an error, in words, which are those of ``why`` where it is given. A guard that did is named."""
    if not issubclass(type(error), GuardError):
        return f"{what} raised {name_of(type(error))}: {text_of(error) if why is None else why}"
    mistake, cause = cast(GuardError, error), error.__cause__
    if cause is None:
        return f"{what}: {mistake.detail}"
    guard = f"guard {mistake.guard!r} of {mistake.trigger!r}"
    return f"{what} raised {name_of(type(cause))}: {text_of(cause)} ({guard})"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of an error. ``kind`` is its class, which the retry policy is asked about, as it is about those of
    the groups that it was ``within``. ``traceback`` may be several texts, so that none of them crowds out the rest.
    ``raised``: the error itself, and ``behind`` in one line what is behind it; both for the log alone."""

    kind: type[BaseException]
    message: str
    traceback: str | tuple[str, ...] = ""
    permanent: bool = False
    within: tuple[type[BaseException], ...] = ()
    alike: str | None = None
    raised: BaseException | None = field(default=None, repr=False, compare=False)
    behind: str = ""

    @property
    def error_type(self) -> str:
        return name_of(self.kind)

    @property
    def blocks(self) -> tuple[str, ...]:
        return (self.traceback,) if isinstance(self.traceback, str) else self.traceback
