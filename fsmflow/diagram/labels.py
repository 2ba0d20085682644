"""What is written at an arrow and in a box, whatever a diagram is drawn with. The texts are the user's own: guards,
roles and names of fields may hold anything, and each drawing makes them harmless in its own way."""

from __future__ import annotations

from collections.abc import Iterator

from fsmflow.clock import length, to_ms
from fsmflow.decision.expectation import expected_of
from fsmflow.definition.model import BranchSpec, Fan, StateSpec, TransitionSpec, source_name

#: What joins the letters of one emoji, and is as invisible as what reverses the text behind it.
_JOINER = "\N{ZERO WIDTH JOINER}"


def label(spec: TransitionSpec) -> str:
    """What is written at the arrow of a transition: trigger, guards, roles."""
    guards = guards_of(spec)
    parts = [spec.trigger]
    if guards:
        parts.append(f"[{guards}]")
    if spec.roles:
        parts.append(f"({' or '.join(sorted(spec.roles))})")
    if spec.dest is None:
        parts.append("(internal)")
    return " ".join(parts)


def guards_of(spec: TransitionSpec) -> str:
    """The guards of a transition in words; empty where there are none."""
    conditions, unless = spec.guards[: len(spec.conditions)], spec.guards[len(spec.conditions) :]
    return " and ".join([*conditions, *(f"not {name}" for name in unless)])


def marks(spec: StateSpec) -> Iterator[str]:
    """What a state does that its ways do not show."""
    if spec.fan is not None:
        yield from _fan_marks(spec.fan)
    if spec.waits:
        yield "asks and waits"
    if spec.transactional:
        yield "transactional"
    if spec.at_most_once:
        yield "at most once"
    if spec.thread:
        yield "in a thread"
    if spec.expect_ms is not None:
        yield expected_of(spec)
    if spec.defer:
        yield f"defers {' and '.join(sorted(spec.defer))}"
    if spec.ignore:
        yield f"ignores {' and '.join(sorted(spec.ignore))}"


def _fan_marks(fan: Fan) -> Iterator[str]:
    if fan.named:
        kind = "machines" if fan.has_children else "jobs"
        yield f"{kind} {' and '.join(_named_mark(branch) for branch in fan.named)}"
    if fan.only is not None:
        yield f"only {source_name(fan.only)}"
    if fan.machine is not None:
        yield f"machine {fan.machine}"
    if fan.each is not None:
        yield f"for each of {source_name(fan.each)}"
    if fan.limit is not None:
        yield f"{fan.limit} at once"
    if fan.stops:
        yield "stops at a failure"


def _named_mark(branch: BranchSpec) -> str:
    """The name of a branch; of a child its machine before that, where it is called otherwise."""
    return branch.name if branch.machine in (None, branch.name) else f"{branch.machine} as {branch.name}"


def timer_mark(spec: StateSpec) -> str | None:
    """What a state fires by itself, and when; None where it fires nothing."""
    if spec.timer is None:
        return None
    after = spec.timer.after
    when = source_name(after) if callable(after) else length(to_ms(after))
    return f"{spec.timer.trigger} after {when}"


def plain(text: str) -> str:
    """One line of printable text. What could reverse or hide the text behind it, and what no XML may hold, is shown
    by its code."""
    return "".join(_printable(char) for char in " ".join(text.split()))


def _printable(char: str) -> str:
    is_harmless = char.isprintable() or char == _JOINER
    return char if is_harmless else ascii(char)[1:-1]
