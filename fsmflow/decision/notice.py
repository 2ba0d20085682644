"""What is told to people and other systems, as the delivery that brings it to a channel."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from fsmflow import clock

#: The machine that comes with fsmflow for this, and what it is started with.
DELIVERY: Final = "delivery"
DELIVER: Final = "deliver"


def message_id(*parts: object) -> str:
    """The id of a message, which is that of its delivery: the same for the same parts, and for nothing else."""
    text = "\0".join(map(str, parts))
    return f"msg_{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:32]}"


def delivery_of(channel: str, type_: str, at: datetime, data: Mapping[str, Any], *, about: str) -> dict[str, Any]:
    """What a delivery is started with. ``data``: what the message says, with ``text``, a sentence for people;
    ``about``: the address of what it is about, by which deliveries are found. Secrets do not belong there."""
    message = {"timestamp": clock.iso(at), "data": dict(data)}
    return {"channel": channel, "type": type_, "about": about, "message": message}
