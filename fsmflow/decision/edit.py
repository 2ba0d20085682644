"""What a line of history tells of the data: what was changed by hand or by callbacks, and what a job overwrote."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from fsmflow import codec
from fsmflow.decision.merge import MISSING, Path, grown, same
from fsmflow.errors import shown
from fsmflow.redaction import MASK, hide
from fsmflow.values import dataclass, replace

#: A line says what was changed; it is no copy of the data.
MAX_PATHS: Final = 50
MAX_VALUE: Final = 500
MAX_PATH: Final = 200
_PARTS = re.compile(r"[.\[\]]+")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What became of the data with one line of history, by path: ``customer.city``, ``log[3]`` for what was appended.

    ``changed`` has the new values, ``removed`` the paths that are gone. ``overwritten`` has what others had written
    while a job ran, and the job's value stands instead; None where they had removed something. Values have masks for
    what the machine redacts, and long ones are cut; ``more`` counts paths beyond the first fifty.
    """

    changed: Mapping[str, Any] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    overwritten: Mapping[str, Any] = field(default_factory=dict)
    more: int = 0

    def hidden(self, keys: Collection[str]) -> Edit:
        """The same with masks for ``keys``, which may be redacted only since it was written."""
        if not keys:
            return self
        changed, overwritten = (
            {path: _hidden(_PARTS.split(path), value, keys) for path, value in values.items()}
            for values in (self.changed, self.overwritten)
        )
        return replace(self, changed=changed, overwritten=overwritten)

    def to_text(self) -> str:
        return codec.encode({**self.__dict__, "removed": list(self.removed)}, what="edit", limit=2**20)

    @classmethod
    def from_text(cls, text: str) -> Edit:
        stored = codec.decode(text)
        return cls(**{**stored, "removed": tuple(stored["removed"])})

    def __str__(self) -> str:
        found = [f"{path}={shown(value)}" for path, value in self.changed.items()]
        found += [f"{path} removed" for path in self.removed]
        found += [f"overwrote {path}={shown(value)}" for path, value in self.overwritten.items()]
        return ", ".join([*found, *([f"and {self.more:,} more"] if self.more else [])])


def edit_of(
    before: Mapping[str, Any], after: Mapping[str, Any], overwritten: Mapping[Path, Any], keys: Collection[str]
) -> Edit | None:
    """What a line tells of data that were one thing before it, and are another after it; None where that is nothing."""
    changed: dict[str, Any] = {}
    removed: list[str] = []
    more = 0
    for path, value in _differences((), before, after):
        if len(changed) + len(removed) >= MAX_PATHS:
            more += 1
        elif value is MISSING:
            removed.append(_name(path))
        else:
            changed[_name(path)] = _told(path, value, keys)
    lost = {_name(path): _told(path, value, keys) for path, value in list(overwritten.items())[:MAX_PATHS]}
    more += len(overwritten) - len(lost)
    if not changed and not removed and not lost:
        return None
    return Edit(changed=changed, removed=tuple(removed), overwritten=lost, more=more)


def _differences(path: tuple[str | int, ...], before: Any, after: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if same(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in (*before, *(key for key in after if key not in before)):
            yield from _differences((*path, key), before.get(key, MISSING), after.get(key, MISSING))
        return
    tail = grown(before, after) if isinstance(before, list) and before else None
    if tail is None:
        yield path, after
    else:
        yield from (((*path, len(before) + index), item) for index, item in enumerate(tail))


def _name(path: tuple[str | int, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    return text if len(text) <= MAX_PATH else f"{text[: MAX_PATH - 3]}..."


def _told(path: tuple[str | int, ...], value: Any, keys: Collection[str]) -> Any:
    if value is MISSING:
        return None
    value = _hidden([part for part in path if isinstance(part, str)], value, keys)
    text = codec.encode(value, what="edit", limit=2**31)
    return value if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}... ({len(text):,} characters)"


def _hidden(path: list[str], value: Any, keys: Collection[str]) -> Any:
    return MASK if any(part in keys for part in path) else hide(value, keys)
