"""``what_if``: decides on a trigger as it would be decided now, and writes nothing."""

from __future__ import annotations

from fsmflow.decision.forecast import Forecast, forecast_of, refused, repeated
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.offers import Way, ways_of
from fsmflow.decision.redaction import carried, masked
from fsmflow.engine.keys import first_with_key
from fsmflow.engine.lookup import Instance
from fsmflow.engine.permission import context_for
from fsmflow.engine.requests import planned
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import check_team
from fsmflow.errors import ConfigurationError, FsmflowError, name_of, text_of


def forecast(runtime: Runtime, instance: Instance, asked: Triggered) -> Forecast:
    """What a trigger would lead to. What would refuse it, or be raised by a guard, callback or method, is told; raises
    what no trigger can be: DataError for options of another kind, DatabaseUnavailable, EntityNotFound. One query, and
    what guards look at; they are asked twice."""
    asked = asked.checked()
    check_team(runtime, instance.snapshot, asked.actor)
    own, snapshot = instance.own, instance.snapshot
    ways: tuple[Way, ...] = ()
    try:
        first = first_with_key(runtime, instance.checked(), asked)
        if first is not None:
            why = f"key {asked.key!r} was used for this in line {first.seq} of its history"
            return repeated(snapshot, asked.trigger, why)
        context = context_for(runtime, instance)
        ways = ways_of(own, snapshot, asked.trigger, asked.actor, runtime.now(), context, asked.payload)
        return forecast_of(own, planned(runtime, instance, asked), asked.trigger, ways)
    except ConfigurationError:
        raise
    except FsmflowError as error:
        why = text_of(error)
    except Exception as error:  # noqa: BLE001 - what the user's callback raises would reach whoever fires
        why = f"{name_of(type(error))}: {text_of(error)}"
    return refused(own, snapshot, asked.trigger, masked(own, why, snapshot, *carried(asked)), ways)
