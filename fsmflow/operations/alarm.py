"""``Alarm``: something that somebody is to be told of, once when it begins and once when it ends, as an entity."""

from __future__ import annotations

from typing import Final

from fsmflow.definition.state import State
from fsmflow.engine.signs import ALARM
from fsmflow.machine import Machine

#: Raised, and not told yet.
RAISING: Final = "raising"
RAISED: Final = "raised"
#: Over, and not told yet.
ENDING: Final = "ending"
QUIET: Final = "quiet"
BEGIN, TOLD, END = "begin", "told", "end"
_SILENCE: Final = "'pause' silences it until 'resume', 'cancel' for good"


class Alarm(Machine):
    """Tell somebody of something, once when it begins and once when it ends.

    Maintenance starts one for each thing there is to be alarmed about, and tells of it. One that is paused is silent;
    one that is cancelled stays silent for good.
    """

    name = ALARM
    initial = RAISING
    internal_triggers = (BEGIN, TOLD, END)
    waits_for = {
        RAISING: f"somebody to be told of it; {_SILENCE}",
        RAISED: f"its end, which workers find by themselves; {_SILENCE}",
        ENDING: f"somebody to be told of its end; {_SILENCE}",
        QUIET: f"its cause to come again; {_SILENCE}",
    }
    states = [State(RAISING), State(RAISED), State(ENDING), State(QUIET)]
    transitions = [
        {"trigger": BEGIN, "source": QUIET, "dest": RAISING, "before": "note"},
        # Whoever was not told of its end need not be told that it goes on.
        [BEGIN, ENDING, RAISED],
        [TOLD, RAISING, RAISED],
        [END, RAISED, ENDING],
        # Whoever was not told of its beginning need not be told that it is over.
        [END, RAISING, QUIET],
        [TOLD, ENDING, QUIET],
    ]

    def note(self) -> None:
        """Keep what there is to be alarmed about now."""
        self.data.update(self.event.payload)
