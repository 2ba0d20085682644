"""``Form``: a page that says what would be done, asks for what that takes, and does it once its button is pressed."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fsmflow.errors import DataError, FsmflowError, shown, text_of
from fsmflow.log import web
from fsmflow.objects.fields import read_milliseconds
from fsmflow.values import dataclass
from fsmflow.web.forgery import fields_of
from fsmflow.web.statuses import status_of, told_on_pages
from fsmflow.web.templates import link, render

#: What was filled in, by the names of the fields.
Given = Mapping[str, str]
#: A page that comes next: its path, which is quoted where it is written, and what is asked of it.
Way = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Field:
    """``kind``: ``text``, ``number``, ``area``, ``choice`` or ``check``. ``choices``: what can be chosen, and how that
    is called."""

    name: str
    label: str
    kind: str = "text"
    hint: str = ""
    placeholder: str = ""
    required: bool = False
    choices: Sequence[tuple[str, str]] = ()


#: Kept wherever there is a history to keep it in.
REASON = Field(name="reason", label="Reason", hint="Kept in the history.")


@dataclass(frozen=True, kw_only=True)
class Form:
    """``says``: what would be done, a sentence each. ``verb``: what its button does. ``back``: the page where people
    come from, and ``where`` its name. ``command`` does the same in a terminal. ``is_grave``: it cannot be taken back.
    """

    title: str
    says: Sequence[str]
    verb: str
    back: str
    where: str
    command: str
    fields: Sequence[Field] = ()
    is_grave: bool = False


def given_in(request: Request) -> dict[str, str]:
    """What was filled in; where nothing was sent yet, what the link to the form says."""
    if request.method == "POST":
        return {name: values[0] for name, values in fields_of(request).items()}
    return dict(request.query_params)


def answered(
    request: Request,
    shown_as: Callable[[Given], Mapping[str, Any]],
    act: Callable[[Given], Way],
    *,
    template: str = "form.html",
    faults: Callable[[Exception | None], Mapping[str, str]] | None = None,
) -> Response:
    """The page of a form; or, where its button was pressed, the way to the page that ``act`` says once it has done it.
    What is refused is told above the form, which keeps what was filled in. ``shown_as``: what the template is given, in
    the place of ``given`` too. ``faults``: what a refusal says of each field, which stands beside that.
    """
    given, refusal = given_in(request), None
    if request.method == "POST":
        try:
            return RedirectResponse(link(request, *act(given)), 303)
        except FsmflowError as error:
            refusal = error
            note_refusal(request, error)
    status = 200 if refusal is None else status_of(refusal).code
    why = None if refusal is None else told_on_pages(refusal)
    beside = {} if faults is None else faults(refusal)
    key = given.get("key") or uuid.uuid4().hex
    context = {"given": given, "error": why, "faults": beside, "key": key, **shown_as(given)}
    return render(request, template, status=status, **context)


def note_refusal(request: Request, error: FsmflowError) -> None:
    """Log a try that was not permitted."""
    if status_of(error).code == 403:
        web.refused(request.method, request.url.path, text_of(error))


def told(given: Given, name: str) -> str | None:
    """What a field holds; None where that is nothing."""
    return given.get(name, "").strip() or None


def number(given: Given, name: str, least: int = 1) -> int | None:
    """A whole number; None where nothing was filled in. Raises DataError."""
    text = told(given, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise DataError(f"{name} is {shown(text)}; it is a whole number from {least}")
    return int(text)


def moment(given: Given, name: str, now: datetime) -> datetime | None:
    """``2h`` from now on, ``2030-01-31`` or ``2030-01-31T18:00``, in UTC where it has no zone; None where nothing was
    filled in. Raises DataError."""
    text = told(given, name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found if found.utcoffset() is not None else found.replace(tzinfo=UTC)
    except ValueError:
        pass  # a duration, or nothing that is known
    try:
        return now + timedelta(milliseconds=read_milliseconds(text))
    except (ValueError, OverflowError) as error:
        raise DataError(f"{name} is {shown(text)}; write 2h, 2030-01-31 or 2030-01-31T18:00, in UTC") from error


def rate(given: Given, name: str) -> float | None:
    """``50/s``, ``30/m`` or ``100/h``, as a number a second; None where nothing was filled in. Raises DataError."""
    text = told(given, name)
    if text is None:
        return None
    count, _, unit = text.partition("/")
    try:
        found = float(count) / {"": 1, "s": 1, "m": 60, "h": 3600}[unit]
    except (ValueError, KeyError) as error:
        raise DataError(f"{name} is {shown(text)}; write 50/s, 30/m or 100/h") from error
    if not math.isfinite(found):
        raise DataError(f"{name} is {shown(text)}; write 50/s, 30/m or 100/h")
    return found
