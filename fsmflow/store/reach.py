"""What is within the reach of somebody who is in some teams alone, as a condition of a query.

An entity belongs to the team that the term of its own data names. One without such a term belongs where its parent
does: a branch always, a child that names no team. What has neither, of a machine that tells teams apart, belongs to
nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

from fsmflow.store.link import Link
from fsmflow.store.tables import ENTITY, TERM
from fsmflow.values import dataclass

#: So far up the parents of something are asked for their team. What is deeper is in nobody's lists.
DEPTH: Final = 6


@dataclass(frozen=True, kw_only=True)
class Reach:
    """``terms``: those of the teams. ``names``: the fields by which machines tell teams apart, by machine, as the table
    of terms has them. ``opened``: the machines of which all teams are within reach; ``free``: those that tell none
    apart. A machine that is in none of these is one that the code does not know."""

    terms: frozenset[str]
    names: dict[str, str]
    opened: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()

    @cached_property
    def sorted_terms(self) -> tuple[str, ...]:
        """As parameters of a query."""
        return tuple(sorted(self.terms))


def within(link: Link, reach: Reach, *, owned: bool = True, machine: str | None = None) -> tuple[str, list[Any]]:
    """The condition that an entity ``e`` is within reach, and its parameters. ``owned``: there are branches and
    children among what is asked for. ``machine``: that of all of them, where it is known: less is asked then."""
    if not owned and machine in reach.opened | reach.free:
        return "1 = 1", []
    return _Condition(link, reach).of(owned=owned, is_told=machine in reach.names)


class _Condition:
    """Puts the condition together, with the parameters in the order in which they stand in it."""

    def __init__(self, link: Link, reach: Reach) -> None:
        self._link = link
        self._reach = reach
        self._params: list[Any] = []
        self._name, self._value = link.quoted("name"), link.quoted("value")

    def of(self, *, owned: bool, is_told: bool) -> tuple[str, list[Any]]:
        """``is_told``: all of them are of a machine that tells teams apart."""
        if is_told and not owned:
            return f"{self._own()} IN {self._among(self._reach.terms)}", self._params
        terms = [f"e.machine IN {self._among(self._reach.opened)}"] if self._reach.opened else []
        # A value, and no EXISTS: that could be answered by reading all that a team has.
        terms.append(f"{self._own()} IN {self._among(self._reach.terms)}")
        free = f"e.machine IN {self._among(self._reach.free)}"
        if not owned:
            return f"({' OR '.join([*terms, free])})", self._params
        terms.append(f"(e.parent IS NULL AND {free})")
        terms.append(f"(e.parent IS NOT NULL AND {self._own()} IS NULL AND {self._above()})")
        return f"({' OR '.join(terms)})", self._params

    def _own(self) -> str:
        """What an entity names as its team itself."""
        return f"(SELECT t.{self._value} FROM {TERM} t WHERE {self._named('t', 'e')})"

    def _above(self) -> str:
        """That the parent is within reach, or the one above it where that names no team, and so on."""
        source = f"{ENTITY} p1"
        for level in range(1, DEPTH + 1):
            source += f" LEFT JOIN {TERM} t{level} ON {self._named(f't{level}', f'p{level}')}"
            if level < DEPTH:
                source += f" LEFT JOIN {ENTITY} p{level + 1} ON p{level + 1}.id = p{level}.parent"
        ways = []
        for level in range(1, DEPTH + 1):
            if self._reach.opened:
                ways.append(f"WHEN p{level}.machine IN {self._among(self._reach.opened)} THEN 1")
            own = f"CASE WHEN {self._is_own(f't{level}')} THEN 1 ELSE 0 END"
            ways.append(f"WHEN t{level}.{self._value} IS NOT NULL THEN {own}")
        ends = [f"e.machine IN {self._among(self._reach.free)}", f"p{DEPTH}.parent IS NULL"]
        ends += [
            f"(p{level}.id IS NULL OR p{level}.machine IN {self._among(self._reach.free)})"
            for level in range(1, DEPTH + 1)
        ]
        ways.append(f"WHEN {' AND '.join(ends)} THEN 1")
        return f"EXISTS (SELECT 1 FROM {source} WHERE p1.id = e.parent AND CASE {' '.join(ways)} ELSE 0 END = 1)"

    def _named(self, term: str, entity: str) -> str:
        """Where an entity names its team."""
        return f"{term}.entity = {entity}.id AND {term}.{self._name} IN {self._among(self._reach.names.values())}"

    def _is_own(self, term: str) -> str:
        return f"{term}.{self._value} IN {self._among(self._reach.terms)}"

    def _among(self, values: Iterable[str]) -> str:
        """A list of parameters, which comes next."""
        found = sorted(values)
        self._params += found
        return f"({', '.join([self._link.mark] * len(found)) or 'NULL'})"
