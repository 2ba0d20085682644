"""``HostUser``: who asks is whom the application around this one says, where it hands a request on by a function call.

Such an application, of Django or Flask, looks up its user where it always does, and lays what it found beside the
request, where nothing that comes from outside can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from fsmflow.decision.inputs import Actor
from fsmflow.values import dataclass
from fsmflow.web.identity import Entrance, way_to_login

#: Where a ``Word`` stands in the scope of a request, or in the environment of one by WSGI.
WORD: Final = "fsmflow.word"


@dataclass(frozen=True, kw_only=True)
class Word:
    """What the application around this one says of a request. ``who`` is called where the database may be asked; it
    raises NotPermitted for somebody who is known and not let in."""

    who: Callable[[], Actor | None]
    login_url: str | None = None
    home_links: Mapping[str, str] = field(default_factory=dict)


class HostUser(Entrance):
    """An ``auth``. Without a word nobody is anybody."""

    def __call__(self, request: Request) -> Actor | None:
        word = _word_of(request)
        if word is None:
            return None
        request.state.home_links = word.home_links
        return word.who()

    def challenge(self, request: Request) -> Response | None:
        """The way to the login of the application around this one."""
        word = _word_of(request)
        return None if word is None or word.login_url is None else way_to_login(request, word.login_url)


def _word_of(request: Request) -> Word | None:
    environ: Mapping[str, Any] = request.scope.get("wsgi_environ", {})
    found: Word | None = request.scope.get(WORD, environ.get(WORD))
    return found
