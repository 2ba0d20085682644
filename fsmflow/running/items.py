"""What the branches of a step are made for: what ``each=`` gives, jobs side by side, or the branches to be undone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fsmflow.decision.context import being_undone
from fsmflow.decision.versions import retraced
from fsmflow.definition.model import Fan
from fsmflow.engine.branches import branch_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError, shown
from fsmflow.running.attempt import Attempt

PAGE: Final = 200


class Items:
    """The items of the step that an attempt is of."""

    def __init__(self, runtime: Runtime, attempt: Attempt) -> None:
        self._store = runtime.store
        self._definition = attempt.definition
        self._spec = attempt.spec
        self._fan = attempt.spec.fan or Fan()
        self._parent = attempt.snapshot

    @property
    def are_stored(self) -> bool:
        """Whether an item is stored with its branch; of jobs side by side its number tells which one it runs."""
        return self._fan.each is not None or self._fan.undoes

    def read(self, subject: Any) -> tuple[Iterable[Any], bool]:
        """The items, and whether they come lazily. ``subject`` is handed to the user's method.

        Raises what that raises, and DataError for what is no list of items.
        """
        if self._fan.undoes:
            return self._undone(), False
        if self._fan.each is None:
            return range(len(self._fan.jobs) or 1), False
        found = self._value(self._fan.each) if isinstance(self._fan.each, str) else self._fan.each(subject)
        if found is None or isinstance(found, (str, bytes, Mapping)) or not isinstance(found, Iterable):
            raise DataError(
                f"each= of {self._spec.name!r} gave {shown(found)}; it gives a list of items, or yields them"
            )
        return found, isinstance(found, Iterator)

    def _value(self, key: str) -> Any:
        data = self._parent.data
        if key not in data:
            raise DataError(
                f"each={key!r} of {self._spec.name!r}: data has no {key!r}; it has {', '.join(data) or 'nothing'}"
            )
        return data[key]

    def _undone(self) -> Iterator[Any]:
        """The branches of the step that is being undone, the last first."""
        parent, branches = self._parent, self._store.branches
        trail = retraced(self._definition, self._store.events.trail(parent.row))
        entered = being_undone(trail, self._spec.undoes or "")
        if entered is None:
            return
        step = entered.step
        for start in range(branches.made(parent.row, step) // PAGE * PAGE, -1, -PAGE):
            for snapshot in reversed(branches.page(parent.row, step, after=start - 1, limit=PAGE)):
                branch = branch_of(snapshot)
                yield {
                    "state": entered.state,
                    "completed": branch.is_done,
                    "result": branch.result,
                    "item": branch.item,
                }
