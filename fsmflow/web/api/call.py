"""``Call``: a request to the API, read and checked; ``Answer``: what it gets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from starlette.responses import Response

from fsmflow.decision.inputs import Actor, checked_text
from fsmflow.errors import DataError, shown
from fsmflow.objects.plain import plain
from fsmflow.values import dataclass
from fsmflow.web.api.field import canonical

KEY: Final = "Idempotency-Key"
MATCH: Final = "If-Match"
#: What an answer says that was given before: nothing was done again.
REPEATED: Final = {"Idempotency-Replayed": "true"}
#: Proxies that compress answers make a tag a weak one.
_TAG: Final = re.compile(r'(?:W/)?"?([0-9]{1,18})"?')


@dataclass(frozen=True, kw_only=True)
class Call:
    """``path``, ``query`` and ``body`` as they are declared. ``key``: by which it is known when it is repeated.
    ``epoch``: what was seen of the entity."""

    actor: Actor
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    key: str | None = None
    epoch: int | None = None

    @property
    def form(self) -> str | None:
        """A digest of all that came with the request, where it has a key: with another one it is another request."""
        return None if self.key is None else hashlib.sha256(canonical(self.body).encode()).hexdigest()[:32]

    @property
    def asked(self) -> dict[str, Any]:
        """What every request to the engine takes."""
        return {
            "actor": self.actor,
            "reason": self.body.get("reason"),
            "key": self.key,
            "form": self.form,
            "epoch": self.epoch,
        }


@dataclass(frozen=True, kw_only=True)
class Answer:
    """``epoch``: that of the entity that is told, which becomes its ``ETag``."""

    content: Any
    status: int = 200
    epoch: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def key_of(text: str | None) -> str | None:
    """The key of a request. Raises DataError."""
    return None if text is None else checked_text(text, KEY)


def epoch_of(text: str | None) -> int | None:
    """The epoch that a request was made for; None for any. Raises DataError."""
    if text is None or text.strip() == "*":
        return None
    found = _TAG.fullmatch(text.strip())
    if found is None:
        raise DataError(f'{MATCH} is {shown(text)}; it is the ETag of the entity, such as "7", or *')
    return int(found[1])


def response_of(answer: Answer, media_type: str = "application/json") -> Response:
    """An answer as it is sent."""
    text = json.dumps(answer.content, default=plain)
    headers = {"Cache-Control": "no-store", **answer.headers}
    if answer.epoch is not None:
        headers["ETag"] = f'"{answer.epoch}"'
    return Response(text, status_code=answer.status, headers=headers, media_type=media_type)
