"""What comes with a trigger, as a form of the admin asks for it: the fields of its type, or a JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fsmflow.definition.model import Definition
from fsmflow.web.difference import read_object
from fsmflow.web.form import Field
from fsmflow.web.sheet import sheet_of

#: The field that takes a JSON object.
JSON: Final = Field(name="payload", label="Payload", kind="area", hint="A JSON object.")
#: What is shown of a field: itself, what stands in it, and what is wrong with that.
Filled = tuple[Field, str, str]


def fields_of(
    definition: Definition, trigger: str, given: Mapping[str, str], error: Exception | None = None
) -> Sequence[Filled]:
    """The fields that ask for the payload of a trigger, with what was filled in."""
    return list(_fields(definition, trigger, given, error))


def _fields(
    definition: Definition, trigger: str, given: Mapping[str, str], error: Exception | None
) -> Iterator[Filled]:
    sheet = sheet_of(definition.wide.payloads.get(trigger))
    if sheet is None:
        yield JSON, given.get(JSON.name, ""), ""
        return
    texts, faults = sheet.shown(given), sheet.faults(error)
    for field in sheet.fields:
        yield field, texts.get(field.name, ""), faults.get(field.name, "")


def payload_in(definition: Definition, trigger: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What was filled in. Raises DataError for what is no JSON; its type is checked as the trigger comes."""
    sheet = sheet_of(definition.wide.payloads.get(trigger))
    return read_object(given.get(JSON.name, ""), "the payload") if sheet is None else sheet.read(given)
