"""Failure groups as objects."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fsmflow.decision.actions import RESUME
from fsmflow.definition.names import RETRY
from fsmflow.failures import FailureGroup, Part
from fsmflow.objects import entities
from fsmflow.objects.plain import iso_of
from fsmflow.queries import StuckGroup


def command_of(group: FailureGroup, part: Part) -> str:
    """What works: for all of the group, where nothing else is hit by it, or for the example."""
    remedy = part.remedy
    if remedy.action not in (RETRY, RESUME):
        state = [remedy.state] if remedy.state else []
        return shlex.join(["fsmflow", remedy.action or "explain", remedy.address, *state])
    return shlex.join(["fsmflow", remedy.action, "--group", group.short])


def parts_of(group: FailureGroup) -> Iterator[dict[str, Any]]:
    """A group: one object for each part of it, or one where nothing rests in it."""
    known = _known(group)
    for part in group.parts:
        yield {**known, **_part(group, part)}
    if not group.parts:
        same = {name: getattr(group, name) for name in ("machine", "state", "error_type", "message")}
        yield {**known, **same, "count": 0, "example": None, "branches": False, "branch": None, "retry": None}


def _known(group: FailureGroup) -> dict[str, Any]:
    moments = ("life_at", "until", "noted_at")
    same = (
        "origin",
        "recipe",
        "seen",
        "first_release",
        "releases",
        "life",
        "life_by",
        "life_release",
        "most",
        "note",
        "link",
    )
    return {
        "group": group.id,
        "fingerprint": group.id,
        "fingerprints": list(group.fingerprints),
        **{name: getattr(group, name) for name in (*same, "noted_by", "sample")},
        "first_seen": iso_of(group.first_at),
        "last_seen": iso_of(group.last_at),
        **{name: _iso(getattr(group, name)) for name in moments},
        "causes": [vars(cause) for cause in group.causes],
    }


def _part(group: FailureGroup, part: Part) -> dict[str, Any]:
    """``retry`` is the command where a retry works; ``remedy`` what works, whatever it is."""
    command = command_of(group, part)
    return {
        **{name: getattr(part, name) for name in ("count", "machine", "state", "error_type", "message", "example")},
        "branches": part.of_branches,
        "branch": part.branch,
        "first_at": iso_of(part.first_at),
        "last_at": iso_of(part.last_at),
        "retry": command if part.remedy.action == RETRY else None,
        "remedy": {"action": part.remedy.action, "why": part.remedy.why, "command": command},
    }


def whole(group: FailureGroup) -> dict[str, Any]:
    """A group with its traceback and its parts."""
    same = ("machine", "state", "error_type", "message", "traceback", "count")
    parts = [_part(group, part) for part in group.parts]
    return {**_known(group), **{name: getattr(group, name) for name in same}, "parts": parts}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso_of(moment)


def stuck_object(group: StuckGroup) -> dict[str, Any]:
    """What is stuck for one reason."""
    names = ("count", "machine", "state", "example")
    return {**{name: getattr(group, name) for name in names}, "stuck": entities.stuck_object(group.stuck)}
