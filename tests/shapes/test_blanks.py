"""The fields of a form that a type comes to, and what a text in each means."""

from __future__ import annotations

import dataclasses
from datetime import date
from enum import Enum
from types import GenericAlias
from typing import Any, Literal

import msgspec
import pydantic
import pytest

from fsmflow.shapes import shape_of
from fsmflow.shapes.blanks import blanks_of


class Size(Enum):
    small = 1
    large = 2


@dataclasses.dataclass
class Form:
    """One of each kind."""

    name: str
    count: int
    share: float
    is_new: bool
    way: Literal["a", "b"]
    size: Size = Size.small
    day: date | None = None
    perhaps: bool | None = None
    below: list[Form] = dataclasses.field(default_factory=list)


class Model(pydantic.BaseModel):
    """The same by pydantic."""

    count: int
    size: Size = Size.large
    below: Model | None = None


@pytest.mark.parametrize(
    ("name", "kind", "text", "value"),
    [
        ("name", "text", " x", " x"),
        ("count", "number", "-5", -5),
        ("count", "number", "5.5", "5.5"),
        ("share", "number", "5e-1", 0.5),
        ("is_new", "check", "yes", True),
        ("way", "choice", "b", "b"),
        ("way", "choice", "c", "c"),
        ("size", "choice", "2", 2),
        ("day", "text", "", None),
        ("day", "text", "2030-01-31", "2030-01-31"),
        ("perhaps", "choice", "", None),
        ("perhaps", "choice", "false", False),
        ("below", "area", '[{"name": "y"}]', [{"name": "y"}]),
        ("below", "area", "[", "["),
    ],
)
def test_a_text_means_what_its_field_is(name: str, kind: str, text: str, value: Any) -> None:
    blank = blanks_of(shape_of(Form).schema())[name]
    assert (blank.kind, blank.value_of(text)) == (kind, value)


def test_which_fields_may_be_left_empty_and_what_stands_there() -> None:
    blanks = blanks_of(shape_of(Form).schema())
    assert [name for name, blank in blanks.items() if blank.is_optional] == ["size", "day", "perhaps", "below"]
    assert (blanks["size"].default, blanks["below"].default) == (1, [])


def test_a_model_that_holds_itself_has_its_fields_too() -> None:
    blanks = blanks_of(shape_of(Model).schema())
    assert {name: blank.kind for name, blank in blanks.items()} == {
        "count": "number",
        "size": "choice",
        "below": "area",
    }


def _line(base: Any, **hints: Any) -> Any:
    """A class that is called as others are."""
    made = type("Line", (base,), {"__annotations__": hints, "__module__": __name__})
    return dataclasses.dataclass(made) if base is object else made


@pytest.mark.parametrize("base", [object, pydantic.BaseModel, msgspec.Struct])
def test_two_classes_of_one_name_have_a_schema_each(base: Any) -> None:
    one, other = _line(base, what=str), _line(base, price=float)
    holder = dataclasses.make_dataclass("Holder", [("a", one), ("b", other), ("c", GenericAlias(list, (one,)))])
    told = shape_of(holder).schema()
    first, second = (told["properties"][name]["$ref"] for name in "ab")
    assert told["properties"]["c"]["items"]["$ref"] == first
    named = {f"#/$defs/{name}": list(schema["properties"]) for name, schema in told["$defs"].items()}
    assert named == {first: ["what"], second: ["price"]}
    assert {first, second} == {"#/$defs/Line", "#/$defs/Line_2"}


@pytest.mark.parametrize("base", [pydantic.BaseModel, msgspec.Struct])
def test_so_have_those_in_models_of_one_name_each(base: Any) -> None:
    one, other = (_line(base, inner=_line(base, **{name: int})) for name in ("what", "price"))
    told = shape_of(dataclasses.make_dataclass("Holder", [("a", one), ("b", other)])).schema()
    for name, leaf in (("a", "what"), ("b", "price")):
        held = told["$defs"][told["properties"][name]["$ref"].rpartition("/")[2]]
        inner = told["$defs"][held["properties"]["inner"]["$ref"].rpartition("/")[2]]
        assert list(inner["properties"]) == [leaf]
