"""How moments, spans and the like stand on pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from fsmflow import clock
from fsmflow.objects.entities import told_work
from fsmflow.objects.plain import iso_of, plain

Moment = int | datetime


def _moment(moment: Moment) -> str:
    return f"{_at(moment):%Y-%m-%d %H:%M:%S}"


def _clock(moment: Moment) -> str:
    return f"{_at(moment):%H:%M:%S}"


def _iso(moment: Moment) -> str:
    return iso_of(_at(moment))


def _at(moment: Moment) -> datetime:
    return moment if isinstance(moment, datetime) else clock.to_datetime(moment)


def _span(span_ms: int) -> str:
    return clock.short(max(0, span_ms))


def _later(moment: Moment, before: Moment) -> str:
    """How long after another one; nothing where that is less than a second."""
    span = _at(moment) - _at(before)
    return f"{_span(clock.to_ms(span))} later" if span.total_seconds() >= 1 else ""


def _json(value: Any) -> str:
    return json.dumps(value, default=plain, ensure_ascii=False)


FILTERS: Final[dict[str, Callable[..., str]]] = {
    "moment": _moment,
    "clock": _clock,
    "iso": _iso,
    "span": _span,
    "later": _later,
    "json": _json,
    "work": told_work,
}
