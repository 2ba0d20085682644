"""A few bytes of memory that a worker process shares with its supervisor: which attempts it runs, and until when.

They outlive the process that wrote them, so a killed worker's attempt is known at once, and reading them costs the
worker nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from typing import Final

from fsmflow.values import dataclass

#: Odd while the body is being written. Apart from the body, as packing clears what it packs into first.
_SEQUENCE: Final = struct.Struct("<Q")
#: So many bytes of an address, which is for people.
_ADDRESS: Final = 256
#: state, entity row, deadline and silent_at (monotonic seconds), owner, address
_BODY: Final = struct.Struct(f"<B q d d 32s {_ADDRESS}s")
#: The one byte that the supervisor writes, after those of the worker: 1 once no more jobs may be taken.
_TOLD: Final = _SEQUENCE.size + _BODY.size
_SIZE: Final = _TOLD + 1

STARTING: Final = 0
IDLE: Final = 1
RUNNING: Final = 2
SETTLING: Final = 3
#: It takes no more jobs, and ends by itself.
ENDING: Final = 4
#: A job that shares its event loop with others, and keeps it from going on.
BLOCKING: Final = 5


def nameless_file(what: str) -> int:
    """The descriptor of a new file without a name. On Linux it is in memory, so that no folder need be writable."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(what)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@dataclass(frozen=True, kw_only=True)
class Doing:
    """What a worker process does. ``owner`` is the token of its claim, empty while it has none; ``address`` that of the
    entity, once it is known, cut where it is very long. Until ``deadline`` its job may run; until ``silent_at`` that
    has to give a sign of life."""

    state: int
    row: int = 0
    owner: str = ""
    deadline: float = float("inf")
    silent_at: float = float("inf")
    address: str = ""

    @property
    def ends_at(self) -> float:
        """When the job should have ended, or given a sign of life."""
        return min(self.deadline, self.silent_at)


class Slot:
    """Written by one worker process and read by its supervisor, but for the word that it is to end.

    Behind it in the same memory are that of its ``successor``, which tells of a claim that is made with the end of
    another one, and its ``lanes``: one for each job that the process may run beside others.
    """

    def __init__(self, descriptor: int, number: int = 0) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self._start = number * _SIZE
        self._sequence = 0

    @classmethod
    def create(cls, lanes: int = 0) -> Slot:
        """A new slot in a file without a name, which needs no folder; to be inherited by a worker process."""
        descriptor = nameless_file("fsmflow-slot")
        os.truncate(descriptor, _SIZE * (lanes + 2))
        return cls(descriptor)

    @property
    def successor(self) -> Slot:
        """That of what runs next, made anew: who writes it keeps it."""
        return Slot(self.descriptor, 1)

    @property
    def lanes(self) -> list[Slot]:
        """Those behind it, each made anew."""
        return [Slot(self.descriptor, number) for number in range(2, len(self._memory) // _SIZE)]

    def write(self, doing: Doing) -> None:
        """Tell. A reader that comes in the middle sees an odd sequence, and takes nothing for granted."""
        self._sequence += 2
        _SEQUENCE.pack_into(self._memory, self._start, self._sequence - 1)
        owner, address = doing.owner.encode("ascii"), doing.address.encode("utf-8", "replace")[:_ADDRESS]
        body = (doing.state, doing.row, doing.deadline, doing.silent_at, owner, address)
        _BODY.pack_into(self._memory, self._start + _SEQUENCE.size, *body)
        _SEQUENCE.pack_into(self._memory, self._start, self._sequence)

    def read(self) -> Doing | None:
        """What was told last; None while it is being written."""
        (sequence,) = _SEQUENCE.unpack_from(self._memory, self._start)
        state, row, deadline, silent_at, owner, address = _BODY.unpack_from(self._memory, self._start + _SEQUENCE.size)
        (after,) = _SEQUENCE.unpack_from(self._memory, self._start)
        if sequence % 2 or sequence != after:
            return None
        name, of = owner.rstrip(b"\0").decode("ascii"), address.rstrip(b"\0").decode("utf-8", "ignore")
        return Doing(state=state, row=row, owner=name, deadline=deadline, silent_at=silent_at, address=of)

    def tell_to_end(self) -> None:
        """Written by the supervisor: whatever is rung for from now on is for others."""
        self._memory[_TOLD] = 1

    @property
    def is_told_to_end(self) -> bool:
        """Whether the supervisor wants no more jobs taken. True from the moment it said so, whatever thread runs."""
        return self._memory[_TOLD] == 1

    def close(self) -> None:
        """Close the descriptor. The memory goes with the last reader: another thread may be looking at it."""
        os.close(self.descriptor)
