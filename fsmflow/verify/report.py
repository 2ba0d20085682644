"""What a check comes to."""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from typing import Final

from fsmflow.values import dataclass

#: So many violations are listed one by one; a database in which everything is wrong must not fill the memory.
LISTED: Final = 10_000
#: What compares history with the machine of today, which may have been another one when it was written.
OF_TODAY: Final = frozenset({"transition-legal", "attempts-bounded"})


@dataclass(frozen=True)
class Violation:
    """One promise that does not hold: which, of which entity, and what is wrong, with the values."""

    invariant: str
    address: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.address}: {self.what}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was checked and what was found.

    ``checked`` counts what was read (``entities``, ``history_rows``, ``work_rows``, ``event_rows``,
    ``steps_with_branches``), and what of it was not compared with a machine, as that is not known or of another version
    (``entities_not_compared``, ``history_rows_not_compared``). ``unlisted`` violations were found after the first
    10,000, and are only counted. ``notes`` is what the machine of today would not do, and one that has changed since
    may have done: of the invariants in ``OF_TODAY``, unless ``strict`` was asked for.
    """

    violations: list[Violation]
    checked: dict[str, int]
    unlisted: int = 0
    notes: list[Violation] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every invariant holds for all that was checked."""
        return not self.violations

    def __str__(self) -> str:
        """Every violation on a line of its own, after what was checked."""
        counts = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in self.checked.items())
        lines = [f"checked {counts}", *map(str, self.violations), *(f"note: {note}" for note in self.notes)]
        return "\n".join(lines + ([f"and {self.unlisted:,} more"] if self.unlisted else []))


@dataclass
class Findings:
    """A report in the making."""

    violations: list[Violation] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    unlisted: int = 0
    notes: list[Violation] = field(default_factory=list)
    strict: bool = False

    def add(self, invariant: str, address: str, what: str) -> None:
        found = self.notes if invariant in OF_TODAY and not self.strict else self.violations
        if len(found) < LISTED:
            found.append(Violation(invariant, address, what))
        elif found is self.violations:
            self.unlisted += 1

    def report(self) -> Report:
        return Report(violations=self.violations, checked=dict(self.checked), unlisted=self.unlisted, notes=self.notes)
