"""Which failures are of one kind: a fingerprint of what they have in common, made by a recipe that has a number.

A recipe is never changed once it was released, as failures that are known would count as new ones. A better one gets
the next number, and the older ones stay: by them a group that is known is found again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final, NamedTuple

#: As much of a message is looked at; and so much of what is left of it tells kinds apart.
_MOST_READ: Final = 2_000
_MOST_TOLD: Final = 200
#: What is shorter may be a word of any message.
_WORD: Final = 3
_MONTH: Final = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\.?"
_VARYING: Final = (
    r"\b[a-z][a-z0-9+.-]{0,30}://[^\s'\"<>]+",
    r"[^\s@'\"<>:,;(]{1,200}@[^\s@'\"<>:,;)]+",
    rf"\b(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +)?(?:\d{{1,2}} +{_MONTH}|{_MONTH} +\d{{1,2}}\b)",
    # What is quoted may have an apostrophe in it, and "can't" begins no quotation.
    r"(?<!\w)'(?:[^'\n]|'(?=\w))*'(?!\w)",
    r"\"[^\"\n]*\"|`[^`\n]*`|“[^”\n]*”|«[^»\n]*»",
    # Numbers, moments, UUIDs, hexadecimal digits, tokens: words with a digit in them.
    r"(?<!\w)[-+]?\w*\d\w*|\b[0-9a-f]{8,}\b",
)
_SEVERAL: Final = r"\*(?:[\s,.:;/_+-]*\*)+"


class Kind(NamedTuple):
    """What a fingerprint is made of. ``own``: what the entity is called, and the item that it was made for. ``origin``:
    the place in the code of the user where it was raised, as ``causes.origin_of`` tells it."""

    machine: str
    state: str
    error_type: str
    message: str
    own: tuple[str, ...] = ()
    origin: str | None = None


def common(message: str, own: Iterable[str]) -> str:
    """What a message has in common with those of others: no numbers, moments, ids or addresses, and nothing in
    quotes."""
    message = message[:_MOST_READ]
    for name in own:
        if len(name) >= _WORD:
            message = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "*", message)
    for pattern in _varying():
        message = pattern.sub("*", message)
    return re.sub(_SEVERAL, "*", message)[:_MOST_TOLD]


@cache
def _varying() -> tuple[re.Pattern[str], ...]:
    # At the first failure: who only defines machines does not wait for these.
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in _VARYING)


def _first(kind: Kind) -> str:
    return "\n".join((kind.machine, kind.state, kind.error_type, common(kind.message, kind.own), kind.origin or ""))


#: By number, the oldest first; the last one is in force.
RECIPES: Mapping[int, Callable[[Kind], str]] = {1: _first}


class Print(NamedTuple):
    """A fingerprint, the number of the recipe that it was made by, and those that the older recipes make of the same
    failure."""

    fingerprint: str
    recipe: int
    former: tuple[str, ...]


def print_of(kind: Kind) -> Print:
    """The fingerprint of a failure: the same in each process and release, wherever the code lies."""
    *older, newest = sorted(RECIPES)
    return Print(_digest(newest, kind), newest, tuple(_digest(number, kind) for number in older))


def _digest(number: int, kind: Kind) -> str:
    text = f"{number}\n{RECIPES[number](kind)}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
