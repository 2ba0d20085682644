"""Whether the texts of a row can be read."""

from __future__ import annotations

import json

from fsmflow.verify.report import Findings
from fsmflow.verify.rows import Entity


def unreadable(text: str | None, *, kind: type | None = None) -> str | None:
    """Why a stored text is no JSON, or not of this kind; None where it is, or where there is no text."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        return f"{error}: {text[:60]!r}"
    if kind is not None and not isinstance(found, kind):
        return f"it is no object: {text[:60]!r}"
    return None


def check_texts(entity: Entity, findings: Findings) -> None:
    """The texts of an entity's row are JSON; its data and its event are objects."""
    texts = (("data", entity.data, dict), ("event", entity.event, dict), ("failure", entity.failure, dict))
    more = (("visits", entity.visits, dict), ("result", entity.result, None), ("item", entity.item, None))
    for name, text, kind in (*texts, *more):
        why = unreadable(text, kind=kind)
        if why:
            findings.add("readable", entity.address, f"{name} is no JSON: {why}")
