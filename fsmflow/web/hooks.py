"""``POST /hooks/<name>``: webhooks of others. Their senders prove who they are by a signature, and log in nowhere.

The status says what a sender is to do. Stripe, and senders by Standard Webhooks, try again for days after all that is
no 2xx, and then give up the address; GitHub never tries again, and shows what failed. So what only somebody's hand can
bring on is kept and answered with 202, and what may pass with 503.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fsmflow.engine.hooks import Taken, receive
from fsmflow.engine.runtime import current
from fsmflow.errors import ConfigurationError, TransitionConflict, text_of
from fsmflow.log import hooks as told
from fsmflow.web.security import BODY
from fsmflow.web.threads import threaded

_STATUSES: Final = {
    Taken.KEPT: 202,
    Taken.UNSIGNED: 401,
    Taken.UNKNOWN: 404,
    Taken.LARGE: 422,
    Taken.LATER: 503,
}
_AGAIN: Final = {"Retry-After": "60"}


@threaded
def _receive(request: Request) -> Response:
    name, body = request.path_params["name"], request.scope.get(BODY, b"")
    headers: dict[str, str] = {}
    for header, value in request.headers.items():
        headers.setdefault(header.lower(), value)
    try:
        taken = receive(current(), name, headers, body)
    except (ConfigurationError, TransitionConflict) as error:
        told.hook_put_off(name, text_of(error))
        taken = Taken.LATER
    status = _STATUSES.get(taken, 200)
    return JSONResponse({"taken": taken.value}, status_code=status, headers=_AGAIN if status == 503 else None)


ROUTES: Final = (Route("/hooks/{name}", _receive, methods=["POST"]),)
