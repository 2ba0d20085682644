"""Whether payloads and data fit the types that a machine declares for them; what is stored of those that do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fsmflow import shapes
from fsmflow.definition.model import Definition


def fitting_payload(
    definition: Definition, trigger: str, payload: Mapping[str, Any], masked: Callable[[str], str]
) -> Mapping[str, Any]:
    """What is stored of a payload, with defaults filled in; as it is where its trigger has no type. ``masked`` takes
    out of what is told what the machine redacts. Raises Unfit."""
    declared = definition.wide.payloads.get(trigger)
    if declared is None:
        return payload
    try:
        return declared.shape.check(payload, f"{trigger}: payload")
    except shapes.Unfit as error:
        raise hidden(error, masked) from None


def hidden(error: shapes.Unfit, masked: Callable[[str], str]) -> shapes.Unfit:
    """The same without what is redacted."""
    return shapes.Unfit(error.what, [shapes.Fault(fault.place, masked(fault.text)) for fault in error.faults])
