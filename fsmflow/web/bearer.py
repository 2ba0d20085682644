"""API tokens, as programs send them: ``Authorization: Bearer ...``. In a URL they are nothing."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fsmflow.decision.inputs import Actor
from fsmflow.engine import tokens
from fsmflow.engine.runtime import current
from fsmflow.log.users import token_refused
from fsmflow.web.errors import refused
from fsmflow.web.identity import Entrance

HEADER: Final = "authorization"
_SCHEME: Final = "bearer"
_LOOKS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: What is longer is no token.
_MOST_CHARS: Final = 200


class TokenAuth(Entrance):
    """Who asks is the owner of the API token that comes with the request, with at most the roles of the token. A token
    that was revoked, has ended, or whose owner is disabled lets nobody in, and the log tells of it."""

    def __call__(self, request: Request) -> Actor | None:
        text = secret_of(request)
        if text is None:
            return None
        found = tokens.let_in(current(), text) if len(text) <= _MOST_CHARS else "no such token"
        if not isinstance(found, str) and found[0].reads and request.method not in _LOOKS:
            found = f"token {found[0].id} only lets look"
            request.state.refused_token = found
        if isinstance(found, str):
            token_refused(request.client.host if request.client else "a local socket", found)
            request.state.token_is_refused = True
            return None
        return found[1]

    def refuses(self, request: Request) -> bool:
        return getattr(request.state, "token_is_refused", False)

    def challenge(self, request: Request) -> Response | None:
        told = getattr(request.state, "refused_token", None)
        return None if told is None else refused(request, 403, "Not permitted", f"The {told}.")


def secret_of(request: Request) -> str | None:
    """The token that comes with a request."""
    scheme, _, text = request.headers.get(HEADER, "").strip().partition(" ")
    return text.strip() if scheme.lower() == _SCHEME else None
