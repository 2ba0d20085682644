"""What the branches of a step are made for: what ``each=`` gives, jobs side by side, or the branches to be undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fsmflow import codec
from fsmflow.decision.context import being_undone
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.idempotency import key_of
from fsmflow.decision.versions import retraced
from fsmflow.definition.model import Bound, Fan, source_name
from fsmflow.definition.parse import plain_name
from fsmflow.engine.branches import branch_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError, Fail, MethodError, RetryAfter, did_you_mean, name_of, shown, text_of
from fsmflow.running.attempt import Attempt
from fsmflow.scope import scope

PAGE: Final = 200
#: So many items are told of in one line.
_TOLD: Final = 5


class Part(NamedTuple):
    """What a branch is made for: an item of ``each=``, or under its name a job or a child, that begins with ``item``
    where there is one."""

    item: Any = None
    name: str | None = None


class Items:
    """The parts of the step that an attempt is of."""

    def __init__(self, runtime: Runtime, attempt: Attempt) -> None:
        self._store = runtime.store
        self._definition = attempt.definition
        self._spec = attempt.spec
        self._fan = attempt.spec.fan or Fan()
        self._parent = attempt.snapshot

    @property
    def are_stored(self) -> bool:
        """Whether an item is stored with its branch; what has a name is told by that."""
        return self._fan.each is not None or self._fan.undoes

    def read(self, subject: Any) -> Iterable[Part]:
        """The parts; an iterator where they come lazily. ``subject`` is handed to the user's method.

        Raises MethodError for what that raises, for what is no list of items and for a name that no branch has;
        DataError where that is in a key of data.
        """
        if self._fan.undoes:
            return self._undone()
        if self._fan.named:
            return self._picked(subject)
        if self._fan.each is None:
            return [Part()]
        found = self._found("each", self._fan.each, subject)
        if found is None and self._parent.items is not None:
            return ()  # they had all been read; what is gone is told
        if isinstance(found, (str, bytes, bytearray, Mapping)) or not isinstance(found, Iterable):
            raise self.no_items(f"{shown(found)}; it gives a list of items, or yields them")
        if isinstance(found, (set, frozenset)):
            raise self.no_items(f"{shown(found)}; a set has no order: it gives a list of items, or yields them")
        return self._parts(found) if isinstance(found, Iterator) else _Parts(found, self._parts)

    def encoded(self, index: int, item: Any) -> str:
        """An item as it is stored with its branch. Raises MethodError for what cannot be."""
        try:
            return codec.encode(item, what=f"item {index}")
        except DataError as error:
            raise self.no_items(f"an item that cannot be stored: {error}") from None

    def no_items(self, what: str) -> DataError:
        """The error for items that cannot be: of the user's method, or of a key of data."""
        parameter, source = ("only", self._fan.only) if self._fan.named else ("each", self._fan.each)
        return self._mistake(parameter, source or "", f"gave {what}")

    def _parts(self, found: Iterable[Any]) -> Iterator[Part]:
        with self._asking("each", self._fan.each or ""):
            for item in found:
                yield Part(item)

    @scope
    def _asking(self, parameter: str, source: str | Bound) -> Iterator[None]:
        """Inside, the user's code is run. What it raises becomes the cause of a MethodError that names it; but what
        says itself how the attempt ends."""
        try:
            yield
        except (Fail, RetryAfter):
            raise
        except Exception as error:
            raised = f"raised {name_of(type(error))}: {text_of(error)}"
            raise self._mistake(parameter, source, raised) from error

    def _mistake(self, parameter: str, source: str | Bound, what: str) -> DataError:
        address, state = self._parent.address, self._spec.name
        if isinstance(source, str):
            return DataError(f"{address}: {parameter}={source!r} of {state!r} {what}")
        return MethodError(address, state, parameter, source_name(source), what)

    def _found(self, parameter: str, source: str | Bound, subject: Any) -> Any:
        """What a key of data holds, or what the user's method gives."""
        if not isinstance(source, str):
            with self._asking(parameter, source):
                return source(subject)
        data = self._parent.data
        if source not in data and self._parent.items is None:
            raise self._mistake(
                parameter, source, f"finds nothing: data has no {source!r}; it has {', '.join(data) or 'nothing'}"
            )
        return data.get(source)

    def _picked(self, subject: Any) -> list[Part]:
        """The branches with names that run, in the order of the code: all, or those that ``only`` picks."""
        fan = self._fan
        if fan.only is None:
            return [Part(name=branch.name) for branch in fan.named]
        found = self._found("only", fan.only, subject)
        given = found if self._is_pick(found) else None
        names = None if given is None else [plain_name(name) for name in given]
        known = [branch.name for branch in fan.named]
        for name in names or ():
            if name not in known:
                raise self._no_pick(f"gave {shown(name)}, which is no branch of it{did_you_mean(name, known)}")
        if given is None or names is None:
            raise self._no_pick(f"gave {shown(found)}; it gives a list of names{self._or_data}")
        items = dict(zip(names, given.values(), strict=True)) if isinstance(given, Mapping) else {}
        for name, item in items.items():
            if not isinstance(item, Mapping):
                raise self._no_pick(f"gave {shown(item)} for {name!r}; a child begins with a mapping as its data")
        return [Part(name=name, item=items.get(name)) for name in known if name in names]

    def _is_pick(self, found: Any) -> bool:
        if isinstance(found, Mapping):
            return self._fan.has_children
        return isinstance(found, Iterable) and not isinstance(found, (str, bytes))

    @property
    def _or_data(self) -> str:
        return ", or a mapping of names to the data of the children" if self._fan.has_children else ""

    def _no_pick(self, told: str) -> DataError:
        names = ", ".join(branch.name for branch in self._fan.named)
        return self._mistake("only", self._fan.only or "", f"{told}; its branches are: {names}")

    def _undone(self) -> Iterator[Part]:
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
                undone = {
                    "state": entered.state,
                    "completed": branch.is_done,
                    "result": branch.result,
                    "item": branch.item,
                    "branch": branch.name,
                    "job": self._job_of(snapshot),
                    "idempotency_key": self._key_of(snapshot),
                }
                yield Part(undone, snapshot.branch_name)

    def _key_of(self, branch: Snapshot) -> str | None:
        """The key that the job of a branch had; None of a child, which has jobs of its own."""
        return None if branch.branch_of is None else key_of(self._store.installation, branch)

    def _job_of(self, branch: Snapshot) -> str:
        """What the job of a branch is called that is undone; nothing of a child, which has jobs of its own."""
        spec = self._definition.states.get(self._spec.undoes or "")
        if spec is None or spec.fan is None or branch.branch_of is None:
            return ""
        if not spec.fan.named:
            return spec.job_name
        named = spec.fan.branch(branch.branch_name)
        return "" if named is None else named.job_name


class _Parts(Iterable[Part]):
    """Items that may be read more than once, as parts."""

    def __init__(self, items: Iterable[Any], read: Callable[[Iterable[Any]], Iterator[Part]]) -> None:
        self._items = items
        self._read = read

    def __iter__(self) -> Iterator[Part]:
        return self._read(self._items)


class Revision:
    """Items as they are now beside those that branches were made for: what is new, and what is another or gone.
    ``before`` and ``now`` as they are stored.

    What is at its place is the same, and so is what stands somewhere else now: nothing is run twice. What stands at the
    place of an item that is gone is that item, changed. All else is new, wherever it stands.
    """

    def __init__(self, before: Sequence[str], items: Sequence[Any], now: Sequence[str]) -> None:
        made = len(before)
        if list(before) == list(now[:made]):
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
