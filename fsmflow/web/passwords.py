"""Passwords: as they may be, as they are stored, and compared without telling whether there is such a user."""

from __future__ import annotations

import threading
import unicodedata
from typing import Final

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

from fsmflow.errors import DataError

SHORTEST: Final = 12
LONGEST: Final = 256
#: What OWASP asks for at least: 19 MiB and two passes. Each try takes that much memory, so few run at once.
_hasher: Final = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))
_at_once: Final = threading.BoundedSemaphore(4)


def hashed(password: str, name: str) -> str:
    """What is stored of a new password. Raises DataError for one that is too short, too long, or the name itself."""
    text = _plain(password)
    if not SHORTEST <= len(text) <= LONGEST:
        raise DataError(f"the password has {len(text)} characters; it takes {SHORTEST} to {LONGEST}")
    if len(set(text)) == 1 or text.lower() == name.lower():
        raise DataError("the password is too easy to guess; take some words that nobody would put together")
    with _at_once:
        return _hasher.hash(text)


def is_right(password: str, stored: str | None) -> bool:
    """Whether a password is the one that was stored. It takes as long where there is none, so that nobody learns from
    that which users there are."""
    text = _plain(password)[: LONGEST + 1]
    with _at_once:
        try:
            right = _hasher.verify(text, stored or _NOBODYS)
        except PwdlibError:  # of a hash that is none, in a file: nobody gets in by it
            return False
    return right and stored is not None


def _plain(password: str) -> str:
    """The same letters, however a keyboard has put them together."""
    return unicodedata.normalize("NFKC", password)


_NOBODYS: Final = _hasher.hash("nobody has this password")
