"""``Notice``: one message to one channel, as an entity of its own, until it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NoReturn

from fsmflow import clock
from fsmflow.channels.message import Message
from fsmflow.channels.reply import NotDelivered
from fsmflow.channels.sender import send
from fsmflow.decision.notice import DELIVER, NOTICE
from fsmflow.definition.names import CANCELLED, DELIVERIES
from fsmflow.definition.retry import Retry
from fsmflow.definition.state import State
from fsmflow.engine.runtime import current
from fsmflow.errors import RetryAfter
from fsmflow.machine import Machine
from fsmflow.settings.channels import channel_of

#: About a day, as Standard Webhooks has it.
INTERVALS_S: Final = (5, 60, 300, 1_800, 3_600, 7_200, 14_400, 21_600, 36_000)
#: A receiver that puts us off again and again is not asked for longer.
_WITHIN: Final = timedelta(days=2)
#: No try of a channel takes as long.
_LIMIT_S: Final = 120
#: A channel that did not take a message, and took so long for that, is left alone by this process for so many times as
#: long: no more than a fifth of its time goes into one that hangs, however many messages wait.
SLOW_S: Final = 1.0
_REST: Final = 4
#: For how long a message is put off at least, each time that it was not tried.
_NOT_ASKED_S: Final = INTERVALS_S[:3]
#: Until when by the clock of this process, by name.
_slow: Final[dict[str, float]] = {}


class Notice(Machine):
    """Bring one message to one channel: try it again, ever later, for about a day.

    A machine's ``tell`` and alarms start one. The message keeps its id over all tries, so that whoever gets it twice
    can tell.
    """

    name = NOTICE
    initial = "new"
    retention = timedelta(days=7)
    search = ("channel", "about")
    states = [
        State("new"),
        State(
            "sending",
            job="hand_over",
            queue=DELIVERIES,
            timeout=_LIMIT_S,
            within=_WITHIN,
            retry=Retry(max=len(INTERVALS_S), interval=list(INTERVALS_S)),
        ),
        State("delivered", final=True),
        State(CANCELLED, final=True),
    ]
    transitions = [
        [DELIVER, "new", "sending"],
        ["done", "sending", "delivered"],
    ]

    def hand_over(self) -> dict[str, Any]:
        """Send it once. The channel is the one of today: what was stored knows its name alone."""
        name, message = self.data["channel"], self.message
        channel = channel_of(current().settings.channels, name)
        left_s = _slow.get(name, 0.0) - clock.monotonic()
        if left_s > 0:
            self._put_off(left_s, f"channel {name!r} has just taken long, and was not asked", _NOT_ASKED_S)
        began = clock.monotonic()
        try:
            answered = send(channel, message)
        except RetryAfter as asked:
            self._put_off(asked.seconds, str(asked), INTERVALS_S)
        except NotDelivered:
            took_s = clock.monotonic() - began
            if took_s > SLOW_S:
                _slow[name] = clock.monotonic() + _REST * took_s
            raise
        _slow.pop(name, None)
        return {"answered": answered}

    def _put_off(self, seconds: float, why: str, least_s: Sequence[float]) -> NoReturn:
        """Try it again then, and later each time that this comes about; ``why`` is seen meanwhile."""
        self.data["answered"] = why
        self.save()
        raise RetryAfter(max(seconds, least_s[min(self.attempt or 1, len(least_s)) - 1]), why)

    @property
    def message(self) -> Message:
        """What is sent."""
        return Message(id=self.entity_id, type=self.data["type"], **self.data["message"])
