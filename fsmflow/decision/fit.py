"""Whether payloads and data fit the types that a machine declares for them; what is stored of those that do, and the
objects that the code of the user gets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from typing import Any, Final

from fsmflow import codec, shapes
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.merge import Path
from fsmflow.definition.model import Definition
from fsmflow.values import dataclass, replace

_THEN: Final = (
    "they were stored before their type was as it is: bring them up to it with version= and upgrade(), or by "
    "retry(data=...); plain_data shows them"
)
Masked = Callable[[str], str]


@dataclass(frozen=True)
class Settled:
    """The data as the end of a job leaves them, before anything is called back; what is in them is no edit.

    ``overwritten`` is what others had written. ``text`` is their stored form, None where nothing will change it.
    """

    data: dict[str, Any]
    overwritten: Mapping[Path, Any] = field(default_factory=dict)
    text: str | None = None

    def noted(self, definition: Definition) -> Settled:
        """The same, with their stored form where callbacks may go on from them. Raises DataError."""
        return replace(self, text=codec.encode(self.data)) if definition.calls_back else self


def fitting_payload(
    definition: Definition, trigger: str, payload: Mapping[str, Any], masked: Masked
) -> Mapping[str, Any]:
    """What is stored of a payload, with defaults filled in; as it is where its trigger has no type. ``masked`` takes
    out of what is told what the machine redacts. Raises Unfit."""
    declared = definition.wide.payloads.get(trigger)
    if declared is None:
        return payload
    return _checked(declared.shape, payload, f"{trigger}: payload", None, masked)


def fitting_data(
    definition: Definition, before: Snapshot | None, data: dict[str, Any], masked: Masked
) -> dict[str, Any]:
    """What is stored of data: all of it checked where they are new, else what differs from ``before``, as older rows
    need not fit. As they are where the machine declares no type. Raises Unfit."""
    declared = definition.wide.data
    if declared is None or (before is not None and before.branch_of is not None):
        return data
    if before is None:
        return _checked(declared.shape, data, "data", None, masked)
    was = before.data
    changed = [key for key in {**was, **data} if key not in data or key not in was or not _same(was[key], data[key])]
    return _checked(declared.shape, data, "data", changed, masked) if changed else data


def known_to(definition: Definition, data: dict[str, Any]) -> dict[str, Any]:
    """Of the data of a parent what its child declares; all where that declares nothing."""
    names = None if definition.wide.data is None else definition.wide.data.shape.fields
    return data if names is None else {name: value for name, value in data.items() if name in names}


def _checked(
    shape: shapes.Shape, value: Mapping[str, Any], what: str, only: Collection[str] | None, masked: Masked
) -> dict[str, Any]:
    try:
        return shape.check(value, what, only)
    except shapes.Unfit as error:
        faults = [shapes.Fault(fault.place, masked(fault.text)) for fault in error.faults]
        raise shapes.Unfit(what, faults) from None


def made_of(shape: shapes.Shape, snapshot: Snapshot, data: Mapping[str, Any]) -> Any:
    """The object that data are by their type. Raises Unfit where old ones do not fit it any more."""
    try:
        return shape.make(data, f"{snapshot.address}: data")
    except shapes.Unfit as error:
        raise shapes.Unfit(error.what, error.faults, _THEN) from None


class TypedView:
    """The part of a view that hands data out as an object of their type; what is changed in that is a change of
    ``data``."""

    snapshot: Snapshot
    data: dict[str, Any]
    _shape: shapes.Shape | None = None
    _object: Any = None
    _handed_out: Mapping[str, Any] = {}

    def data_as(self, shape: shapes.Shape) -> Any:
        """The object, the same at each call. Raises Unfit."""
        if not shape.node.makes:
            return self.data
        if self._shape is None:
            self._shape, self._object = shape, made_of(shape, self.snapshot, self.data)
            self._handed_out = shapes.plain(self._object)
        return self._object

    def taken_back(self) -> dict[str, Any]:
        """The data, with what was changed in the object."""
        if self._shape is not None:
            now = shapes.plain(self._object)
            for key in {**self._handed_out, **now}:
                if key not in now:
                    self.data.pop(key, None)
                elif key not in self._handed_out or not _same(now[key], self._handed_out[key]):
                    self.data[key] = now[key]
            self._handed_out = now
        return self.data

    def forget_object(self) -> None:
        """Other data are there in the place of those that it was made of."""
        self._shape = None

    def renew_object(self) -> None:
        """The data have changed: so does the object, which the job may hold."""
        if self._shape is None:
            return
        fresh = made_of(self._shape, self.snapshot, self.data)
        self._handed_out = shapes.plain(fresh)
        if isinstance(fresh, dict):
            self._object.clear()
            self._object.update(fresh)
            return
        try:
            for name in self._shape.fields or ():
                setattr(self._object, name, getattr(fresh, name))
        except (AttributeError, TypeError, ValueError):
            self._object = fresh  # it cannot be changed, so nobody has changed it


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
