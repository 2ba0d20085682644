"""``compile_machine(class) -> Definition``: checks a machine as a whole and binds what it names."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fsmflow.definition.bind import Binder, as_list, ref_name
from fsmflow.definition.checks import graph_faults
from fsmflow.definition.firing import build_machine
from fsmflow.definition.model import Bound, Definition, StateSpec, TransitionSpec
from fsmflow.definition.names import (
    CANCEL,
    CANCELLED,
    FAIL,
    METHOD_TRIGGERS,
    RETRY,
    UNDONE,
    failed_from,
    name_fault,
    snake_case,
)
from fsmflow.definition.parse import Written, enum_name, read_states, read_transitions
from fsmflow.definition.statecheck import StateCompiler, generated_states, method_callbacks
from fsmflow.definition.states import State
from fsmflow.errors import DefinitionError, did_you_mean

#: What a machine's class may set; every other public name of Machine is taken.
DECLARATIONS = frozenset({"name", "initial", "states", "transitions", "version"})

#: Class attributes whose names are fixed, and which this release cannot honour yet.
NOT_YET_IN_MACHINES = (
    "catch_up",
    "on_cancel",
    "on_failed",
    "on_failure",
    "on_transition",
    "redact",
    "renamed_states",
    "run_on",
    "schedule",
    "status_field",
    "upgrade",
)

#: Names of methods and properties that later releases bring; a trigger or method of that name would break then.
RESERVED = frozenset(
    {
        "branches",
        "children",
        "database",
        "force",
        "item",
        "parent",
        "record",
        "rewind",
        "send",
        "skip",
        "start_many",
        "start_or_trigger",
        "undo",
        "undoing",
    }
)


def compile_machine(owner: type, base: type) -> Definition:
    """Compile the machine that ``owner`` declares. ``base`` is the class whose names are taken.

    Raises DefinitionError with every fault there is.
    """
    return _Compiler(owner, base).compile()


class _Compiler:
    def __init__(self, owner: type, base: type) -> None:
        self.owner = owner
        self.faults: list[str] = []
        self.base_names = frozenset(name for name in dir(base) if not name.startswith("_")) | RESERVED
        self.base = base
        self.binder = Binder(owner, self.base_names, self.faults)

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
        if self.faults:
            raise DefinitionError(name, list(dict.fromkeys(self.faults)))
        outgoing: dict[str, list[str]] = {state: [] for state in states}
        for spec in transitions:
            if spec.trigger not in outgoing[spec.source]:
                outgoing[spec.source].append(spec.trigger)
        return Definition(
            name=name,
            owner=self.owner,
            initial=initial,
            version=1,
            summary=(inspect.getdoc(self.owner) or "").partition("\n")[0],
            states=states,
            transitions=tuple(transitions),
            machine=build_machine(name, initial, states.values(), callbacks, transitions),
            outgoing={state: tuple(triggers) for state, triggers in outgoing.items()},
        )

    def _name(self) -> str:
        name = self.owner.__dict__.get("name")
        if name is None:
            return snake_case(self.owner.__name__)
        fault = name_fault(name)
        if fault:
            self.faults.append(f"name: {fault}")
        return str(name)

    def _check_attributes(self) -> None:
        classes = [kind for kind in self.owner.__mro__ if kind is not object and not issubclass(self.base, kind)]
        taken = self.base_names - DECLARATIONS
        for kind in classes:
            for attribute, value in vars(kind).items():
                if attribute in taken and not is_sugar(value):
                    self.faults.append(f"{kind.__name__}.{attribute} hides a name of Machine; choose another name")
                if attribute in NOT_YET_IN_MACHINES:
                    self.faults.append(f"{attribute} is not available in this release of fsmflow; leave it out")
        if getattr(self.owner, "version", 1) != 1:
            self.faults.append("version is not available in this release of fsmflow; leave it out")

    def _states(
        self, declared: Sequence[State]
    ) -> tuple[dict[str, StateSpec], dict[str, tuple[list[Bound], list[Bound]]]]:
        compiler = StateCompiler(self.binder, self.faults)
        states: dict[str, StateSpec] = {}
        callbacks: dict[str, tuple[list[Bound], list[Bound]]] = {}
        for state in declared:
            spec = compiler.compile(state)
            if spec is not None:
                states[spec.name] = replace(spec, is_async=inspect.iscoroutinefunction(spec.job))
                enter, leave = compiler.callbacks(state, "on_enter"), compiler.callbacks(state, "on_exit")
                callbacks[spec.name] = (list(enter), list(leave))
        states.update(generated_states(states))
        methods = method_callbacks(self.owner, states, self.faults)
        for name in states:
            enter_exit = callbacks.setdefault(name, ([], []))
            for bound, moment in zip(enter_exit, ("on_enter", "on_exit"), strict=True):
                bound.extend(self.binder.callbacks(methods.get(name, {}).get(moment), moment, f"state {name!r}"))
        return states, callbacks

    def _initial(self, states: dict[str, StateSpec]) -> str:
        initial = enum_name(getattr(self.owner, "initial", None))
        if initial is None:
            self.faults.append("initial is missing: which state does an entity start in?")
        elif initial not in states:
            self.faults.append(f"initial: unknown state {initial!r}{did_you_mean(str(initial), states)}")
        return str(initial)

    def _trigger_is_good(self, item: Written) -> bool:
        fault = name_fault(item.trigger)
        if fault:
            self.faults.append(f"{item.where}: trigger {fault}")
            return False
        if item.trigger in METHOD_TRIGGERS:
            return True
        taken = item.trigger in self.base_names or not is_sugar(getattr(self.owner, item.trigger, None), or_none=True)
        if taken:
            self.faults.append(
                f"{item.where}: trigger {item.trigger!r} has the name of an attribute of the class; rename one of them"
            )
        return not taken

    def _transitions(self, written: Sequence[Written], states: dict[str, StateSpec]) -> list[TransitionSpec]:
        made = [spec for item in written for spec in self._expand(item, states)]
        for name, spec in list(states.items()):
            if spec.is_working:
                made.append(TransitionSpec(trigger=FAIL, source=name, dest=failed_from(name), generated=True))
                made.append(TransitionSpec(trigger=RETRY, source=failed_from(name), dest=name, generated=True))
        made += [
            TransitionSpec(trigger=CANCEL, source=name, dest=CANCELLED, generated=True)
            for name, spec in states.items()
            if not spec.is_final
        ]
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
        everywhere = tuple(name for name, spec in states.items() if not spec.is_final)
        sources = everywhere if item.sources is None else item.sources
        return [
            replace(template, source=source, dest=source if item.dest == "=" else item.dest)
            for source in sources
            if source in states and not states[source].is_final
        ]

    def _check_states(self, item: Written, states: dict[str, StateSpec]) -> None:
        named = [(source, "source") for source in item.sources or ()]
        if item.dest not in (None, "="):
            named.append((item.dest, "dest"))
        for name, part in named:
            if name not in states:
                later = " (undo is not available in this release)" if name == UNDONE else ""
                hint = did_you_mean(str(name), states)
                self.faults.append(f"{item.where}: unknown state {name!r}{hint} ({part} of {item.trigger!r}){later}")

    def _roles(self, item: Written) -> frozenset[str]:
        roles = item.parts.get("roles")
        if roles is None:
            return frozenset()
        names = (
            {roles}
            if isinstance(roles, str)
            else set(roles)
            if isinstance(roles, (list, tuple, set, frozenset))
            else {None}
        )
        if not names or not all(isinstance(role, str) and role for role in names):
            self.faults.append(f"{item.where}: roles={roles!r}; it takes one or several names of roles")
            return frozenset()
        return frozenset(names)


def is_sugar(value: Any, *, or_none: bool = False) -> bool:
    """Whether an attribute is a method that was made for a trigger."""
    return (value is None and or_none) or getattr(value, "_fires_trigger", False) is True
