"""Starting deliveries where no transition tells of something."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fsmflow.decision.happenings import Triggered
from fsmflow.decision.notice import DELIVER, delivery_of, message_id
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.start import Birth, start
from fsmflow.operations.notice import Notice


def deliver(
    runtime: Runtime, channel: str, type_: str, at: datetime, data: Mapping[str, Any], *, about: str, key: str
) -> str:
    """Have one message brought to a channel; the address of its delivery. It is durable once this returns.

    ``key``: what is told by it, in this installation. Whoever calls this again with the same key and channel, after a
    crash or beside another process, tells nothing twice.
    """
    id_ = message_id(runtime.store.installation, about, type_, channel, key)
    given = delivery_of(channel, type_, at, data, about=about)
    definition = runtime.machines.get(Notice.name)
    birth = Birth(entity_id=id_, data=given, first=Triggered(trigger=DELIVER))
    return start(runtime, definition, birth, if_exists="return").address
