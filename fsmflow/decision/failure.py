"""What is recorded of an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import cast

from fsmflow import clock, codec
from fsmflow.causes import blocks, origin_of
from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.decision.fingerprint import Kind, print_of
from fsmflow.errors import GuardError, MethodError, name_of, text_of
from fsmflow.values import dataclass

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def describe(facts: Facts, snapshot: Snapshot, now: int, mask: Callable[[str], str]) -> Failure:
    """The failure that is recorded for an error in the state that the entity is in. ``mask`` comes before anything is
    clipped, or counted as the same: half a secret would not be found."""
    message = mask(facts.message)
    alike = message if facts.alike is None else mask(facts.alike)
    own = (snapshot.entity_id, snapshot.entity_id.partition("/")[0], *_item(snapshot))
    kind = Kind(snapshot.machine, snapshot.state, facts.error_type, alike, own, facts.origin)
    found = print_of(kind)
    return Failure(
        error_type=clip(facts.error_type, 200),
        message=clip(message, 2_000),
        traceback=fitted([mask(block) for block in facts.blocks], 8_000),
        state=snapshot.state,
        attempts=snapshot.work.attempt if snapshot.work else 1,
        at=clock.to_datetime(now),
        fingerprint=found.fingerprint,
        permanent=facts.permanent,
        origin=facts.origin,
        recipe=found.recipe,
        former=found.former,
    )


def _item(snapshot: Snapshot) -> tuple[str, ...]:
    item = codec.decode(snapshot.item_text) if snapshot.item_text else None
    return (item,) if isinstance(item, str) else ()


def clip(text: str, limit: int) -> str:
    """The end of a text, where it is too long; without what a database or a terminal could not take."""
    text = sound(text)
    return text if len(text) <= limit else "..." + text[-limit:]


def sound(text: str) -> str:
    """A text without what a database or a terminal could not take."""
    return _UNPRINTABLE.sub(" ", text.encode("utf-8", "replace").decode())


def fitted(blocks: Sequence[str], limit: int) -> str:
    """Texts one after the other. Where they are too long together, the long ones share what the short ones leave, and
    of each its beginning and its end are kept."""
    room, left = limit - 3 * (len(blocks) - 1), len(blocks)
    shares: dict[int, int] = {}
    for index in sorted(range(len(blocks)), key=lambda index: len(blocks[index])):
        shares[index] = min(len(blocks[index]), room // left)
        room, left = room - shares[index], left - 1
    return "".join(_shortened(sound(block), shares[index]) for index, block in enumerate(blocks))


def _shortened(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}...{text[half - limit :]}"


def kind_of(error: BaseException) -> type[BaseException]:
    """What an error is recorded as: what a guard or method of the user's raised, rather than that it did."""
    # Not isinstance, which asks the error itself what it is.
    kind = type(error)
    return type(error.__cause__) if issubclass(kind, GuardError | MethodError) and error.__cause__ is not None else kind


def facts_of(error: BaseException, message: str, owner: type) -> Facts:
    """What is known of an error that a guard, callback or method of ``owner`` raised, which no retry would mend."""
    origin = origin_of(error, owner.__module__)
    return Facts(kind=kind_of(error), message=message, traceback=blocks(error), permanent=True, origin=origin)


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
    ``origin``: where in the code of the user it was raised; None where that tells nothing of its kind.
    ``raised``: the error itself, and ``behind`` in one line what is behind it; both for the log alone."""

    kind: type[BaseException]
    message: str
    traceback: str | tuple[str, ...] = ""
    permanent: bool = False
    within: tuple[type[BaseException], ...] = ()
    alike: str | None = None
    origin: str | None = None
    raised: BaseException | None = field(default=None, repr=False, compare=False)
    behind: str = ""

    @property
    def error_type(self) -> str:
        return name_of(self.kind)

    @property
    def blocks(self) -> tuple[str, ...]:
        return (self.traceback,) if isinstance(self.traceback, str) else self.traceback
