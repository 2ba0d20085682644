"""Prometheus' text: numbers with their labels, put together, bounded and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from fsmflow.metrics.families import FAMILIES, HISTOGRAM, Family
from fsmflow.values import dataclass

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
#: More label sets of one metric than this are told as one whose labels are all 'other': the last ones by name, so that
#: they are the same each time.
MOST: Final = 1_000
OTHER: Final = "other"


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How many are in each bucket, by its upper edge in seconds and in no other one; and the sum of all."""

    buckets: Mapping[float, int]
    sum: float

    def plus(self, other: Histogram) -> Histogram:
        """Both of them as one."""
        edges = {*self.buckets, *other.buckets}
        return Histogram(
            buckets={edge: self.buckets.get(edge, 0) + other.buckets.get(edge, 0) for edge in edges},
            sum=self.sum + other.sum,
        )


Value = float | Histogram
Labels = tuple[str, ...]


class Numbers:
    """What is told once."""

    def __init__(self) -> None:
        self._found: dict[str, dict[Labels, Value]] = {}

    def add(self, name: str, value: Value, *labels: str) -> None:
        """One more number of a metric, whose name is without ``fsmflow_``; of what has these labels already it is a
        part."""
        family = FAMILIES[f"fsmflow_{name}"]
        found = self._found.setdefault(family.name, {})
        found[labels] = _both(family, found[labels], value) if labels in found else value

    def take(self, other: Numbers) -> None:
        """All numbers of another one, too."""
        for name, found in other._found.items():
            for labels, value in found.items():
                self.add(name.removeprefix("fsmflow_"), value, *labels)

    def text(self) -> str:
        """All of it, in the order of the list."""
        folded = {name: _folded(FAMILIES[name], found) for name, found in self._found.items()}
        more = sum(len(self._found[name]) - len(found) for name, found in folded.items())
        folded["fsmflow_series_folded"] = {(): more}
        return "".join(
            f"{line}\n" for name, family in FAMILIES.items() if name in folded for line in _lines(family, folded[name])
        )


def _both(family: Family, one: Value, other: Value) -> Value:
    if isinstance(one, Histogram) and isinstance(other, Histogram):
        return one.plus(other)
    if isinstance(one, Histogram) or isinstance(other, Histogram):
        raise TypeError(f"{family.name} is a histogram, or is none")
    return max(one, other) if family.largest else one + other


def _folded(family: Family, found: Mapping[Labels, Value]) -> dict[Labels, Value]:
    """No more label sets than may be told; what is beyond that as one."""
    if len(found) <= MOST:
        return dict(found)
    names = sorted(found)
    kept, other = {labels: found[labels] for labels in names[: MOST - 1]}, (OTHER,) * len(family.labels)
    for labels in names[MOST - 1 :]:
        kept[other] = _both(family, kept[other], found[labels]) if other in kept else found[labels]
    return kept


def _lines(family: Family, found: Mapping[Labels, Value]) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.told)}"
    yield f"# TYPE {family.name} {family.kind}"
    for labels in sorted(found):
        value, pairs = found[labels], list(zip(family.labels, labels, strict=True))
        if isinstance(value, Histogram):
            yield from _of_histogram(family, value, pairs)
        else:
            yield f"{family.name}{_written(pairs)} {_number(value)}"


def _of_histogram(family: Family, value: Histogram, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    if family.kind != HISTOGRAM:
        raise TypeError(f"{family.name} is no histogram")
    count, begin = 0, f"{family.name}_bucket{{{_told(pairs)}{',' if pairs else ''}le="
    for edge in sorted(value.buckets):
        count += value.buckets[edge]
        yield f'{begin}"{_number(edge)}"}} {count}'
    yield f"{family.name}_sum{_written(pairs)} {_number(value.sum)}"
    yield f"{family.name}_count{_written(pairs)} {count}"


def _written(pairs: Sequence[tuple[str, str]]) -> str:
    return f"{{{_told(pairs)}}}" if pairs else ""


def _told(pairs: Sequence[tuple[str, str]]) -> str:
    return ",".join(f'{name}="{_quoted(value)}"' for name, value in pairs)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    if text.isidentifier() and text.isascii():
        return text
    return _escaped(text.encode("utf-8", "replace").decode()).replace('"', r"\"")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
