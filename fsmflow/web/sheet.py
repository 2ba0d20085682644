"""The fields of a form for what has a declared type: as a form shows them, and what was filled in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from fsmflow import shapes
from fsmflow.definition.annotations import Declared
from fsmflow.redaction import MASK
from fsmflow.shapes.blanks import Blank, blanks_of, written
from fsmflow.values import dataclass
from fsmflow.web.form import Field

#: What the name of a field begins with, so that it is none of the form's own.
_PREFIX: Final = "field."


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The fields of one declared type. ``now``: what is there already, by name; what is hidden is left as it is."""

    blanks: Mapping[str, Blank]
    now: Mapping[str, Any]
    hidden: Collection[str] = ()

    @property
    def fields(self) -> list[Field]:
        """The fields, as a form shows them."""
        texts = self.shown({})
        return [
            _field(blank, texts[_PREFIX + name], is_edit=bool(self.now))
            for name, blank in self.blanks.items()
            if name not in self.hidden
        ]

    def shown(self, given: Mapping[str, str]) -> dict[str, str]:
        """What stands in them: what was filled in, else what is there."""
        is_new = not any(name.startswith(_PREFIX) for name in given)
        found = {name: self.now.get(name, blank.default) for name, blank in self.blanks.items()}
        texts = {_PREFIX + name: _text(self.blanks[name], value) for name, value in found.items()}
        return texts if is_new else {name: text for name, text in given.items() if name.startswith(_PREFIX)}

    def read(self, given: Mapping[str, str]) -> dict[str, Any]:
        """The values that were filled in. An optional one that was left empty is not among them."""
        found: dict[str, Any] = {}
        for name, blank in self.blanks.items():
            text = _normal(given.get(_PREFIX + name, ""))
            if name in self.hidden:
                continue
            if blank.kind == "check":
                may_be_left_out = blank.is_optional and blank.default is None and name not in self.now
                if text == "on" or not may_be_left_out:
                    found[name] = text == "on"
            elif text.strip() or self.now.get(name) not in (None, ""):
                found[name] = blank.value_of(text)
            elif blank.takes_null and not blank.is_optional:
                found[name] = None
            elif blank.kind == "text" and not blank.is_optional:
                found[name] = ""
        return found

    def changes(self, given: Mapping[str, str]) -> dict[str, Any]:
        """What of that is another value than what was shown: nothing, where nobody touched the form."""
        was = self.shown({})
        return {
            name: value
            for name, value in self.read(given).items()
            if _normal(given.get(_PREFIX + name, "")).strip() != _normal(was[_PREFIX + name]).strip()
        }

    def faults(self, error: Exception | None) -> dict[str, str]:
        """What an error says of each field, by its name in the form."""
        if not isinstance(error, shapes.Unfit):
            return {}
        told: dict[str, str] = {}
        for fault in error.faults:
            if fault.place:
                name = _PREFIX + str(fault.place[0])
                inner = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.place[1:])
                text = f"{inner}: {fault.text}" if inner else fault.text
                told[name] = f"{told[name]}; {text}" if name in told else text
        return told


def sheet_of(
    declared: Declared | None, now: Mapping[str, Any] | None = None, redact: Collection[str] = ()
) -> Sheet | None:
    """The fields of a type; None where there is none, or none that says which fields there are."""
    if declared is None or not declared.shape.is_record:
        return None
    blanks = blanks_of(declared.shape.schema())
    there = dict(now or {})
    hidden = [name for name in blanks if now is not None and (name in redact or MASK in str(there.get(name)))]
    return Sheet(blanks=blanks, now=there, hidden=hidden)


def _field(blank: Blank, text: str, *, is_edit: bool) -> Field:
    """``text``: what stands in it at first. A browser shows that in a choice only where it can be chosen, and keeps
    the ends of lines in an area alone."""
    choices = [(written(value), written(value)) for value in blank.values]
    if blank.is_optional or blank.takes_null:
        choices = [("", "")] if blank.default is None else []
        choices += [(written(value), written(value)) for value in blank.values]
    is_lost = is_edit and blank.kind == "choice" and text not in dict(choices)
    if is_lost:
        choices = [(text, text), *choices]
    return Field(
        name=_PREFIX + blank.name,
        label=blank.name,
        kind="area" if blank.kind == "text" and "\n" in _normal(text) else blank.kind,
        hint=blank.hint,
        required=not blank.is_optional and not blank.takes_null and blank.kind != "check" and not is_lost,
        choices=choices,
    )


def _normal(text: str) -> str:
    """A text with the ends of its lines as they are here: browsers send others."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _text(blank: Blank, value: Any) -> str:
    if blank.kind == "check":
        return "on" if value else ""
    return _moment(value) or written(value)


def _moment(value: Any) -> str | None:
    """Dates and exact numbers, as they are written in a field."""
    if value is None or isinstance(value, (str, int, float, list, dict)):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
