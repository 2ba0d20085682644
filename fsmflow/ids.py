"""Ids that fsmflow makes for entities that get none: UUIDs, by time or by what they are made of."""

from __future__ import annotations

import hashlib
import os
from typing import Final
from uuid import UUID

_RANDOM_BITS: Final = 62
_VERSION: Final = 0x7
_MADE: Final = 0x8
_VARIANT: Final = 0b10


def uuid7(moment_ms: int) -> UUID:
    """A UUID of version 7: as text it sorts by the millisecond in which it was made; 74 of its bits are random."""
    chance = int.from_bytes(os.urandom(10), "big")
    low = _VARIANT << _RANDOM_BITS | chance & (1 << _RANDOM_BITS) - 1
    high = (moment_ms & (1 << 48) - 1) << 16 | _VERSION << 12 | chance >> 68
    return UUID(int=high << 64 | low)


def made_of(text: str) -> UUID:
    """A UUID of version 8: always the same for the same text, from 122 bits of its digest."""
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    low = _VARIANT << _RANDOM_BITS | digest & (1 << _RANDOM_BITS) - 1
    high = digest >> 64 & ~(0xF << 12) | _MADE << 12
    return UUID(int=high << 64 | low)
