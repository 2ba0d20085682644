"""API tokens: what lets a program in, in the name of its owner. The secret is shown once, and kept by nobody here."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Final

from fsmflow.decision.inputs import Actor, checked_reason
from fsmflow.decision.user import Token, TokenKind
from fsmflow.definition.operators import TOKENS
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.users import actor_of, may, permit
from fsmflow.errors import DataError
from fsmflow.log.users import token_made, token_revoked

#: What all of them begin with: scanners of secrets find it, and nobody takes one for something else.
PREFIX: Final = "fsmflow_"
DAY_MS: Final = 86_400_000
LONGEST_MS: Final = 2 * 365 * DAY_MS
#: How long one that has ended is still listed.
_KEPT_MS: Final = 90 * DAY_MS
#: How exact it is when one was used last: not each request writes.
_COARSE_MS: Final = 60_000
_BYTES: Final = 32


def secret() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(_BYTES)


def digest_of(text: str) -> str:
    """What is stored of a secret. It is random, so nothing slower than this is needed."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def make(
    runtime: Runtime,
    owner: str,
    actor: Actor,
    *,
    lasts_ms: int,
    roles: Iterable[str] | None = None,
    reads: bool = False,
    note: str | None = None,
) -> tuple[Token, str]:
    """A token that acts as its owner for so long, and its secret, which nobody can look up again.

    ``roles``: those of the owner that it has, all if not given. ``reads``: it only lets look. Whoever is the owner
    needs no permission. Raises NotPermitted, DataError.
    """
    if actor.login != owner:
        permit(runtime, TOKENS, actor)
    wanted = None if roles is None else frozenset(roles)
    _check_owner(runtime, owner, wanted or frozenset())
    if not 0 < lasts_ms <= LONGEST_MS:
        raise DataError(f"a token lasts for at most {LONGEST_MS // DAY_MS} days")
    now, text = runtime.now(), PREFIX + secret()
    _forget_ended(runtime, now)
    token = Token(
        id=secrets.token_hex(6),
        digest=digest_of(text),
        kind=TokenKind.API,
        owner=owner,
        roles=wanted,
        reads=reads,
        made_at=now,
        made_by=actor.name,
        until=now + lasts_ms,
        note=checked_reason(note),
    )
    runtime.store.tokens.add(token)
    token_made(token.id, owner, actor.name)
    return token, text


def listed(runtime: Runtime, actor: Actor) -> list[Token]:
    """The API tokens that an actor may know of: all of them with the permission, else those that act as the actor."""
    every = runtime.store.tokens.of_kind(TokenKind.API)
    return every if may(runtime, TOKENS, actor) else [token for token in every if token.owner == actor.login]


def revoke(runtime: Runtime, token_id: str, actor: Actor) -> Token:
    """Have a token let nobody in any more, from now on. Raises NotPermitted, DataError."""
    token = runtime.store.tokens.named(token_id)
    if token is None or token.kind is not TokenKind.API or token.owner != actor.login:
        permit(runtime, TOKENS, actor)
    if token is None or token.kind is not TokenKind.API:
        raise DataError(f"there is no token {token_id!r}; 'fsmflow tokens list' shows those that there are")
    if runtime.store.tokens.revoke(token_id, runtime.now(), actor.name):
        token_revoked(token_id, token.owner, actor.name)
    return token


def let_in(runtime: Runtime, text: str) -> tuple[Token, Actor] | str:
    """The token of a secret and whom it acts as; or why it lets nobody in, without the secret. Two queries."""
    token = runtime.store.tokens.find(digest_of(text))
    if token is None or token.kind is not TokenKind.API:
        return "no such token"
    now = runtime.now()
    if not token.stands(now):
        return f"token {token.id} of {token.owner!r} {'was revoked' if token.revoked_at is not None else 'has ended'}"
    person = actor_of(runtime, token.owner)
    if person is None:
        return f"token {token.id}: {token.owner!r} may not log in"
    note_use(runtime, token, now)
    roles = person.roles if token.roles is None else person.roles & token.roles
    return token, Actor(person.name, roles, login=person.login, teams=person.teams)


def note_use(runtime: Runtime, token: Token, now: int) -> None:
    """Note that something was used, unless that was noted within the last minute."""
    if token.used_at is None or now - token.used_at >= _COARSE_MS:
        runtime.store.tokens.used(token, now)


def _check_owner(runtime: Runtime, owner: str, wanted: frozenset[str]) -> None:
    person = actor_of(runtime, owner)
    if person is None:
        raise DataError(f"{owner!r} is no user who may log in, nor named under [people] in the permissions")
    beyond = sorted(wanted - person.roles)
    if beyond:
        has = ", ".join(sorted(person.roles)) or "none"
        raise DataError(f"a token can have no more than its owner: {owner!r} has the roles {has}, not {beyond[0]!r}")


def _forget_ended(runtime: Runtime, now: int) -> None:
    old = [one.id for one in runtime.store.tokens.of_kind(TokenKind.API) if one.until < now - _KEPT_MS]
    runtime.store.tokens.remove(old[:1_000])
