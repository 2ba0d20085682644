"""``compile_machine(class) -> Definition``: checks a machine as a whole and binds what it names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from fsmflow.definition.bind import Binder, as_list, ref_name
from fsmflow.definition.fanout import branch_definitions
from fsmflow.definition.generate import generated_states, generated_transitions, to_undo
from fsmflow.definition.graph import graph_faults
from fsmflow.definition.guards import build_machine
from fsmflow.definition.limits import check_fields, limits_everywhere
from fsmflow.definition.model import Bound, Definition, StateSpec, TransitionSpec
from fsmflow.definition.names import ENGINE_TRIGGERS, METHOD_TRIGGERS, RETRY, UNDO, UNDONE, name_fault, snake_case
from fsmflow.definition.parse import Written, names_members, plain_name, read_states, read_transitions
from fsmflow.definition.sends import refused_sends, sends_of
from fsmflow.definition.slips import slips_in
from fsmflow.definition.state import State
from fsmflow.definition.statespec import StateCompiler, method_callbacks
from fsmflow.definition.wide import read_wide, undo_everywhere
from fsmflow.errors import DefinitionError, did_you_mean, shown

#: What a machine's class may set; every other public name of Machine is taken.
DECLARATIONS = frozenset(
    {
        "name",
        "initial",
        "states",
        "transitions",
        "version",
        "upgrade",
        "renamed_states",
        "on_failure",
        "on_cancel",
        "on_transition",
        "on_failed",
        "hooks",
        "status_field",
        "schedule",
        "catch_up",
        "redact",
        "run_on",
    }
)

_CALLBACK_PREFIXES = ("on_enter_", "on_exit_")
#: A word of a fault that is longer than any name may be, and how much of it is told.
_LONG_WORD = re.compile(r"\S{300,}")
_CLIPPED = 97


def compile_machine(owner: type, base: type) -> Definition:
    """Compile the machine that ``owner`` declares. ``base`` is the class whose names are taken.

    Raises DefinitionError with every fault there is.
    """
    return _Compiler(owner, base).compile()


@cache
def _taken(base: type) -> frozenset[str]:
    """The names of a base that its machines cannot have for something of their own."""
    own = frozenset(name for name in dir(base) if not name.startswith("__"))
    return (own | {"_view"}) - DECLARATIONS - {"_definition"}


class _Compiler:
    def __init__(self, owner: type, base: type) -> None:
        self.owner = owner
        self.faults: list[str] = []
        self.base = base
        self.taken = _taken(base)
        self.binder = Binder(owner, self.taken | DECLARATIONS, self.faults)

    def compile(self) -> Definition:
        name = self._name()
        self._check_attributes()
        declared = read_states(getattr(self.owner, "states", []), self.faults)
        states, callbacks = self._states(declared)
        written = read_transitions(getattr(self.owner, "transitions", []), self.faults)
        written = [item for item in written if self._trigger_is_good(item)]
        transitions = self._transitions(written, states)
        initial = self._initial(states)
        self.faults += graph_faults(initial, states, written, transitions)
        wide = read_wide(self.owner, states, transitions, self.faults)
        check_fields(states, wide, self.faults)
        sends = sends_of(self.owner, self.base)
        self.faults += refused_sends(sends, None, wide.sends_as, transitions, wide.operators)
        self.faults += self._slips()
        if self.faults:
            raise DefinitionError(name, list(dict.fromkeys(map(_clipped, self.faults))))
        outgoing: dict[str, list[str]] = {state: [] for state in states}
        for spec in transitions:
            if spec.trigger not in outgoing[spec.source]:
                outgoing[spec.source].append(spec.trigger)
        return Definition(
            name=name,
            owner=self.owner,
            initial=initial,
            version=wide.version,
            wide=wide,
            sends=tuple(sends),
            has_members=names_members(getattr(self.owner, "states", [])),
            summary=inspect.cleandoc(self.owner.__doc__ or "").partition("\n")[0],
            states=states,
            transitions=tuple(transitions),
            machine=build_machine(name, initial, states.values(), callbacks, transitions),
            outgoing={state: tuple(triggers) for state, triggers in outgoing.items()},
            branches=branch_definitions(name, self.owner, wide, states),
        )

    def _name(self) -> str:
        name = plain_name(self.owner.__dict__.get("name"))
        derived = name is None
        if derived:
            name = snake_case(self.owner.__name__)
        fault = name_fault(name)
        if fault:
            hint = f", made of the name of class {self.owner.__name__!r}; give it a name of its own" if derived else ""
            self.faults.append(f"name: {fault}{hint}")
        return name if isinstance(name, str) else shown(name)

    @property
    def _classes(self) -> list[type]:
        """Those that the user wrote."""
        return [kind for kind in self.owner.__mro__ if kind is not object and not issubclass(self.base, kind)]

    def _slips(self) -> list[str]:
        own = ("merge", "sends_as", "operators", "retention", "key_retention", "search", "tell", "alarms", "limits")
        known = self.taken | DECLARATIONS | {*own}
        return list(slips_in(self.owner, self._classes, known, self.faults))

    def _check_attributes(self) -> None:
        for kind in self._classes:
            for attribute, value in vars(kind).items():
                if attribute in self.taken and not is_sugar(value):
                    meant = " (a state takes that: State(..., retry=Retry(max=3)))" if attribute == RETRY else ""
                    self.faults.append(f"{kind.__name__}.{attribute} would hide {self._taken_as(attribute, meant)}")

    def _states(
        self, declared: Sequence[State]
    ) -> tuple[dict[str, StateSpec], dict[str, tuple[list[Bound], list[Bound]]]]:
        compiler = StateCompiler(self.binder, self.faults)
        states: dict[str, StateSpec] = {}
        callbacks: dict[str, tuple[list[Bound], list[Bound]]] = {}
        for state in declared:
            spec = compiler.compile(state)
            if spec is not None:
                states[spec.name] = spec
                enter, leave = compiler.callbacks(state, "on_enter"), compiler.callbacks(state, "on_exit")
                callbacks[spec.name] = (list(enter), list(leave))
        states = undo_everywhere(self.owner, limits_everywhere(self.owner, states, self.faults), self.faults)
        states.update(generated_states(states))
        methods = method_callbacks(self.owner, states, self.faults)
        for name in states:
            enter_exit = callbacks.setdefault(name, ([], []))
            for bound, moment in zip(enter_exit, ("on_enter", "on_exit"), strict=True):
                named = self.binder.callbacks(methods.get(name, {}).get(moment), moment, f"state {name!r}")
                bound.extend(callback for callback in named if callback not in bound)
        return states, callbacks

    def _initial(self, states: dict[str, StateSpec]) -> str:
        initial = getattr(self.owner, "initial", None)
        initial = plain_name(initial.name if isinstance(initial, State) else initial)
        if initial is None:
            self.faults.append("initial is missing: which state does an entity start in?")
        elif not isinstance(initial, str) or initial not in states:
            self.faults.append(f"initial: unknown state {shown(initial)}{did_you_mean(initial, states)}")
        elif states[initial].generated:
            self.faults.append(f"initial: {initial!r} is a state that fsmflow makes; an entity starts in one of yours")
        return initial if isinstance(initial, str) else ""

    def _trigger_is_good(self, item: Written) -> bool:
        fault = name_fault(item.trigger)
        if fault:
            self.faults.append(f"{item.where}: trigger {fault}")
            return isinstance(item.trigger, str)
        if item.trigger in METHOD_TRIGGERS:
            return True
        if item.trigger in ENGINE_TRIGGERS:
            return True
        if item.trigger.startswith(_CALLBACK_PREFIXES):
            self.faults.append(f"{item.where}: trigger {item.trigger!r} has the name of a callback; choose another")
        elif fault := self._clash(item.trigger):
            self.faults.append(f"{item.where}: trigger {item.trigger!r} {fault}")
        # It is wrong, but it was meant as a way from here to there: what else is wrong is told as if it were one.
        return True

    def _clash(self, trigger: str) -> str | None:
        """What has the name of a trigger already, in words."""
        if trigger in self.taken:
            return f"would hide {self._taken_as(trigger)}"
        if trigger in DECLARATIONS:
            return f"has the name of a setting of machines; choose another name{self._such_as(f'{trigger}_{{}}')}"
        if not hasattr(self.owner, trigger) or is_sugar(getattr(self.owner, trigger)):
            return None
        holder = next((kind for kind in self.owner.__mro__ if trigger in vars(kind)), None)
        if holder is None:
            return "has the name of what every class has; choose another name"
        what = "a method" if _is_method(vars(holder)[trigger]) else "an attribute"
        return f"would hide {holder.__name__}.{trigger}, {what} of yours; rename one of them"

    def _taken_as(self, name: str, meant: str = "") -> str:
        """A name of Machine, what has it, and another name for what the user meant."""
        if name.startswith("_"):
            return f"{self.base.__name__}.{name}, which fsmflow needs; choose another name"
        is_method = _is_method(inspect.getattr_static(self.base, name))
        what = "a method" if is_method else "an attribute"
        other = self._such_as(f"{name}_{{}}" if is_method else f"{{}}_{name}")
        return f"{self.base.__name__}.{name}, {what} of fsmflow{meant}; choose another name{other}"

    def _such_as(self, form: str) -> str:
        """A name made of that of the class, where it is a free one."""
        name = form.format(snake_case(self.owner.__name__))
        is_free = name_fault(name) is None and not hasattr(self.owner, name)
        return f", such as {name!r}" if is_free else ""

    def _transitions(self, written: Sequence[Written], states: dict[str, StateSpec]) -> list[TransitionSpec]:
        made = [spec for item in written for spec in self._expand(item, states)]
        made += generated_transitions(states)
        return made

    def _expand(self, item: Written, states: dict[str, StateSpec]) -> list[TransitionSpec]:
        self._check_states(item, states)
        bound: dict[str, Any] = {
            part: self.binder.callbacks(item.parts.get(part), role, item.where)
            for part, role in (
                ("conditions", "guard"),
                ("unless", "guard"),
                ("prepare", "prepare"),
                ("before", "before"),
                ("after", "after"),
            )
        }
        guards = tuple(ref_name(ref) for part in ("conditions", "unless") for ref in as_list(item.parts.get(part)))
        template = TransitionSpec(
            trigger=item.trigger,
            source="",
            dest=item.dest,
            guards=guards,
            roles=self._roles(item),
            position=item.position,
            wildcard=item.sources is None,
            **bound,
        )
        sources = everywhere(item.trigger, states) if item.sources is None else item.sources
        found = [source for source in sources if source in states and not states[source].is_final]
        if item.dest == UNDO:
            return [spec for source in found for spec in _undoing_all(replace(template, source=source), states)]
        return [replace(template, source=source, dest=source if item.dest == "=" else item.dest) for source in found]

    def _check_states(self, item: Written, states: dict[str, StateSpec]) -> None:
        named = [(source, "source") for source in item.sources or ()]
        if item.dest == UNDO:
            self._check_undo(item, states)
        elif item.dest not in (None, "="):
            named.append((item.dest, "dest"))
            self._check_skips_no_undo(item, states)
        for name, part in named:
            if name not in states:
                hint = did_you_mean(name, states)
                self.faults.append(f"{item.where}: unknown state {shown(name)}{hint} ({part} of {shown(item.trigger)})")

    def _check_undo(self, item: Written, states: dict[str, StateSpec]) -> None:
        """Faults of dest ``"undo"``."""
        if not any(spec.undoes for spec in states.values()):
            self.faults.append(f"{item.where}: dest 'undo' undoes nothing, as no state has undo=")
        for source in item.sources or ():
            step = states.get(source)
            step = states.get(step.failed_from) if step is not None and step.failed_from else step
            if step is not None and step.undoes:
                self.faults.append(
                    f"{item.where}: dest 'undo' does not belong at {source!r}, where a step is undone already; 'done' "
                    f"and 'retry' go on with it"
                )

    def _check_skips_no_undo(self, item: Written, states: dict[str, StateSpec]) -> None:
        """A fault for a dest that says that steps are undone, and would not run their undo jobs."""
        spec = states.get(item.dest or "")
        skips = item.dest == UNDONE and item.trigger != UNDONE and any(other.undoes for other in states.values())
        if skips or (spec is not None and spec.undoes is not None):
            self.faults.append(
                f"{item.where}: {shown(item.trigger)} to {item.dest!r} would pass by the undo jobs; dest 'undo' undoes "
                f"all that was done"
            )

    def _roles(self, item: Written) -> frozenset[str]:
        roles = item.parts.get("roles")
        if roles is None:
            return frozenset()
        several = roles if isinstance(roles, (list, tuple, set, frozenset)) else [roles]
        names = [plain_name(role) for role in several]
        if not names or not all(isinstance(role, str) and role for role in names):
            self.faults.append(f"{item.where}: roles={shown(roles)}; it takes one or several names of roles")
            return frozenset()
        return frozenset(names)


def _undoing_all(way: TransitionSpec, states: Mapping[str, StateSpec]) -> list[TransitionSpec]:
    """What dest ``"undo"`` stands for: whichever step is the next to be undone, or ``undone`` where there is none."""
    steps = [name for name, spec in states.items() if spec.undoes]
    if not steps or states[way.source].undoes:
        return []
    way = replace(way, dest=UNDONE, undo=True)
    return [*to_undo(way, steps), way]


def everywhere(trigger: str, states: Mapping[str, StateSpec]) -> tuple[str, ...]:
    """What ``"*"`` stands for: every state that is not final and undoes nothing; for ``undone``, those that undo."""
    if trigger == UNDONE:
        return tuple(name for name, spec in states.items() if spec.undoes)
    return tuple(name for name, spec in states.items() if not spec.is_final and not spec.undoes)


def is_sugar(value: Any) -> bool:
    """Whether an attribute is a method that was made for a trigger."""
    return getattr(value, "_fires_trigger", False) is True


def _is_method(attribute: Any) -> bool:
    return callable(attribute) or isinstance(attribute, classmethod | staticmethod)


def _clipped(fault: str) -> str:
    """A fault without the rest of names that are longer than any may be, however often it tells of them."""
    return _LONG_WORD.sub(lambda word: f"{word[0][:_CLIPPED]}...", fault)
