"""Entities that begin together: what is the same of all of them is decided once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Place
from fsmflow.decision.inputs import Actor
from fsmflow.decision.start import begin, stored_data
from fsmflow.definition.model import Definition
from fsmflow.values import replace

#: What begins within so many milliseconds begins at one moment.
_ONE_MOMENT_MS: Final = 100
_NOWHERE: Final = Place()


class Cohort:
    """Begins one entity of a machine after the other, each as ``begin`` does.

    Where nothing of the user's is asked as an entity enters its first state, and nobody is told of it, entities differ
    in what they are called, what they hold and what they are made for. All else is taken over from the first of them
    that begins in that place and moment.
    """

    def __init__(self, definition: Definition, actor: Actor | None = None, *, state: str | None = None) -> None:
        self._definition = definition
        self._actor = actor
        self._state = state
        self._first: Commit | None = None
        self._place = _NOWHERE

    def begin(self, entity_id: str, data: Mapping[str, Any], now: int, place: Place = _NOWHERE) -> Commit:
        """The decision that starts an entity. Raises what ``begin`` raises."""
        first = self._first
        if first is None or not self._is_like_the_first(first, now, place):
            found = begin(self._definition, entity_id, data, self._actor, None, now, state=self._state, place=place)
            if begins_alike(self._definition, self._state):
                self._first, self._place = found, place
            return found
        after = replace(
            first.after,
            entity_id=entity_id,
            data_text=stored_data(self._definition, data, place),
            parent_index=place.parent_index,
            branch_name=place.branch_name,
            item_text=place.item_text,
        )
        return replace(first, after=after)

    def _is_like_the_first(self, first: Commit, now: int, place: Place) -> bool:
        if not 0 <= now - first.after.created_at < _ONE_MOMENT_MS:
            return False
        if place is self._place:
            return True
        return _common(place) == _common(self._place)


def begins_alike(definition: Definition, state: str | None) -> bool:
    """Whether how entities begin in a state does not depend on what they hold."""
    spec = definition.states[state or definition.initial]
    asked = (spec.queue, spec.priority, None if spec.timer is None else spec.timer.after)
    calls = any(map(callable, asked)) or bool(definition.machine.get_state(spec.name).on_enter)
    return not (calls or definition.wide.tell)


def _common(place: Place) -> tuple[Any, ...]:
    return place.parent, place.parent_step, place.branch_of, place.standing
