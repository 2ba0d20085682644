"""Raises alarms and ends them, a look at a time: whoever looks next goes on where another one has died."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from fsmflow import clock
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.team import for_all
from fsmflow.definition.names import FINISHED
from fsmflow.engine import followup
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.signs import ALARM, Rule, Sign, rules_of, signs
from fsmflow.engine.start import Birth, start
from fsmflow.errors import ConfigurationError, DatabaseUnavailable, TransitionNotAllowed
from fsmflow.log.alarms import alarm_nowhere, alarm_over, alarm_raised, alarm_untold
from fsmflow.operations.alarm import BEGIN, END, ENDING, RAISED, RAISING, TOLD
from fsmflow.operations.deliveries import deliver
from fsmflow.points import point
from fsmflow.scope import scope
from fsmflow.settings.channels import channel_of
from fsmflow.store.listing import Filter
from fsmflow.values import dataclass

#: How often somebody looks, of all who could.
EVERY_MS: Final = 15_000
#: For so long there has to be nothing to be alarmed about before an alarm ends.
CALM_MS: Final = 120_000
#: Where nobody has looked for so long, what was calm before may not have been meanwhile.
_GAP_MS: Final = 180_000
#: The fact that holds when somebody looked last, and since when what is raised has been calm.
_FACT: Final = "alarms"
#: What a message says of it.
_TOLD: Final = ("todo", "kind", "machine", "values")
_ACTOR: Final = for_all("fsmflow")


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """``at``: when somebody looked last. ``calm``: since when alarms that are raised have had nothing to say."""

    at: int
    calm: Mapping[str, int]

    @classmethod
    def of(cls, text: str | None) -> _Seen:
        return cls(at=-(2**62), calm={}) if text is None else cls(**json.loads(text))

    def to_text(self) -> str:
        return json.dumps({"at": self.at, "calm": dict(self.calm)}, separators=(",", ":"))


@scope
def _by_itself(address: str) -> Iterator[None]:
    """What goes wrong inside with one alarm is logged, and keeps no other one from its turn."""
    try:
        yield
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        alarm_untold(address, error)


class Watch:
    """The looks of one sweeper. Of all sweepers one looks at a time; each change of an alarm is a compare-and-set, so
    that two of them raise it once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._next = -(2**62)
        self._rests = False
        #: Whether any is raised, and when the first that is calm ends, as the last look found it.
        self._is_raised = False
        self._ends: int | None = None

    def go_on(self) -> None:
        """Look, if it is time and nobody else has looked lately. Without a query where there is nothing to look for;
        what that is changes with the next process. Raises DatabaseUnavailable: nothing begins or ends then."""
        now = self._runtime.now()
        if self._rests or now < self._next:
            return
        self._next = now + EVERY_MS
        rules = rules_of(self._runtime)
        if not rules:
            self._rests = True
        elif (taken := self._take(now)) is not None:
            self._look(rules, now, taken)

    def next_look(self, stirred: int) -> int | None:
        """When to look next, for whoever moves the clock: soon after something was done at ``stirred``, and at the
        moment at which one that is calm ends; ever more rarely while one is raised, as it may be over by time alone.
        None where a look would find what the last one did. No query."""
        last = self._next - EVERY_MS
        moments = [] if self._ends is None else [self._ends]
        if last < stirred + EVERY_MS:
            moments.append(stirred + EVERY_MS)
        elif self._is_raised:
            moments.append(last + (last - stirred))
        now = self._runtime.now()
        return None if self._rests else min((moment for moment in moments if moment > now), default=None)

    def _take(self, now: int) -> _Seen | None:
        """Have this look to oneself, and what was seen before. None where somebody else has looked."""
        before, text = self._read()
        if before.at <= now < before.at + EVERY_MS:
            return None
        taken = _Seen(at=now, calm=before.calm if now - before.at < _GAP_MS else {})
        return taken if self._write(text, taken) else None

    def _read(self) -> tuple[_Seen, str | None]:
        text = self._runtime.store.meta.get([_FACT]).get(_FACT)
        return _Seen.of(text), text

    def _write(self, before: str | None, after: _Seen) -> bool:
        meta, text = self._runtime.store.meta, after.to_text()
        if before is None:
            return meta.add(_FACT, text)
        return bool(self._runtime.store.link.write(lambda: meta.swap(_FACT, before, text)))

    def _look(self, rules: list[Rule], now: int, taken: _Seen) -> None:
        raised = {each.entity_id: each for each in self._open(RAISED, RAISING)}
        seen = signs(self._runtime, rules, raised)
        for id_, sign in seen.found.items():
            if sign.begins and id_ not in raised:
                with _by_itself(f"{ALARM}:{id_}"):
                    self._begin(sign)
        calm: dict[str, int] = {}
        for id_, alarm in raised.items():
            if id_ in seen.found or alarm.data.get("rule") in seen.unknown:
                continue
            since = taken.calm.get(id_, now)
            if now - since < CALM_MS:
                calm[id_] = since
                continue
            with _by_itself(alarm.address):
                self._fire(alarm, END)
        self._is_raised = bool(raised) or any(sign.begins for sign in seen.found.values())
        self._ends = min(calm.values()) + CALM_MS if calm else None
        self._tell_all()
        if calm != taken.calm:
            self._write(taken.to_text(), _Seen(at=now, calm=calm))

    def _open(self, *states: str) -> Iterator[Snapshot]:
        """The alarms in these states. One query, by index."""
        return self._runtime.store.listing.find(Filter(machine=ALARM, states=states))

    def _begin(self, sign: Sign) -> None:
        told: dict[str, Any] = {name: value for name, value in vars(sign).items() if name not in ("id", "begins")}
        told |= {"tell": list(sign.tell), "values": dict(sign.values), "since": self._runtime.now()}
        point("alarm.seen", f"{ALARM}:{sign.id}")
        there = self._runtime.store.entities.load(ALARM, sign.id)
        if there is None:
            birth = Birth(entity_id=sign.id, data=told, actor=_ACTOR)
            start(self._runtime, self._runtime.machines.get(ALARM), birth, if_exists="return")
        elif there.phase != FINISHED:
            self._fire(there, BEGIN, told)

    def _fire(self, alarm: Snapshot, trigger: str, payload: Mapping[str, Any] | None = None) -> None:
        """Fire a trigger on an alarm as it was read; nothing where somebody else was first, who has done this, or
        after whom somebody looks again."""
        root = self._runtime.machines.get(ALARM)
        asked = Triggered(trigger=trigger, payload=payload or {}, actor=_ACTOR, internal=True)
        with suppress(TransitionNotAllowed):
            followup.attempt(self._runtime, instance_of(root, alarm), asked)

    def _tell_all(self) -> None:
        for alarm in self._open(RAISING, ENDING):
            with _by_itself(alarm.address):
                self._tell(alarm)

    def _tell(self, alarm: Snapshot) -> None:
        """Tell of a beginning or an end, and note that it was told. Who dies in between is followed by somebody who
        tells it again: in the log twice, to a channel once. Raises DatabaseUnavailable."""
        if alarm.paused:
            return
        is_over = alarm.state == ENDING
        point("alarm.raised", alarm.address)
        text, todo = str(alarm.data.get("text")), str(alarm.data.get("todo"))
        message: dict[str, Any] = {name: alarm.data.get(name) for name in _TOLD}
        if is_over:
            lasted_ms = alarm.entered_at - int(alarm.data["since"])
            text = f"it is over, after {clock.span(lasted_ms)}; when it began: {text}"
            message["lasted_s"] = lasted_ms / 1000
        message |= {"text": text, "alarm": alarm.address}
        at, key = clock.to_datetime(alarm.entered_at), f"{alarm.epoch}"
        for channel in self._channels(alarm):
            type_ = "alarm.over" if is_over else "alarm.raised"
            deliver(self._runtime, channel, type_, at, message, about=alarm.address, key=key)
        if is_over:
            alarm_over(alarm.address, text)
        else:
            alarm_raised(alarm.address, text, todo)
        point("alarm.told", alarm.address)
        self._fire(alarm, TOLD)

    def _channels(self, alarm: Snapshot) -> Iterator[str]:
        """The channels to which an alarm is told. One that is not there is logged, as nobody is called by a message
        that is tried for a day."""
        for name in alarm.data.get("tell", ()):
            try:
                channel_of(self._runtime.settings.channels, name)
            except ConfigurationError as error:
                alarm_nowhere(alarm.address, error)
            else:
                yield name
