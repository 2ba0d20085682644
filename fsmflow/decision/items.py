"""What is remembered of the items of a step, so that it can be told whether they are still those that were read."""

from __future__ import annotations

from hashlib import blake2b

from fsmflow import codec
from fsmflow.decision.entity import Snapshot
from fsmflow.definition.model import Fan

#: Stands for items that are not asked for again.
_FOR_GOOD = ""


def mark_of(fan: Fan, snapshot: Snapshot, *, for_good: bool) -> str:
    """The mark of items that were all read from an entity as ``snapshot`` shows it. ``for_good``: they come lazily, or
    from nothing that could change."""
    return f"{snapshot.seq}-{_FOR_GOOD if for_good or fan.each is None else _digest(fan, snapshot)}"


def may_differ(fan: Fan, snapshot: Snapshot) -> bool:
    """Whether the source of the items may give others by now. Nothing is computed where nothing happened since."""
    seq, _, digest = (snapshot.items or "").partition("-")
    if digest == _FOR_GOOD or fan.each is None or int(seq) == snapshot.seq:
        return False
    return digest != _digest(fan, snapshot)


def _digest(fan: Fan, snapshot: Snapshot) -> str:
    """Of the items that a key holds; of all data, where a method may read any of it."""
    text = snapshot.data_text
    if isinstance(fan.each, str):
        text = codec.encode(snapshot.data.get(fan.each))
    return blake2b(text.encode(), digest_size=8).hexdigest()
