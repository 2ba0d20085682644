"""The routes of the API: each operation reads its request, acts in a thread, and answers, whatever is raised."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.causes import place_of
from fsmflow.errors import DataError, FsmflowError, text_of
from fsmflow.log import web
from fsmflow.web.api import counts, drains, entities, failures, feeds, holds, limits, repairs, requests, schedules
from fsmflow.web.api.address import in_starlette
from fsmflow.web.api.call import KEY, MATCH, Answer, Call, epoch_of, key_of, response_of
from fsmflow.web.api.field import body_of, query_of
from fsmflow.web.api.openapi import document
from fsmflow.web.api.operation import Operation
from fsmflow.web.api.problem import MEDIA_TYPE, problem_of, raised
from fsmflow.web.api.repeat import act
from fsmflow.web.identity import actor_of
from fsmflow.web.threads import threaded

PREFIX: Final = "/api/v1"
OPERATIONS: Final[tuple[Operation, ...]] = (
    *counts.OPERATIONS,
    *entities.OPERATIONS,
    *requests.OPERATIONS,
    *failures.OPERATIONS,
    *repairs.OPERATIONS,
    *holds.OPERATIONS,
    *limits.OPERATIONS,
    *schedules.OPERATIONS,
    *drains.OPERATIONS,
    *feeds.OPERATIONS,
)


def _endpoint(operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    answer = threaded(_answered)

    async def endpoint(request: Request) -> Response:
        return await answer(operation, request, await request.body())

    return endpoint


def _answered(operation: Operation, request: Request, raw: bytes) -> Response:
    call: Call | None = None
    try:
        call = _call(operation, request, raw)
        return response_of(act(operation, call))
    except FsmflowError as error:
        found = problem_of(error, call, request.path_params)
        if found.status == 403:
            web.refused(request.method, request.url.path, text_of(error))
        return response_of(found, MEDIA_TYPE)
    except Exception as error:
        if place_of(error) is None:
            raise  # a fault of fsmflow, which is told as one
        web.failed(request.method, request.url.path, error)
        return response_of(raised(error), MEDIA_TYPE)


def _call(operation: Operation, request: Request, raw: bytes) -> Call:
    """Raises DataError for what is not as it is declared."""
    key, match = request.headers.get(KEY), request.headers.get(MATCH)
    if key is not None and not operation.takes_key:
        raise DataError(f"{operation.name} heeds no {KEY}: repeated, it would be done again")
    if match is not None and not operation.takes_epoch:
        raise DataError(f"{operation.name} heeds no {MATCH}")
    if operation.body is None and raw.strip():
        raise DataError(f"{operation.name} takes no body")
    return Call(
        actor=actor_of(request),
        path=dict(request.path_params),
        query=query_of(operation.query, request.query_params.multi_items()),
        body={} if operation.body is None else body_of(operation.body, raw),
        key=key_of(key),
        epoch=epoch_of(match),
    )


def _described(request: Request) -> Response:
    return response_of(Answer(content=document(OPERATIONS, request.scope.get("root_path", "") + PREFIX)))


ROUTES: Final = [
    Route(f"{PREFIX}/openapi.json", threaded(_described), methods=["GET"]),
    *(
        Route(PREFIX + in_starlette(each.path), _endpoint(each), methods=[each.method], name=f"api.{each.name}")
        for each in OPERATIONS
    ),
]
