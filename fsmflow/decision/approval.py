"""What an approval link says, and the text that it is: who may fire which trigger on which entity, as it stands."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from typing import Any, Final

from fsmflow import codec
from fsmflow.errors import DataError
from fsmflow.values import dataclass

#: Of what is signed with this key nothing else begins so.
_PURPOSE: Final = b"fsmflow.approval.1\n"
#: Longer addresses are cut by what people read their mail with.
MAX_TOKEN: Final = 1_600
#: What stands in it as it is, each by one letter.
_FIELDS: Final = {
    "m": "machine",
    "i": "entity_id",
    "n": "epoch",
    "t": "trigger",
    "p": "person",
    "u": "until",
    "l": "listed",
    "b": "by",
}
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, kw_only=True)
class Approval:
    """``person`` may fire ``trigger`` on an entity, while that has this ``epoch`` and until a moment in UTC
    milliseconds. ``roles``: those that the person acts with; where ``listed``, those that the installation lists at
    that time. ``teams``: those of the entity. ``by``: who has made the link, where that was told."""

    machine: str
    entity_id: str
    epoch: int
    trigger: str
    person: str
    until: int
    roles: frozenset[str] = frozenset()
    listed: bool = False
    teams: tuple[str, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)
    by: str | None = None

    @property
    def address(self) -> str:
        """Of the entity."""
        return f"{self.machine}:{self.entity_id}"

    @cached_property
    def text(self) -> str:
        """What is signed. Raises DataError for a payload that cannot be stored."""
        said = {name: getattr(self, field) for name, field in _FIELDS.items()}
        said |= {"r": sorted(self.roles), "g": list(self.teams), "d": dict(self.payload)}
        return codec.encode(said, what="the payload of a link")

    @property
    def key(self) -> str:
        """The key of the request that it stands for: used with it, the link is used up."""
        return f"link:{hashlib.sha256(self.text.encode()).hexdigest()[:40]}"

    def signed(self, secret: bytes) -> str:
        """The token that stands in the address of the link. Raises DataError for one that would be too long."""
        token = f"{_encoded(self.text.encode())}.{_encoded(_signature(secret, self.text.encode()))}"
        if len(token) > MAX_TOKEN:
            raise DataError(
                f"{self.address}: a link to {self.trigger!r} would have {len(token):,} characters, and {MAX_TOKEN:,} "
                f"are allowed: give it less of a payload"
            )
        return token


def approval_of(secret: bytes, token: str) -> Approval | None:
    """What a token says; None for what was not signed with this secret. Compared in constant time."""
    found = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN else None
    if found is None:
        return None
    try:
        text, signature = _decoded(found[1]), _decoded(found[2])
    except binascii.Error:
        return None
    if not hmac.compare_digest(signature, _signature(secret, text)):
        return None
    said = codec.decode(text.decode())
    plain = {field: said[name] for name, field in _FIELDS.items()}
    return Approval(**plain, roles=frozenset(said["r"]), teams=tuple(said["g"]), payload=said["d"])


def _signature(secret: bytes, text: bytes) -> bytes:
    return hmac.new(secret, _PURPOSE + text, hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
