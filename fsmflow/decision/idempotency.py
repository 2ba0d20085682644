"""What the outside world knows a step by: its idempotency key.

It is made of what stays when the database is restored, or loses its last commits in a failover and the step is begun
again: the installation, the machine, the entity's id, the state, and which visit of that it is. Row numbers and epochs
are not among it, as these are given out again, to others.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final
from urllib.parse import quote

from fsmflow.decision.entity import Snapshot

#: As many characters as the strictest of the usual providers take.
MAX_KEY: Final = 64
#: What stays readable of a key that would be longer: its beginning and its end, with a digest of the whole between.
_HEAD: Final = 24
_TAIL: Final = 14
_DIGEST: Final = MAX_KEY - _HEAD - _TAIL - len("++")
#: What an id may have of its own in a key, besides letters, digits and ``_.-``. A ``+`` marks a digest.
_PLAIN: Final = "/:@=,"
_RENEWED: Final = ".new"
#: Names and numbers alone, on the way of each step: nothing that the codec has to look for.
_read: Final = json.JSONDecoder().decode
_write: Final = json.JSONEncoder(separators=(",", ":")).encode


def begun(snapshot: Snapshot, state: str) -> tuple[str, str]:
    """How a step that begins in ``state`` is called, as ``charging.2`` in its second visit, and the visits with it.

    No two steps of an entity are ever called the same, however its states are renamed: a visit is counted under the
    name that the state had then.
    """
    visits: dict[str, int] = _read(snapshot.visits_text)
    visit = visits[state] = visits.get(state, 0) + 1
    return f"{state}.{visit}", _write(visits)


def renewed(step_name: str) -> str:
    """How a step goes on that is given a new key: ``charging.2.new1``. It is the same visit of its state: one that
    comes later is called as it would have been anyway."""
    name, _, count = step_name.partition(_RENEWED)
    return f"{name}{_RENEWED}{int(count or 0) + 1}"


def key_of(installation: str, snapshot: Snapshot) -> str:
    """The key of the step that an entity is in: ``3f9a2c1b:order:1042:charging.1``, ASCII, at most 64 characters.

    It can be the name of a file: that of a branch has ``~`` for ``/``. Never the same for two steps: neither machines
    and states nor the names of steps have a ``:``, and what is longer is told apart by a digest. A branch's id holds
    that of its parent, its step and its name in that.
    """
    entity_id = quote(snapshot.entity_id, safe=_PLAIN).replace("~", "%7E").replace("/", "~")
    key = f"{installation}:{snapshot.machine}:{entity_id}:{snapshot.step_name}"
    if len(key) <= MAX_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:_DIGEST]
    return f"{key[:_HEAD]}+{digest}+{key[-_TAIL:]}"
