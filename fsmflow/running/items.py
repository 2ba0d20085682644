"""What the branches of a step are made for: what ``each=`` gives, jobs side by side, or the branches to be undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fsmflow import codec
from fsmflow.decision.context import being_undone
from fsmflow.decision.versions import retraced
from fsmflow.definition.model import Fan
from fsmflow.engine.branches import branch_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError, shown
from fsmflow.running.attempt import Attempt

PAGE: Final = 200
#: So many items are told of in one line.
_TOLD: Final = 5


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

    def read(self, subject: Any) -> Iterable[Any]:
        """The items; an iterator where they come lazily. ``subject`` is handed to the user's method.

        Raises what that raises, and DataError for what is no list of items.
        """
        if self._fan.undoes:
            return self._undone()
        if self._fan.each is None:
            return range(len(self._fan.jobs) or 1)
        found = self._value(self._fan.each) if isinstance(self._fan.each, str) else self._fan.each(subject)
        if found is None and self._parent.items is not None:
            return ()  # they had all been read; what is gone is told
        if found is None or isinstance(found, (str, bytes, Mapping)) or not isinstance(found, Iterable):
            raise DataError(
                f"each= of {self._spec.name!r} gave {shown(found)}; it gives a list of items, or yields them"
            )
        return found

    def _value(self, key: str) -> Any:
        data = self._parent.data
        if key not in data and self._parent.items is None:
            raise DataError(
                f"each={key!r} of {self._spec.name!r}: data has no {key!r}; it has {', '.join(data) or 'nothing'}"
            )
        return data.get(key)

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


class Revision:
    """Items as they are now beside those that branches were made for: what is new, and what is another or gone.

    What is at its place is the same, and so is what stands somewhere else now: nothing is run twice. What stands at the
    place of an item that is gone is that item, changed. All else is new, wherever it stands.
    """

    def __init__(self, before: Sequence[str], items: Sequence[Any]) -> None:
        now = [codec.encode(item, what=f"item {index}") for index, item in enumerate(items)]
        made = len(before)
        if list(before) == now[:made]:
            self.new, self._changed, self._gone = list(items[made:]), [], []
            return
        left, right = Counter(before), Counter(now)
        gone, more = _surplus(before, left - right), _surplus(now, right - left)
        changed = gone & more
        self.new = [item for index, item in enumerate(items) if index in more - changed]
        self._changed = [(index, codec.decode(before[index]), items[index]) for index in sorted(changed)]
        self._gone = [(index, codec.decode(before[index])) for index in sorted(gone - changed)]

    def told(self, name: str, *, secret: bool) -> str | None:
        """What is another or gone, in words; None where nothing is. ``secret``: without the values."""

        def show(value: Any) -> str:
            return "" if secret else f" ({shown(value)})"

        found = [f"item {index}{show(was)} is another one{show(now)}" for index, was, now in self._changed]
        found += [f"item {index}{show(was)} is gone" for index, was in self._gone]
        if not found:
            return None
        more = f"; and {len(found) - _TOLD:,} more" if len(found) > _TOLD else ""
        return (
            f"each= of {name!r} gives other items than those that have branches: {'; '.join(found[:_TOLD])}{more}. The "
            f"branches stay as they are, and nothing is run again for these"
        )


def _surplus(texts: Sequence[str], surplus: Counter[str]) -> set[int]:
    """Where those stand of which there are so many too many: the last ones."""
    left, found = Counter(surplus), set()
    for index in range(len(texts) - 1, -1, -1):
        if left[texts[index]] > 0:
            left[texts[index]] -= 1
            found.add(index)
    return found
