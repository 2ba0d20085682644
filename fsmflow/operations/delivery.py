"""``Delivery``: one message to one channel, as an entity of its own, until it is taken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from fsmflow.channels.message import Message
from fsmflow.channels.sender import send
from fsmflow.decision.notice import DELIVER, DELIVERY
from fsmflow.definition.names import CANCELLED, DELIVERIES
from fsmflow.definition.retry import Retry
from fsmflow.definition.state import State
from fsmflow.engine.runtime import current
from fsmflow.machine import Machine
from fsmflow.settings.channels import channel_of

#: About a day, as Standard Webhooks has it.
INTERVALS_S: Final = (5, 60, 300, 1_800, 3_600, 7_200, 14_400, 21_600, 36_000)
#: A receiver that puts us off again and again is not asked for longer.
_WITHIN: Final = timedelta(days=2)
#: No try of a channel takes as long.
_LIMIT_S: Final = 120


class Delivery(Machine):
    """Bring one message to one channel: try it again, ever later, for about a day.

    A machine's ``tell`` and alarms start one. The message keeps its id over all tries, so that whoever gets it twice
    can tell.
    """

    name = DELIVERY
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
        channel = channel_of(current().settings.channels, self.data["channel"])
        return {"answered": send(channel, self.message)}

    @property
    def message(self) -> Message:
        """What is sent."""
        return Message(id=self.entity_id, type=self.data["type"], **self.data["message"])
