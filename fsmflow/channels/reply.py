"""What whoever receives a message answers, and what that means."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

from fsmflow import clock
from fsmflow.errors import Fail, FsmflowError, RetryAfter
from fsmflow.log.lines import one_line
from fsmflow.values import dataclass

#: So much of an answer is read, and kept.
MAX_TEXT: Final = 1_000
#: For no longer than this somebody can put us off.
_LONGEST_S: Final = 6 * 3_600
_GONE: Final = 410
_PUTS_OFF: Final = (429, 503)


class NotDelivered(FsmflowError):
    """A message was not taken; the text says by whom, and what was answered."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a server of HTTP answered. ``text`` is the beginning of its body."""

    status: int
    reason: str = ""
    text: str = ""
    retry_after: str | None = None

    def __str__(self) -> str:
        status = one_line(f"{self.status} {self.reason}").strip()
        return f"{status}: {told(self.text)}" if self.text.strip() else status


def told(text: str) -> str:
    """What somebody else wrote, as it can be shown: one line, its beginning."""
    line = "".join(char if char.isprintable() else " " for char in one_line(text))
    return line if len(line) <= MAX_TEXT else f"{line[:MAX_TEXT]}..."


def judged(host: str, reply: Reply) -> str:
    """What is kept of an answer that takes the message.

    Raises RetryAfter where it says when to come again, Fail where nobody wants messages there any more, and
    NotDelivered for all else.
    """
    if 200 <= reply.status < 300:
        return f"{host} answered {reply}"
    if reply.status == _GONE:
        raise Fail(f"{host} answered {reply}: it wants no messages any more; take the channel away, or change it")
    if 300 <= reply.status < 400:
        raise NotDelivered(
            f"{host} answered {reply}: it points to another address, and redirects are not followed; give the channel "
            f"the address itself"
        )
    seconds = _seconds(reply.retry_after) if reply.status in _PUTS_OFF else None
    if seconds is not None:
        raise RetryAfter(seconds, f"{host} answered {reply}, and asks to come again in {seconds:g} s")
    raise NotDelivered(f"{host} answered {reply}")


def _seconds(retry_after: str | None) -> float | None:
    """What a header ``Retry-After`` says; None for what cannot be read."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(min(int(text), _LONGEST_S))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.utcoffset() is None:
        return None
    return min(max(0.0, (clock.from_datetime(moment) - clock.local_now()) / 1000), _LONGEST_S)
