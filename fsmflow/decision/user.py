"""People who log in with a password, and what they are let in by: sessions of a browser, and API tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from fsmflow.decision.kind import Kind
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class User:
    """``password`` is its hash. ``generation`` grows whenever all sessions of the user end. ``roles`` and ``teams``
    count where the installation has no permissions."""

    name: str
    password: str
    disabled: bool = False
    generation: int = 0
    roles: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    made_at: int | None = None
    made_by: str | None = None
    seen_at: int | None = None

    @property
    def mark(self) -> str:
        """What a session began under: another one where the password has changed, or all sessions were ended."""
        return hashlib.sha256(f"{self.generation}:{self.password}".encode()).hexdigest()[:32]


class TokenKind(Kind):
    """What somebody is let in by."""

    SESSION = "session"
    API = "api"


@dataclass(frozen=True, kw_only=True)
class Token:
    """``digest``: of the secret, which nobody keeps. ``roles``: those of its owner that it has, None for all of them.
    ``reads``: it only lets look. ``mark``: of a session, what it began under. ``used_at`` is not exact."""

    id: str
    digest: str
    kind: TokenKind
    owner: str
    made_at: int
    made_by: str | None
    until: int
    mark: str | None = None
    roles: frozenset[str] | None = None
    reads: bool = False
    used_at: int | None = None
    note: str | None = None
    revoked_at: int | None = None
    revoked_by: str | None = None

    def stands(self, now: int) -> bool:
        """Whether it lets anybody in at a moment, as far as it goes by itself."""
        return self.revoked_at is None and now < self.until


def names_as_text(names: Iterable[str]) -> str:
    """Names of roles or teams as they are stored."""
    return json.dumps(sorted(names), ensure_ascii=False, separators=(",", ":"))


def names_of_text(text: str) -> frozenset[str]:
    """The names that a stored text holds."""
    return frozenset(json.loads(text))
