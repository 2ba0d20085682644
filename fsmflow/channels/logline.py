"""Messages as lines of the log."""

from __future__ import annotations

from fsmflow.channels.kinds import Log
from fsmflow.channels.message import Message
from fsmflow.log.notices import message_told


def send(channel: Log, message: Message) -> str:
    """Write the line."""
    address = message.data.get("address")
    message_told(channel.number, message.type, message.text, message.id, address if isinstance(address, str) else None)
    return "written to the log"
