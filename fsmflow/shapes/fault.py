"""What does not fit a type, with its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsmflow.errors import DataError
from fsmflow.values import dataclass

#: Where a value is: keys of mappings, and positions in lists.
Place = tuple[str | int, ...]
#: So many are told in one sentence.
_MOST: Final = 5


@dataclass(frozen=True)
class Fault:
    """``text`` says what is wrong at ``place``."""

    place: Place
    text: str


class Unfit(DataError):
    """A payload or data that do not fit the type that is declared for them. ``faults`` has all that is wrong."""

    def __init__(self, what: str, faults: Sequence[Fault], then: str | None = None) -> None:
        self.what = what
        self.faults = tuple(faults)
        told = [f"{what}{written(fault.place)}: {fault.text}" for fault in self.faults[:_MOST]]
        more = len(self.faults) - _MOST
        super().__init__("; ".join(told) + (f"; and {more} more" if more > 0 else "") + (f"; {then}" if then else ""))


def written(place: Place) -> str:
    """A place as it is written after the name of the whole: ``.lines[2].amount``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
