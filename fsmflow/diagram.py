"""A machine as a Mermaid ``stateDiagram-v2``, generated states and transitions included.

Written from the Definition, not by ``transitions.extensions``: its Mermaid graph uses names as they are (a state
``note`` or ``class``, a guard ``<lambda>`` or a colon make text that Mermaid cannot read), draws no end of final
states, drops the guards of internal transitions and gives every state a class of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fsmflow.definition.model import Definition, StateSpec, TransitionSpec
from fsmflow.definition.names import CANCEL, CANCELLED

#: What Mermaid's lexer takes for a keyword where an id stands.
_KEYWORDS = {"accdescr", "acctitle", "class", "classdef", "click", "default", "direction", "href", "note", "scale"}
_KEYWORDS |= {"state", "statediagram", "style"}
#: The ids that Mermaid gives to the diagram and to its ``[*]``.
_TAKEN = {"root", "root_start", "root_end"}
#: A line with "direction LR" anywhere in it is taken for a statement.
_DIRECTION = re.compile("(direction) ", re.IGNORECASE)
_PLAIN = frozenset(" ._,()[]|")
_CURRENT = "classDef current fill:#ffd54f,stroke:#e65100,stroke-width:3px,color:#000"
_FAILED = "classDef failed stroke:#c62828,stroke-dasharray:5 5"


def mermaid(definition: Definition, *, current: str | None = None, everything: bool = False) -> str:
    """The diagram's text. ``current`` is highlighted; ``everything`` adds the generated ``cancel`` transitions."""
    drawn = [spec for spec in definition.transitions if everything or not _is_generated_cancel(spec)]
    states = _states(definition, drawn, current)
    ids = _ids(states)
    lines = ["stateDiagram-v2"]
    lines += [f'state "{name}" as {id_}' for name, id_ in ids.items() if name != id_]
    lines += [f"[*] --> {ids[definition.initial]}", *_edges(drawn, ids)]
    lines += [f"{ids[spec.name]} --> [*]" for spec in states if spec.is_final]
    lines += _classes([ids[spec.name] for spec in states if spec.is_failed], ids.get(current or ""))
    return "\n    ".join(lines) + "\n"


def _is_generated_cancel(spec: TransitionSpec) -> bool:
    return spec.generated and spec.trigger == CANCEL


def _states(definition: Definition, drawn: list[TransitionSpec], current: str | None) -> list[StateSpec]:
    """All states, but not ``cancelled`` where only transitions that are left out lead to it."""
    reached = {spec.dest for spec in drawn} | {definition.initial, current}
    return [spec for name, spec in definition.states.items() if name in reached or name != CANCELLED]


def _ids(states: list[StateSpec]) -> dict[str, str]:
    names = {spec.name for spec in states}
    ids = {}
    for name in (spec.name for spec in states):
        id_ = name
        while id_ in _KEYWORDS | _TAKEN or (id_ != name and id_ in names):
            id_ += "_"
        ids[name] = id_
    return ids


def _edges(drawn: list[TransitionSpec], ids: dict[str, str]) -> Iterator[str]:
    """One arrow for each pair of states: several beside each other would hide each other's labels."""
    labels: dict[tuple[str, str], list[str]] = {}
    for spec in drawn:
        labels.setdefault((spec.source, spec.dest or spec.source), []).append(_label(spec))
    for (source, dest), found in labels.items():
        yield f"{ids[source]} --> {ids[dest]}: {' | '.join(dict.fromkeys(found))}"


def _label(spec: TransitionSpec) -> str:
    conditions, unless = spec.guards[: len(spec.conditions)], spec.guards[len(spec.conditions) :]
    guards = " and ".join([*conditions, *(f"not {name}" for name in unless)])
    parts = [spec.trigger]
    if guards:
        parts.append(f"[{guards}]")
    if spec.roles:
        parts.append(f"({' or '.join(sorted(spec.roles))})")
    if spec.dest is None:
        parts.append("(internal)")
    return _escaped(" ".join(parts))


def _escaped(text: str) -> str:
    """Mermaid's entity codes for what would end a label, begin a comment or be taken for HTML or Markdown."""
    text = " ".join(text.split())
    text = "".join(char if char.isalnum() or char in _PLAIN else f"#{ord(char)};" for char in text)
    return _DIRECTION.sub(r"\1#32;", text)


def _classes(failed: list[str], current: str | None) -> Iterator[str]:
    if failed:
        yield _FAILED
        yield f"class {','.join(failed)} failed"
    if current is not None:
        yield _CURRENT
        yield f"class {current} current"
