"""Sends one message once, by whichever kind of channel it is."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from fsmflow.channels.kinds import Channel
from fsmflow.channels.message import Message

#: What each kind of channel is sent by; what few processes need is imported where it is needed.
_SENDERS: Final = {
    "log": "fsmflow.channels.logline",
    "command": "fsmflow.channels.command",
    "email": "fsmflow.channels.mail",
    "webhook": "fsmflow.channels.webhook",
}


def send(channel: Channel, message: Message) -> str:
    """Send it; what was answered, in words, without anything that is secret.

    It may have arrived though this raises, or though nothing comes back: who receives knows it by its id. Raises
    NotDelivered, RetryAfter, Fail where nobody wants messages there any more, and ConfigurationError.
    """
    answered: str = import_module(_SENDERS[channel.kind]).send(channel, message)
    return answered
