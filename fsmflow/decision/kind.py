"""Kinds as values, in lists that newer code may have made longer."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Kind(StrEnum):
    """A closed list for whoever writes, and an open one for whoever reads.

    In a rolling deployment newer code may have written a kind that this release does not know: it is read as a kind of
    its own, which means nothing here and is written back as it was.
    """

    __repr__ = str.__repr__  # what users print is text to them

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_, unknown._value_ = value.upper(), value
        return unknown
