"""Moments and numbers as JSON has them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fsmflow import clock


def iso(moment_ms: int) -> str:
    """A stored moment for JSON."""
    return clock.iso_of_ms(moment_ms)


def iso_of(moment: datetime) -> str:
    """An aware UTC datetime for JSON."""
    return clock.iso(moment)


def plain(value: Any) -> Any:
    """What JSON has no form for: moments in ISO 8601, Decimal and UUID as text. Raises TypeError."""
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"{value!r} ({type(value).__name__}) has no JSON form")
