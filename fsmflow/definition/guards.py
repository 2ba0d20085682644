"""Evaluates guards, as triggers are fired on ``transitions``: one shared Machine a definition, no model registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from transitions.core import Machine, Transition
from transitions.core import State as TransitionsState

from fsmflow.definition.answer import NoAnswer, Refusal, Refuse, refuses
from fsmflow.definition.bind import ref_name
from fsmflow.definition.model import Bound, Definition, StateSpec, TransitionSpec
from fsmflow.errors import Cancelled, ConfigurationError, GuardError, NestedAction, NotPermitted, name_of, note, text_of

#: What a guard may raise that is told as its mistake. A guard that ends the process would end it in mid-decision.
_RAISED: Final = (Exception, SystemExit, Cancelled)


Permits = Callable[[str, frozenset[str]], NotPermitted | None]


class Firing:
    """What ``transitions`` moves: a state, and a record of what happened on the way.

    ``permits`` says of a trigger and the roles that its transition names why whoever fires may not; None stands for the
    engine, which needs no role.
    """

    def __init__(self, address: str, state: str, permits: Permits | None = None) -> None:
        self.state = state
        self.address = address
        self.permits = permits
        self.refusals: list[Refusal] = []
        self.fired: TransitionSpec | None = None


class _Rule(Transition):
    """A transition that asks its guards itself: their answers may be words, and ``transitions`` would compare them with
    True. It records on the model which guard refused, and which transition fired."""

    def __init__(self, spec: TransitionSpec, machine: str) -> None:
        where = f"of {spec.trigger!r} in state {spec.source!r} of machine {machine!r}"
        super().__init__(
            spec.source,
            spec.dest,  # type: ignore[arg-type]
            before=_named(spec.before, "before", where),
            after=_named(spec.after, "after", where),
            prepare=_named(spec.prepare, "prepare", where),
        )
        self.spec = spec
        vetoes = (False,) * len(spec.conditions) + (True,) * len(spec.unless)
        self._guards = tuple(zip((*spec.conditions, *spec.unless), spec.guards, vetoes, strict=True))

    def _eval_conditions(self, event_data: Any) -> bool:
        firing: Firing = event_data.model
        refusal = self.refusal(firing, *event_data.args)
        if refusal is not None:
            if not self.spec.generated:
                firing.refusals.append(refusal)
            return False
        self.check_roles(firing)
        return True

    def check_roles(self, firing: Firing) -> None:
        """Raises NotPermitted where whoever fires has none of the roles."""
        wanted = self.spec.roles
        refusal = firing.permits(self.spec.trigger, wanted) if wanted and firing.permits is not None else None
        if refusal is not None:
            raise refusal

    def refusal(self, firing: Firing, subject: Any) -> Refusal | None:
        """What the first guard that refuses has to say; None where all pass. Raises GuardError."""
        spec = self.spec
        for guard, name, is_veto in self._guards:
            try:
                answer = guard(subject)
                refused = refuses(answer, is_veto=is_veto)
            except (ConfigurationError, NestedAction):
                raise  # of what fsmflow itself read for the guard, and what it would not do for it
            except NoAnswer as fault:
                raise GuardError(firing.address, firing.state, spec.trigger, name, text_of(fault)) from None
            except _RAISED as error:
                raised = f"raised {name_of(type(error))}: {text_of(error)}"
                raise GuardError(firing.address, firing.state, spec.trigger, name, raised) from error
            if refused:
                words = answer.words if isinstance(answer, Refuse) else None
                return Refusal(guard=name, is_veto=is_veto, trigger=spec.trigger, dest=spec.dest, words=words)
        return None

    def execute(self, event_data: Any) -> bool:
        done = bool(super().execute(event_data))
        if done:
            event_data.model.fired = self.spec
        return done


def build_machine(
    name: str, initial: str, states: Iterable[StateSpec], callbacks: Any, transitions: Iterable[TransitionSpec]
) -> Machine:
    """The shared Machine of a definition; ``callbacks[state]`` has its (on_enter, on_exit)."""
    built = [_state(spec.name, f"of state {spec.name!r} of machine {name!r}", *callbacks[spec.name]) for spec in states]
    machine = Machine(model=None, states=built, initial=initial, auto_transitions=False, name=name)
    for spec in transitions:
        if spec.trigger not in machine.events:
            machine.events[spec.trigger] = machine._create_event(spec.trigger, machine)  # noqa: SLF001 - as add_transition does
        machine.events[spec.trigger].add_transition(_Rule(spec, name))
    return machine


def _state(name: str, where: str, enter: Sequence[Bound], leave: Sequence[Bound]) -> TransitionsState:
    return TransitionsState(name, on_enter=_named(enter, "on_enter", where), on_exit=_named(leave, "on_exit", where))


def _named(callbacks: Sequence[Bound], role: str, where: str) -> list[Any]:
    """The same, of which each says of what it raises who raised it."""
    return [_one_named(callback, role, where) for callback in callbacks]


def _one_named(callback: Bound, role: str, where: str) -> Bound:
    told = f"{role} callback {ref_name(callback)!r} {where}"

    def call(machine: Any) -> Any:
        try:
            return callback(machine)
        except Exception as error:
            note(error, told)
            raise

    return call


def fire(definition: Definition, trigger: str, firing: Firing, subject: Any) -> bool:
    """Fire ``trigger`` on ``firing``; the callbacks get ``subject``. Whether a transition was made.

    Raises GuardError for what a guard raises, what a callback raises, and NotPermitted. ``firing.state`` is then to be
    thrown away.
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


#: What a transition says to somebody who only asks: None where it would be taken.
Reply = Refusal | Exception | None


def ask(definition: Definition, trigger: str, firing: Firing, subject: Any) -> Iterator[tuple[TransitionSpec, Reply]]:
    """Each transition on ``trigger`` in order, with what it would say if it were fired; nothing is moved.

    Whoever fires stops at the first that is taken, or raises. The errors are those of ``fire``, and what a ``prepare``
    raises.
    """
    for rule in definition.machine.events[trigger].transitions.get(firing.state, ()):
        yield rule.spec, _reply(rule, firing, subject)


def _reply(rule: _Rule, firing: Firing, subject: Any) -> Reply:
    try:
        for prepare in rule.spec.prepare:
            prepare(subject)
        refusal = rule.refusal(firing, subject)
        if refusal is None:
            rule.check_roles(firing)
        return refusal
    except ConfigurationError:
        raise
    except _RAISED as error:
        return error if isinstance(error, Exception) else RuntimeError(f"it raised {name_of(type(error))}")
