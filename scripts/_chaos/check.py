"""What must hold at the end of a chaos run, checked on the facts alone, by no code of the engine's.

lost: what was acknowledged and is not there, or what a commit should have led to and did not. doubled: what happened
twice: a transition out of one entry of a state, a keyed trigger, a row of the transactional step, a letter, a branch.
gaps: a history with a number missing, or whose end is not the entity. absent: an entity that has not arrived.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from _chaos.facts import Entity, Entry, Facts
from _chaos.load import BOATS, POSTBOXES, SPOTS, is_given_up

#: Kinds of rows in a history that enter a state.
ENTERING = ("start", "transition", "forced", "skipped", "rewound")
_END = {"voyage": ("there", "undone"), "skiff": ("landed",), "postbox": ("open",)}
#: States that every voyage leaves once, by ``done``.
_ONCE = ("boarding", "noting", "calling", "resting")


@dataclass
class Verdict:
    """What was found wrong, a sentence each."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.gaps or self.absent)

    def sentences(self) -> Iterator[tuple[str, str]]:
        """Each with the name of its kind."""
        for kind, found in vars(self).items():
            yield from ((kind, sentence) for sentence in found)


def check(facts: Facts) -> Verdict:
    """Hold the facts against what was acknowledged and against each other."""
    verdict = Verdict()
    voyages = {int(one.entity_id): one for one in facts.entities if one.machine == "voyage" and not one.branch_of}
    for entity in facts.entities:
        _check_history(entity, facts.histories.get(entity.row, []), verdict)
    _check_calls(facts, voyages, verdict)
    _check_parts(facts, voyages, verdict)
    letters = _letters(facts, verdict)
    ledger = Counter(facts.ledger)
    for number, voyage in voyages.items():
        history = facts.histories.get(voyage.row, [])
        _check_steps(voyage, history, verdict)
        left = Counter(entry.source for entry in history if entry.trigger == "done")
        _count(f"{voyage.address}: rows of its transactional step", ledger[number], left["noting"], verdict)
        _count(f"{voyage.address}: letters that arrived", letters[number], left["writing"], verdict)
    for number in [*ledger, *letters]:
        if number not in voyages:
            verdict.lost.append(f"voyage:{number} has left a row or a letter, and is not there")
    return verdict


def _count(what: str, found: int, wanted: int, verdict: Verdict) -> None:
    if found < wanted:
        verdict.lost.append(f"{what}: {found}, and {wanted} were committed")
    elif found > wanted:
        verdict.doubled.append(f"{what}: {found}, and {wanted} were committed")


def _check_history(entity: Entity, history: list[Entry], verdict: Verdict) -> None:
    numbers = [entry.seq for entry in history]
    if numbers != list(range(1, entity.seq + 1)):
        verdict.gaps.append(f"{entity.address} has come to row {entity.seq}, and its history has {_brief(numbers)}")
    elif history and (history[-1].dest, history[-1].epoch) != (entity.state, entity.epoch):
        last = history[-1]
        verdict.gaps.append(
            f"{entity.address} is in {entity.state!r} of epoch {entity.epoch}, and its history ends in {last.dest!r} "
            f"of epoch {last.epoch}"
        )
    entered = Counter(entry.epoch for entry in history if entry.kind in ENTERING and entry.dest)
    for epoch, count in entered.items():
        if count > 1:
            verdict.doubled.append(f"{entity.address} entered a state {count} times in epoch {epoch}")
    if not entity.branch_of and entity.state not in _END.get(entity.machine, ()):
        verdict.absent.append(f"{entity.address} is in {entity.state!r}, {entity.phase}")


def _brief(numbers: list[int]) -> str:
    missing = sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))
    return f"{len(numbers)} rows up to {max(numbers, default=0)}, without {missing[:10]}"


def _check_calls(facts: Facts, voyages: dict[int, Entity], verdict: Verdict) -> None:
    """Each key once if it was acknowledged, at most once if not; the calls of one key count as one."""
    answers: dict[tuple[int, str], set[str]] = defaultdict(set)
    for call in facts.calls:
        if call.what == "start":
            if call.answer == "acknowledged" and call.number not in voyages:
                verdict.lost.append(f"voyage:{call.number}: its start was acknowledged, and it is not there")
            continue
        answers[call.number, call.key].add(call.answer)
    written = {
        number: Counter(entry.key for entry in facts.histories.get(voyage.row, []) if entry.key)
        for number, voyage in voyages.items()
    }
    for (number, key), given in answers.items():
        count = written.get(number, Counter())[key]
        if "acknowledged" in given and count == 0:
            verdict.lost.append(f"voyage:{number}: {key!r} was acknowledged, and its history does not have it")
        if count > 1:
            verdict.doubled.append(f"voyage:{number}: {key!r} was applied {count} times")


def _check_steps(voyage: Entity, history: list[Entry], verdict: Verdict) -> None:
    """Each step led on once, and what callbacks counted is what the history says."""
    left = Counter((entry.source, entry.trigger) for entry in history if entry.trigger in ("done", "undone", "approve"))
    for (source, trigger), count in left.items():
        if count > 1:
            verdict.doubled.append(f"{voyage.address} left {source!r} by {trigger!r} {count} times")
    if voyage.state in _END["voyage"]:
        for source in _ONCE:
            if not left[source, "done"]:
                verdict.lost.append(f"{voyage.address} is in {voyage.state!r}, and never left {source!r}")
        undone = left["undoing_boarding", "undone"]
        if undone != (voyage.state == "undone") or undone > is_given_up(int(voyage.entity_id)):
            verdict.lost.append(f"{voyage.address} is in {voyage.state!r}, and its undo was done {undone} times")
    for trigger in ("bump", "bell"):
        rows = sum(entry.trigger == trigger and entry.kind == "internal" for entry in history)
        _count(f"{voyage.address}: {trigger}s in its data", voyage.data.get(f"{trigger}s", 0), rows, verdict)
    bells = sum(entry.trigger == "bell" for entry in history)
    _count(f"{voyage.address}: bells in its history", bells, left["boarding", "done"], verdict)


def _check_parts(facts: Facts, voyages: dict[int, Entity], verdict: Verdict) -> None:
    """Each fan-out has all its branches, and children, once."""
    parts: dict[tuple[int | None, str], list[Entity]] = defaultdict(list)
    for entity in facts.entities:
        if entity.parent is not None:
            parts[entity.parent, entity.machine].append(entity)
    for voyage in voyages.values():
        sources = {entry.source for entry in facts.histories.get(voyage.row, []) if entry.trigger == "done"}
        if "scouting" in sources:
            _count(f"{voyage.address}: branches", len(parts[voyage.row, "voyage"]), SPOTS, verdict)
        if "calling" in sources:
            _count(f"{voyage.address}: children", len(parts[voyage.row, "skiff"]), BOATS, verdict)
            for skiff in parts[voyage.row, "skiff"]:
                steps = Counter(entry.source for entry in facts.histories.get(skiff.row, []) if entry.trigger == "done")
                for state in ("rowing", "landing"):
                    _count(f"{skiff.address}: ends of {state!r}", steps[state], 1, verdict)


def _letters(facts: Facts, verdict: Verdict) -> Counter[int]:
    """How often each voyage's letter was taken by the postbox that it was for."""
    letters: Counter[int] = Counter()
    for box in (one for one in facts.entities if one.machine == "postbox"):
        taken = [
            int(entry.payload["voyage"])
            for entry in facts.histories.get(box.row, [])
            if entry.trigger == "letter" and entry.kind == "internal"
        ]
        letters.update(number for number in taken if number % POSTBOXES == int(box.entity_id))
        _count(f"{box.address}: letters in its data", box.data.get("count", 0), len(taken), verdict)
    return letters
