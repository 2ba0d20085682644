"""What the source of a machine's methods says it sends, and what of that could never be taken for want of a role."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fsmflow.definition.model import TransitionSpec
from fsmflow.definition.operators import Closed
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Send:
    """A call of ``self.send`` whose trigger and addressee are written out. ``to``: the name of the machine, None for
    the sender itself."""

    method: str
    trigger: str
    to: str | None


def sends_of(owner: type, base: type) -> list[Send]:
    """The messages that the methods of a class send, as far as their source can be read and says to whom."""
    found = []
    for kind in owner.__mro__:
        if issubclass(kind, base) and kind is not base:
            found += [send for function in vars(kind).values() for send in _sends_in(function)]
    return found


def refused_sends(
    sends: Iterable[Send],
    to: str | None,
    roles: frozenset[str],
    transitions: Sequence[TransitionSpec],
    operators: Mapping[str, Closed],
) -> Iterator[str]:
    """What of these a machine refuses whatever state it is in, as each transition, or the action of operators that it
    is, needs a role that the sender does not act with. ``to`` is what the machine is called in them."""
    for send in sends:
        taken = [spec for spec in transitions if spec.trigger == send.trigger and send.to == to]
        closed = operators.get(send.trigger)
        lacks = taken and closed is not None and not closed.roles & roles
        if lacks or (taken and all(spec.roles and not spec.roles & roles for spec in taken)):
            wanted = sorted(closed.roles if lacks and closed else {role for spec in taken for role in spec.roles})
            where = "" if to is None else f" to machine {to!r}"
            yield (
                f"method {send.method!r} sends {send.trigger!r}{where}, where it takes one of the roles "
                f"{', '.join(wanted)}; say with sends_as = [...] which of them its messages act with"
            )


def _sends_in(function: object) -> Iterator[Send]:
    if not inspect.isfunction(function) or "send" not in function.__code__.co_names:
        return
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, ValueError):  # made at run time, or part of a line
        return
    for node in ast.walk(tree):
        send = _read(function.__name__, node)
        if send is not None:
            yield send


def _read(method: str, node: ast.AST) -> Send | None:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "send":
        return None
    if not isinstance(node.func.value, ast.Name) or node.func.value.id != "self" or not node.args:
        return None
    trigger = _beginning(node.args[0])
    to = next((keyword.value for keyword in node.keywords if keyword.arg == "to"), None)
    if trigger is None or any(keyword.arg is None for keyword in node.keywords):
        return None
    if to is None:
        return Send(method=method, trigger=trigger, to=None)
    machine, colon, _ = (_beginning(to) or "").partition(":")
    return Send(method=method, trigger=trigger, to=machine) if colon else None


def _beginning(node: ast.expr) -> str | None:
    """A text that is written out, or the part of it before anything that is put in."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
