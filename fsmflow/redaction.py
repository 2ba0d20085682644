"""What people must not see: values under the keys that a machine's ``redact`` names, and passwords in URLs.

The program itself gets the true values; here is what is written into history, failures and logs, and shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote, quote_plus
from uuid import UUID

from fsmflow.errors import shown

MASK: Final = "[redacted]"
#: What is shorter stands in any text by chance.
_SHORTEST: Final = 4
_IN_URL = re.compile(r"(?<=://)([^:@/?#]*):.*@", re.DOTALL)
#: In what was meant for a URL, and lacks the ``//``.
_IN_NO_URL = re.compile(r":.*@", re.DOTALL)
_IN_QUERY = re.compile(r"([?&][^=&#]*(?:pass|secret|token)[^=&#]*=)[^&#]*", re.IGNORECASE)


def hide(value: Any, keys: Collection[str]) -> Any:
    """``value`` with the mask in place of whatever stands under one of ``keys``, at any depth."""
    if not keys:
        return value
    if isinstance(value, Mapping):
        return {name: MASK if name in keys else hide(item, keys) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide(item, keys) for item in value]
    return value


def hide_in_text(text: str, keys: Collection[str], *sources: Any) -> str:
    """``text`` with the mask in place of every value that stands under one of ``keys`` in ``sources``.

    Found are texts of at least 4 characters and numbers of at least 4 digits: as they are, as ``repr`` and JSON write
    them, and as they stand in a URL. What was hashed, encoded otherwise or cut in two is not.
    """
    if not keys or not text:
        return text
    forms = {form for source in sources for leaf in _leaves(source, keys) for form in _forms(leaf)}
    if not forms:
        return text
    # A mask that is there already stays whole; of two values, one of which begins with the other, the longer one goes.
    wanted = [MASK, *sorted(forms, key=len, reverse=True)]
    return re.sub("|".join(map(re.escape, wanted)), MASK, text)


def hide_password(url: str) -> str:
    """A URL as it may be shown: without the password, even where that has characters that a URL cannot have, and where
    this is no URL at all."""
    shown = _IN_URL.sub(r"\1:***@", url) if "://" in url else _IN_NO_URL.sub(":***@", url)
    return _IN_QUERY.sub(r"\1***", shown)


def unreadable(url: str, error: ValueError) -> str:
    """Why a URL cannot be read; the message of the error itself may quote a part of the password."""
    if "@" not in url:
        return str(error)
    return "in the user and the password, write % as %25, and : / ? # [ ] @ as %3A %2F %3F %23 %5B %5D %40"


def _leaves(value: Any, keys: Collection[str]) -> Iterator[Any]:
    """The single values that stand under one of ``keys``. What a job has made of its data may be of any depth, and go
    round in a circle."""
    left: list[tuple[Any, bool]] = [(value, False)]
    met: set[tuple[int, bool]] = set()
    while left:
        found, hidden = left.pop()
        if isinstance(found, (Mapping, list, tuple, set, frozenset)):
            if (id(found), hidden) in met:
                continue
            met.add((id(found), hidden))
            items = found.items() if isinstance(found, Mapping) else ((None, item) for item in found)
            left += [(item, hidden or name in keys) for name, item in items]
        elif hidden and found is not None and not isinstance(found, bool):
            yield found


def _forms(leaf: Any) -> Iterator[str]:
    """The texts as which a value may stand in a message."""
    if isinstance(leaf, str):
        found = _forms_of_text(str.__str__(leaf))
    elif isinstance(leaf, (int, float, Decimal)):
        text = shown(leaf) if isinstance(leaf, int) else str(leaf)
        found = [text] if sum(char.isdigit() for char in text) >= _SHORTEST else []
    elif isinstance(leaf, date):
        found = [str(leaf), leaf.isoformat(), repr(leaf)]
    elif isinstance(leaf, UUID):
        found = [str(leaf), leaf.hex]
    else:
        # Nothing that can be stored, and the refusal would quote it.
        found = [shown(leaf)]
    yield from (form for form in found if len(form) >= _SHORTEST)


def _forms_of_text(text: str) -> list[str]:
    if len(text) < _SHORTEST:
        return []
    sound = text.encode("utf-8", "replace").decode()
    clipped = shown(text)[1:].removesuffix("...") if len(text) > len(shown(text)) else ""
    written = [repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    return [text, sound, *written, quote(sound, safe=""), quote_plus(sound), clipped]
