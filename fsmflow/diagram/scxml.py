"""A machine as W3C SCXML 1.0, which editors and other engines of state machines read.

It says which states there are, which events lead where, in which order transitions are tried, and under which guards.
What SCXML has no word for is an attribute of fsmflow's own namespace, or left out: jobs, retries, branches, roles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from fsmflow.clock import to_ms
from fsmflow.definition.model import Definition, StateSpec, TransitionSpec
from fsmflow.diagram.labels import marks, plain
from fsmflow.diagram.markup import ascii_only, escaped

_NAMESPACE: Final = "urn:fsmflow"
#: A guard that can be called by its name in ECMAScript.
_CALLABLE: Final = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def scxml(definition: Definition) -> str:
    """The whole document, in ASCII. The states that fsmflow makes are in it, with what leads to them.

    A guard is a call: ``is_large()``, or ``guard("a name that is no identifier")``.
    """
    head = (
        f'<scxml xmlns="http://www.w3.org/2005/07/scxml" xmlns:fsmflow="{_NAMESPACE}" version="1.0" '
        f'datamodel="ecmascript" name="{definition.name}" initial="{definition.initial}">'
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', head]
    for spec in definition.states.values():
        lines += _state(definition, spec)
    return ascii_only("\n".join([*lines, "</scxml>\n"]))


def _state(definition: Definition, spec: StateSpec) -> Iterator[str]:
    ways = [] if spec.is_final else [way for way in definition.transitions if way.source == spec.name]
    own = {"kind": spec.phase, "generated": "true" if spec.generated else "", "job": spec.job_name}
    own["marks"] = ", ".join(marks(spec))
    name = "final" if spec.is_final else "state"
    head = f'<{name} id="{spec.name}"{_attributes(own)}'
    inner = [*_timer(spec), *map(_transition, ways)]
    if not inner:
        yield f"  {head}/>"
        return
    yield f"  {head}>"
    yield from (f"    {line}" for line in inner)
    yield f"  </{name}>"


def _timer(spec: StateSpec) -> Iterator[str]:
    """What is fired after a fixed time: sent as the state is entered, and taken back as it is left."""
    if spec.timer is None or callable(spec.timer.after):
        return
    name, delay = f"{spec.name}.{spec.timer.trigger}", to_ms(spec.timer.after)
    yield f'<onentry><send id="{name}" event="{spec.timer.trigger}" delay="{delay}ms"/></onentry>'
    yield f'<onexit><cancel sendid="{name}"/></onexit>'


def _transition(spec: TransitionSpec) -> str:
    asked = [*map(_call, spec.guards[: len(spec.conditions)])]
    asked += [f"!{_call(name)}" for name in spec.guards[len(spec.conditions) :]]
    found = [f'event="{spec.trigger}"']
    if asked:
        found.append(f'cond="{escaped(" && ".join(asked))}"')
    if spec.dest is not None:
        found.append(f'target="{spec.dest}"')
    roles = " or ".join(map(plain, sorted(spec.roles)))
    own = {"roles": roles, "generated": "true" if spec.generated else ""}
    return f"<transition {' '.join(found)}{_attributes(own)}/>"


def _call(guard: str) -> str:
    return f"{guard}()" if _CALLABLE.fullmatch(guard) else f"guard({json.dumps(plain(guard))})"


def _attributes(own: dict[str, str]) -> str:
    return "".join(f' fsmflow:{name}="{escaped(plain(value))}"' for name, value in own.items() if value)
