"""Evaluates guards, as triggers are fired on ``transitions``: one shared Machine a definition, no model registered."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from transitions.core import Condition, Machine, Transition
from transitions.core import State as TransitionsState

from fsmflow.definition.bind import ref_name
from fsmflow.definition.model import Bound, Definition, StateSpec, TransitionSpec
from fsmflow.errors import NotPermitted


class Firing:
    """What ``transitions`` moves: a state, and a record of what happened on the way.

    ``roles`` None stands for the engine, which needs none.
    """

    def __init__(self, address: str, state: str, roles: frozenset[str] | None, actor: str | None) -> None:
        self.state = state
        self.address = address
        self.roles = roles
        self.actor = actor
        self.refusals: list[str] = []
        self.fired: TransitionSpec | None = None


class _Guard(Condition):
    """A condition that takes any truth value; ``transitions`` would compare with True itself."""

    def __init__(self, func: Bound, target: bool = True) -> None:
        super().__init__(func, target)
        self.bound = func

    def check(self, event_data: Any) -> bool:
        verdict = self.bound(*event_data.args)
        if inspect.iscoroutine(verdict):
            verdict.close()
            raise TypeError(f"guard {ref_name(self.bound)!r} returned a coroutine, which would always count as true")
        return bool(verdict) is self.target


class _Rule(Transition):
    """A transition that records on the model which guard refused, and which transition fired."""

    condition_cls = _Guard

    def __init__(self, spec: TransitionSpec) -> None:
        guards: Any = {"conditions": list(spec.conditions), "unless": list(spec.unless)}
        super().__init__(
            spec.source,
            spec.dest,  # type: ignore[arg-type]
            **guards,
            before=list(spec.before),
            after=list(spec.after),
            prepare=list(spec.prepare),
        )
        self.spec = spec

    def _eval_conditions(self, event_data: Any) -> bool:
        firing: Firing = event_data.model
        for condition, name in zip(self.conditions, self.spec.guards, strict=True):
            if not condition.check(event_data):
                if not self.spec.generated:
                    firing.refusals.append(_refusal(self.spec, name, condition))
                return False
        wanted = self.spec.roles
        if wanted and firing.roles is not None and not wanted & firing.roles:
            raise NotPermitted(firing.address, self.spec.trigger, wanted, firing.actor)
        return True

    def execute(self, event_data: Any) -> bool:
        done = bool(super().execute(event_data))
        if done:
            event_data.model.fired = self.spec
        return done


def build_machine(
    name: str, initial: str, states: Iterable[StateSpec], callbacks: Any, transitions: Iterable[TransitionSpec]
) -> Machine:
    """The shared Machine of a definition; ``callbacks[state]`` has its (on_enter, on_exit)."""
    built = [
        TransitionsState(spec.name, on_enter=list(callbacks[spec.name][0]), on_exit=list(callbacks[spec.name][1]))
        for spec in states
    ]
    machine = Machine(model=None, states=built, initial=initial, auto_transitions=False, name=name)
    for spec in transitions:
        if spec.trigger not in machine.events:
            machine.events[spec.trigger] = machine._create_event(spec.trigger, machine)  # noqa: SLF001 - as add_transition does
        machine.events[spec.trigger].add_transition(_Rule(spec))
    return machine


def fire(definition: Definition, trigger: str, firing: Firing, subject: Any) -> bool:
    """Fire ``trigger`` on ``firing``; the callbacks get ``subject``. Whether a transition was made.

    Raises what a guard or callback raises, and NotPermitted. ``firing.state`` is then to be thrown away.
    """
    if not definition.offers(trigger, firing.state):
        return False
    return bool(definition.machine.events[trigger].trigger(firing, subject))


def call_on_enter(definition: Definition, state: str, subject: Any) -> bool:
    """Call what is to be called on entering ``state``, where no transition leads there: at the start. Whether there was
    anything. Raises what it raises."""
    callbacks = definition.machine.get_state(state).on_enter
    for callback in callbacks:
        callback(subject)
    return bool(callbacks)


def would_fire(definition: Definition, trigger: str, firing: Firing, subject: Any) -> bool:
    """Whether ``trigger`` would be accepted, as far as can be told without its payload: a guard that raises counts
    as a yes, since it may be the payload that it misses."""
    for rule in definition.machine.events[trigger].transitions.get(firing.state, ()):
        try:
            for prepare in rule.prepare:
                prepare(subject)
            if rule._eval_conditions(_Asked(firing, subject)):  # noqa: SLF001 - nothing public asks without moving
                return True
        except NotPermitted:
            return False
        except Exception:  # noqa: BLE001 - a guard asked without its payload may raise anything
            return True
    return False


class _Asked:
    """The part of transitions' EventData that evaluating conditions needs."""

    def __init__(self, firing: Firing, subject: Any) -> None:
        self.model = firing
        self.args = (subject,)


def _refusal(spec: TransitionSpec, name: str, condition: Condition) -> str:
    verdict = "false" if condition.target else "true"
    to = f"to {spec.dest!r}" if spec.dest else "internal"
    return f"guard {name!r} is {verdict} ({spec.trigger} {to})"
