"""Types that hold values of others: lists, mappings, and one of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from fsmflow.errors import shown
from fsmflow.shapes.fault import Fault, Place
from fsmflow.shapes.node import NOTHING, Definitions, Node, Schema


class ListOf:
    """Any number of values of one type; ``become`` makes the list, tuple or set of them."""

    def __init__(self, item: Node, become: Callable[[list[Any]], Any]) -> None:
        self.name = f"list of {item.name}"
        self._item, self._become = item, become

    @property
    def makes(self) -> bool:
        """As Node says."""
        return self._become is not list or self._item.makes

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """As Node says."""
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, (Sequence, AbstractSet)):
            faults.append(Fault(place, f"{shown(value)} is no list"))
            return value
        return [self._item.check(item, (*place, index), faults) for index, item in enumerate(value)]

    def make(self, stored: Any) -> Any:
        """As Node says."""
        return self._become([self._item.make(item) for item in stored])

    def schema(self, named: Definitions) -> Schema:
        """As Node says."""
        return {"type": "array", "items": self._item.schema(named)}


class TupleOf:
    """So many values, each of its own type."""

    name = "tuple"
    makes = True

    def __init__(self, items: Sequence[Node]) -> None:
        self._items = items

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """As Node says."""
        if not isinstance(value, (list, tuple)) or len(value) != len(self._items):
            faults.append(Fault(place, f"{shown(value)} is no list of {len(self._items)}"))
            return value
        pairs = enumerate(zip(self._items, value, strict=True))
        return [node.check(item, (*place, index), faults) for index, (node, item) in pairs]

    def make(self, stored: Any) -> Any:
        """As Node says."""
        return tuple(node.make(item) for node, item in zip(self._items, stored, strict=True))

    def schema(self, named: Definitions) -> Schema:
        """As Node says."""
        count = len(self._items)
        prefix = [node.schema(named) for node in self._items]
        return {"type": "array", "prefixItems": prefix, "minItems": count, "maxItems": count}


class MappingOf:
    """Any keys, with values of one type."""

    name = "mapping"

    def __init__(self, item: Node) -> None:
        self._item = item

    @property
    def makes(self) -> bool:
        """As Node says."""
        return self._item.makes

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """As Node says."""
        if not isinstance(value, Mapping):
            faults.append(Fault(place, f"{shown(value)} is no mapping of names to values"))
            return value
        return {key: self._item.check(item, (*place, str(key)), faults) for key, item in value.items()}

    def make(self, stored: Any) -> Any:
        """As Node says."""
        return {key: self._item.make(item) for key, item in stored.items()}

    def schema(self, named: Definitions) -> Schema:
        """As Node says."""
        return {"type": "object", "additionalProperties": self._item.schema(named) or True}


class OneOf:
    """A value of one of several types; of those that let it pass the first, or the one whose value it is already."""

    def __init__(self, members: Sequence[Node]) -> None:
        self._members = members
        self.name = " or ".join(member.name for member in members)

    @property
    def makes(self) -> bool:
        """As Node says."""
        return any(member.makes for member in self._members)

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """As Node says."""
        found, others = self._found(value, place)
        if found is not None:
            return found[1]
        real = [told for member, told in others if member is not NOTHING]
        # Of several mappings the one that it is most like is what was meant.
        best = min(real, key=len) if len(real) == 1 or isinstance(value, Mapping) else None
        faults += best or [Fault(place, f"{shown(value)} is no {self.name}")]
        return value

    def _found(self, value: Any, place: Place) -> tuple[tuple[Node, Any] | None, list[tuple[Node, list[Fault]]]]:
        passed, others = [], []
        for member in self._members:
            told: list[Fault] = []
            stored = member.check(value, place, told)
            if told:
                others.append((member, told))
            else:
                passed.append((member, stored))
        same = [pair for pair in passed if type(pair[1]) is type(value)]
        return next(iter((*same, *passed)), None), others

    def make(self, stored: Any) -> Any:
        """As Node says."""
        found, _ = self._found(stored, ())
        return stored if found is None else found[0].make(stored)

    def schema(self, named: Definitions) -> Schema:
        """As Node says."""
        return {"anyOf": [member.schema(named) for member in self._members]}
