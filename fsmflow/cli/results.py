"""What came of several entities: told one by one as it is known, and counted at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import field

from fsmflow.cli import output
from fsmflow.cli.bar import Bar
from fsmflow.decision.actions import Action
from fsmflow.decision.member import STILL_PAUSED
from fsmflow.values import dataclass

#: How many kinds of refusals are remembered, to be shown at the end.
_KINDS = 50


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one entity: the state that it was in and the one that it is in now, or the error."""

    address: str
    done: bool
    dry_run: bool
    source: str | None = None
    state: str | None = None
    epoch: int | None = None
    paused: bool | None = None
    change: str = ""
    error: str | None = None


@dataclass
class _Reason:
    """Refusals that differ in addresses and numbers alone."""

    example: str
    count: int = 0

    def __str__(self) -> str:
        return self.example if self.count == 1 else f"{self.count:,} were refused like this one: {self.example}"


@dataclass
class Tally:
    """How many were done, refused and left alone. Of what is refused only the kinds are kept."""

    done: int = 0
    refused: int = 0
    moved_on: int = 0
    reasons: dict[str, _Reason] = field(default_factory=dict)

    def counting(self, results: Iterable[Result]) -> Iterator[Result]:
        """The same results, counted as they pass."""
        for result in results:
            if result.error is None:
                self.done += 1
            else:
                self.refused += 1
                self._note(result.address, result.error)
            yield result

    def _note(self, address: str, error: str) -> None:
        kind = re.sub(r"\d+", "#", error.replace(address, "@"))
        if kind in self.reasons or len(self.reasons) < _KINDS:
            self.reasons.setdefault(kind, _Reason(error)).count += 1


def tell(action: Action, results: Iterable[Result], bar: Bar, *, as_json: bool) -> None:
    """Print results as they come: an array, or a line for each that was not refused."""
    if as_json:
        output.print_array(_object(result) for result in results)
        return
    for result in results:
        if result.error is None:
            would = f"would {action.name} " if result.dry_run else ""
            bar.say(f"{would}{result.address}  {result.change}")


def report(action: Action, tally: Tally, *, dry_run: bool, is_one: bool) -> None:
    """What was refused, and the numbers. ``is_one``: one entity was named, of which all is said already."""
    for reason in sorted(tally.reasons.values(), key=lambda reason: -reason.count):
        output.error(str(reason))
    shown = sum(reason.count for reason in tally.reasons.values())
    if tally.refused > shown:
        output.note(f"... and {tally.refused - shown:,} more were refused, for other reasons")
    if tally.moved_on:
        output.note(f"{tally.moved_on:,} had moved on since they were selected, and were left alone")
    if dry_run:
        output.note(f"dry run: {tally.done:,} would be {action.done}, {tally.refused:,} refused; nothing was changed")
    elif not tally.done and not tally.refused:
        output.note(f"the selection has no entity that could be {action.done}")
    elif not is_one:
        output.note(f"{tally.done:,} {action.done}, {tally.refused:,} refused")


def told_way(source: str, state: str, change: str | None, *, moved: bool) -> str:
    """What became of an entity: where it is now, or what else has changed."""
    if moved:
        return f"{source} -> {state}"
    return f"{state}, {'as it was' if change in (None, STILL_PAUSED) else change}"


def told_proposal(action: Action, address: str, state: str, places: Iterable[object]) -> str:
    """That it is noted, and what a second person types, where it takes two."""
    words = "".join(f" {place}" for place in places)
    return f"{state}, noted; another person types: fsmflow {action.name} {address}{words}"


def told_error(address: str, words: str) -> str:
    """What is refused, with its address."""
    return words if address in words else f"{address}: {words}"


def _object(result: Result) -> dict[str, object]:
    return {name: value for name, value in vars(result).items() if name != "change"}
