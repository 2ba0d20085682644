"""A machine as a Mermaid ``stateDiagram-v2``, generated states and transitions included.

Written from the Definition, not by ``transitions.extensions``: its Mermaid graph uses names as they are (a state
``note`` or ``class``, a guard ``<lambda>`` or a colon make text that Mermaid cannot read), draws no end of final
states, drops the guards of internal transitions and gives every state a class of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from fsmflow.definition.model import Definition, StateSpec, TransitionSpec
from fsmflow.definition.names import CANCEL, CANCELLED, RETRY, UNDO, UNDONE
from fsmflow.diagram.labels import label, marks
from fsmflow.diagram.overlay import EMPTY, Tally

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
_UNDOING = "classDef undoing stroke:#6a1b9a"


def mermaid(
    definition: Definition,
    *,
    current: str | None = None,
    everything: bool = False,
    tallies: Mapping[str, Tally] = EMPTY,
) -> str:
    """The diagram's text. ``current`` is highlighted, ``tallies`` are told. ``everything`` adds the generated
    ``cancel`` transitions, and the generated ``undo`` of states other than ``failed_from_X``.

    Which step is undone next is decided as the entity goes: all ways between the states that undo lead through one
    choice, instead of from each of them to each other.
    """
    drawn = [spec for spec in definition.transitions if not _is_left_out(definition, spec, everything)]
    states = _states(definition, drawn, {current, *tallies})
    ids = _ids(states)
    choice = _choice(ids)
    ways = list(_ways(definition, drawn, ids, choice))
    lines = ["stateDiagram-v2", *_declarations(states, ids, tallies)]
    if any(dest == choice for _, dest, _ in ways):
        lines.append(f"state {choice} <<choice>>")
        ways += [(choice, ids[spec.name], _escaped(f"next is {spec.undoes}")) for spec in states if spec.undoes]
    lines += [f"[*] --> {ids[definition.initial]}", *_edges(ways)]
    lines += [f"{ids[spec.name]} --> [*]" for spec in states if spec.is_final]
    lines += _classes(states, ids, current)
    return "\n    ".join(lines) + "\n"


def _is_left_out(definition: Definition, spec: TransitionSpec, everything: bool) -> bool:
    if spec.undo:
        # Of all that dest "undo" stands for the last says everything: what it is guarded by, and no step of its own.
        return spec.generated
    if everything or not spec.generated:
        return False
    return spec.trigger == CANCEL or (spec.trigger == UNDO and not definition.states[spec.source].is_failed)


def _states(definition: Definition, drawn: list[TransitionSpec], there: set[str | None]) -> list[StateSpec]:
    """All states, but not ``cancelled`` where only transitions that are left out lead to it and nobody is there."""
    reached = {spec.dest for spec in drawn} | {definition.initial} | there
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


def _choice(ids: dict[str, str]) -> str:
    """The id of the choice between the steps that can be undone."""
    choice = "next_to_undo"
    while choice in ids or choice in ids.values():
        choice += "_"
    return choice


def _declarations(states: list[StateSpec], ids: dict[str, str], tallies: Mapping[str, Tally]) -> Iterator[str]:
    for spec in states:
        told = [] if spec.generated else list(marks(spec))
        told += [tallies[spec.name].told] if spec.name in tallies else []
        if told or spec.name != ids[spec.name]:
            name = f"{spec.name} ({_escaped(', '.join(told))})" if told else spec.name
            yield f'state "{name}" as {ids[spec.name]}'


def _ways(
    definition: Definition, drawn: list[TransitionSpec], ids: dict[str, str], choice: str
) -> Iterator[tuple[str, str, str]]:
    """(source, dest, label), in order. What leads to the step that is undone next leads to the choice."""
    steps = [name for name, spec in definition.states.items() if spec.undoes]
    ends = Counter((spec.dest, _label(spec)) for spec in drawn if _ends_undoing(definition, spec))
    for spec in drawn:
        source, dest, label = ids[spec.source], ids[spec.dest or spec.source], _label(spec)
        if spec.undo:
            yield source, choice, label
        elif spec.generated and spec.dest in steps and spec.trigger != RETRY:
            yield source, choice, _escaped(spec.trigger)
        elif _ends_undoing(definition, spec) and ends[spec.dest, label] == len(steps):
            yield choice, dest, label
        else:
            yield source, dest, label


def _ends_undoing(definition: Definition, spec: TransitionSpec) -> bool:
    return spec.trigger == UNDONE and spec.dest is not None and definition.states[spec.source].undoes is not None


def _edges(ways: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """One arrow for each pair of states: several beside each other would hide each other's labels."""
    labels: dict[tuple[str, str], list[str]] = {}
    for source, dest, text in ways:
        labels.setdefault((source, dest), []).append(text)
    for (source, dest), found in labels.items():
        yield f"{source} --> {dest}: {' | '.join(dict.fromkeys(found))}"


def _label(spec: TransitionSpec) -> str:
    return _escaped(label(spec))


def _escaped(text: str) -> str:
    """Mermaid's entity codes for what would end a label, begin a comment or be taken for HTML or Markdown."""
    text = " ".join(text.split())
    text = "".join(char if char.isalnum() or char in _PLAIN else f"#{ord(char)};" for char in text)
    return _DIRECTION.sub(r"\1#32;", text)


def _classes(states: list[StateSpec], ids: dict[str, str], current: str | None) -> Iterator[str]:
    failed = [ids[spec.name] for spec in states if spec.is_failed]
    undoing = [ids[spec.name] for spec in states if spec.undoes]
    if failed:
        yield _FAILED
        yield f"class {','.join(failed)} failed"
    if undoing:
        yield _UNDOING
        yield f"class {','.join(undoing)} undoing"
    if current in ids:
        yield _CURRENT
        yield f"class {ids[current]} current"
