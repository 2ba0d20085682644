"""A message as it is sent: the same bytes each time that it is tried."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fsmflow import clock
from fsmflow.errors import shown
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Message:
    """``type`` says what happened, as ``order.shipped``; ``timestamp`` when, as text; ``data`` what there is of it."""

    id: str
    type: str
    timestamp: str
    data: Mapping[str, Any]

    @property
    def body(self) -> bytes:
        """What a webhook gets: JSON in UTF-8."""
        return written({"type": self.type, "timestamp": self.timestamp, "data": plain(self.data)})

    @property
    def with_id(self) -> bytes:
        """The same, with the id, for what has no headers."""
        whole = {"id": self.id, "type": self.type, "timestamp": self.timestamp, "data": plain(self.data)}
        return written(whole)

    @property
    def text(self) -> str:
        """A sentence for people."""
        said = self.data.get("text")
        return said if isinstance(said, str) and said else self.type


def written(value: Any) -> bytes:
    """JSON, in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def plain(value: Any) -> Any:
    """A value as JSON has it: moments, sums and ids of data are texts there."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return clock.iso(value) if value.utcoffset() is not None else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return shown(value)
