"""What a guard answers: that it lets a transition pass, or that it refuses, perhaps in words. All else is a mistake."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any

from fsmflow.errors import DataError, shown
from fsmflow.values import dataclass

MAX_WORDS = 1_000


@dataclass(frozen=True)
class Refuse:
    """What a guard returns to refuse, with a sentence that the caller, ``explain`` and ``triggers`` show as it is.

    It counts as false. In ``unless`` it refuses too: whoever returns it has said so. Raises DataError for what is no
    sentence.
    """

    words: str

    def __post_init__(self) -> None:
        if not isinstance(self.words, str) or not self.words.strip():
            raise DataError(f"Refuse({shown(self.words)}); it takes the sentence that says why")
        if len(self.words) > MAX_WORDS:
            raise DataError(f"Refuse(...) has {len(self.words):,} characters; {MAX_WORDS:,} are allowed")

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a transition was not taken: the first of its guards that refused. ``words`` None: it said no more than that.

    ``dest`` None stands for an internal transition.
    """

    guard: str
    is_veto: bool
    trigger: str
    dest: str | None
    words: str | None = None

    def __str__(self) -> str:
        if self.words is not None:
            return self.words
        to = f"to {self.dest!r}" if self.dest else "internal"
        return f"{self.short} ({self.trigger} {to})"

    @property
    def short(self) -> str:
        """The same, for whoever knows of which transition."""
        return self.words or f"guard {self.guard!r} is {'true' if self.is_veto else 'false'}"


class NoAnswer(Exception):
    """A guard returned what is no answer. Its text follows on the name of the guard."""


def refuses(answer: Any, *, is_veto: bool) -> bool:
    """Whether a guard that gave ``answer`` refuses; ``is_veto``: it is one of ``unless``.

    Raises NoAnswer, and what asking ``answer`` for its truth raises.
    """
    if answer is True or answer is False or answer is None:
        return bool(answer) is is_veto
    if isinstance(answer, Refuse):
        return True
    fault = _fault(answer)
    if fault is not None:
        raise NoAnswer(f"returned {fault}")
    return bool(answer) is is_veto


def _fault(answer: Any) -> str | None:
    """What is wrong with an answer: most of what is told here would count as true, whatever was meant."""
    if isinstance(answer, str | bytes):
        refuse = f"Refuse({shown(answer)})" if isinstance(answer, str) and answer else "Refuse('...')"
        return f"text alone, {shown(answer)}; return True or False, or {refuse} to refuse in words"
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        return f"a {type(answer).__name__}, which would always count as true; a guard is not async"
    always = "which would always count as true"
    if inspect.isgenerator(answer) or inspect.isasyncgen(answer):
        return f"a generator, {always}; return the verdict itself, such as any(...)"
    if isinstance(answer, tuple):
        return f"the tuple {shown(answer)}; return True or False, or Refuse('...') to refuse in words"
    if isinstance(answer, BaseException):
        return f"the exception {shown(answer)}, {always}; return Refuse('...')"
    if callable(answer):
        return f"{shown(answer)}, {always}; is it to be called?"
    if answer is NotImplemented or (isinstance(answer, Enum) and not isinstance(answer, int)):
        return f"{shown(answer)}, {always}; return True or False"
    return None
