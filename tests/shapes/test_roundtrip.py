"""Types whose stored form is not what they are made of: stored so that they are read, or told at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pydantic
import pytest

from fsmflow import DataError, Machine, State
from fsmflow.shapes import shape_of
from fsmflow.testing import sandbox


@dataclasses.dataclass
class Net:
    """Its gross is made by itself."""

    net: int
    gross: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.gross = self.net * 2


class Sum(pydantic.BaseModel):
    """The same by pydantic."""

    net: int = pydantic.Field(validation_alias="netto")

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def gross(self) -> int:
        return self.net * 2


class Bill(pydantic.BaseModel):
    """Holds such parts at any depth."""

    sums: list[Sum] = []
    by_name: dict[str, Sum] = {}
    own: Net | None = None
    total: int = pydantic.Field(default=0, alias="inAll")


class Odd(pydantic.BaseModel):
    """Is written as it cannot be read."""

    count: int

    @pydantic.field_serializer("count")
    def _words(self, count: int) -> str:
        return f"{count} pieces"


class _Books:
    initial = "open"
    states = ["open", State("shut", final=True)]
    transitions = [["close", "open", "shut"]]


class Nets(_Books, Machine[Net]):
    """Data of a dataclass."""


class Bills(_Books, Machine[Bill]):
    """Data of a model."""


class Odds(_Books, Machine[Odd]):
    """Data that cannot be read again."""


def test_what_is_computed_is_not_stored_and_is_there_again_when_it_is_read() -> None:
    bill: Any = Bill(
        sums=[Sum.model_validate({"netto": 1})], by_name={"a": Sum.model_validate({"netto": 2})}, own=Net(3), inAll=4
    )
    with sandbox(machines=[Nets, Bills]):
        net, held = Nets.start("1", Net(2)), Bills.start("1", bill)
        assert (net.plain_data, net.data.gross, Nets.start("2", net=3).data.gross) == ({"net": 2}, 4, 6)
        stored = {"sums": [{"netto": 1}], "by_name": {"a": {"netto": 2}}, "own": {"net": 3}, "inAll": 4}
        assert held.plain_data == stored == Bills.start("2", stored).plain_data
        assert held.data == bill


def test_what_could_not_be_read_again_is_not_stored() -> None:
    with sandbox(machines=[Odds]):
        with pytest.raises(DataError, match=r"^data\.count: '3 pieces'"):
            Odds.start("1", count=3)
        assert Odds.counts() == {}


class Tucked(pydantic.BaseModel):
    secret: str = pydantic.Field(exclude=True)


class Twice(pydantic.BaseModel):
    net: int = pydantic.Field(validation_alias="netto", serialization_alias="nett")


class Written(pydantic.BaseModel):
    net: int = pydantic.Field(serialization_alias="nett")


class Deep(pydantic.BaseModel):
    net: int = pydantic.Field(validation_alias=pydantic.AliasPath("a", 0))


class Chosen(pydantic.BaseModel):
    net: int = pydantic.Field(validation_alias=pydantic.AliasChoices("netto", "net"))


class Around(pydantic.BaseModel):
    below: list[Tucked] | None = None


class Row(msgspec.Struct, array_like=True):
    net: int


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Tucked, "Tucked.secret has exclude=True"),
        (Around, "Tucked.secret has exclude=True"),
        (Twice, "Twice.net is written by another name than it is read by; give it one alias= for both"),
        (Written, "Written.net is written by another name"),
        (Deep, "Deep.net is written by another name"),
        (Row, "Row is array_like, and what is stored has names"),
    ],
)
def test_what_loses_something_is_refused_when_it_is_declared(kind: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        shape_of(kind)


def test_of_several_names_the_first_is_stored() -> None:
    read: Callable[[dict[str, Any]], Any] = lambda given: shape_of(Chosen).check(given, "data")  # noqa: E731
    assert read({"netto": 1}) == read({"net": 1}) == {"netto": 1}
