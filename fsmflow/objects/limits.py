"""Limits as objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fsmflow.objects.plain import iso
from fsmflow.store.usage import Holder, Used


def object_of(used: Used, holders: Iterable[Holder]) -> dict[str, Any]:
    """A limit as it is used, and who has permits of it."""
    moments = {name: None if getattr(used, name) is None else iso(getattr(used, name)) for name in ("since", "room_at")}
    return {
        **{name: getattr(used, name) for name in ("name", "template", "running", "per_minute", "held", "started")},
        "waiting": used.waiting,
        **moments,
        "holders": [{"address": each.address, "since": iso(each.at)} for each in holders if each.name == used.name],
    }
