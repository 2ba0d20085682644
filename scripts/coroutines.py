"""Writes the methods of machines for asyncio, from those that wait: ``python scripts/coroutines.py``.

Each has the parameters and the types of the one that it calls, overloads included, written out, so that every type
checker and every editor knows them. A test holds the files to this.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
MACHINE: Final = ROOT / "fsmflow" / "machine"
FOLDER: Final = MACHINE / "coroutines"
MODULES: Final = ("actions", "approvals", "attributes", "entities", "retention", "schedules")
#: Properties that read the database as they are looked at.
LOOKS: Final = frozenset({"history", "parent", "progress", "record"})
#: What is read in pages as it is gone through, and what of.
STREAMS: Final = {"branches": "Branch", "find": "Self"}
#: Its counterpart is ``until``, which is written by hand.
BY_HAND: Final = frozenset({"wait"})
#: What takes a transaction of the caller's.
JOINING: Final = frozenset({"start", "trigger"})
#: So many options are named in a call; more are handed over by lines of so many.
MOST: Final = 12
A_LINE: Final = 5

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    for module in MODULES:
        (FOLDER / f"{module}.py").write_text(written(module), encoding="utf-8")


def written(module: str) -> str:
    """The text of the module for asyncio of one of a machine's modules."""
    tree = ast.parse((MACHINE / f"{module}.py").read_text(encoding="utf-8"))
    (owner,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    constants = [
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    lines = [
        f'"""``machine/{module}.py`` for asyncio. Written by ``python scripts/coroutines.py``."""',
        "from __future__ import annotations",
        *(ast.unparse(node) for node in tree.body if isinstance(node, ast.ImportFrom) and node.module != "__future__"),
        "from fsmflow.decision.context import Branch",
        "from collections.abc import AsyncIterator",
        "from fsmflow.machine.coroutines.relay import call, call_within, stream",
        f"from fsmflow.machine.{module} import {', '.join([owner.name, *constants])}",
        f"class Async{owner.name}({owner.name}{_parameter(owner)}):",
        '    """Each is the method of its name without the ``a``, awaited: that one says what it does."""',
        *(line for node in owner.body if isinstance(node, Function) for line in _method(node)),
    ]
    return _formatted("\n".join(lines) + "\n", module)


def _parameter(owner: ast.ClassDef) -> str:
    """The type of the data, where a class is generic in that: ``[Data]``."""
    (parameter,) = {ast.unparse(base.slice) for base in owner.bases if isinstance(base, ast.Subscript)} or {""}
    return f"[{parameter}]" if parameter else ""


def _method(node: Function) -> Iterator[str]:
    """One that waits for the database, as lines; none of one that does not."""
    kinds = {ast.unparse(each) for each in node.decorator_list}
    is_looked_at = "property" in kinds
    is_stream = node.name in STREAMS
    if node.name.startswith("_") or node.name in BY_HAND:
        return
    if any(kind.endswith(".setter") for kind in kinds) or (is_looked_at and node.name not in LOOKS and not is_stream):
        return
    result = f"AsyncIterator[{STREAMS[node.name]}]" if is_stream else ast.unparse(node.returns or ast.Constant(None))
    yield from (f"    @{ast.unparse(each)}" for each in node.decorator_list if not is_looked_at)
    prefix = "" if is_stream else "async "
    yield f"    {prefix}def a{node.name}({ast.unparse(node.args)}) -> {result}:"
    if "overload" in kinds:
        yield "        ..."
        return
    yield f'        """``{node.name}``, {"gone through by ``async for``" if is_stream else "awaited"}."""'
    yield from _body(node, is_looked_at=is_looked_at)


def _body(node: Function, *, is_looked_at: bool) -> Iterator[str]:
    owner, *places = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    meant = f"{owner}.{node.name}"
    given = [*places, *(f"{each.arg}={each.arg}" for each in node.args.kwonlyargs)]
    more = f"**{node.args.kwarg.arg}" if node.args.kwarg is not None else ""
    if len(given) > MOST:
        names = [each.arg for each in node.args.kwonlyargs]
        for at in range(0, len(names), A_LINE):
            pairs = ", ".join(f'"{name}": {name}' for name in names[at : at + A_LINE])
            yield f"        asked |= {{{pairs}}}" if at else f"        asked: dict[str, Any] = {{{pairs}}}"
        given = [*places, "**asked"]
    called = ", ".join([*given, more] if more else given)
    if node.name in STREAMS:
        yield f"        return stream(lambda: {f'iter({meant})' if is_looked_at else f'{meant}({called})'})"
    elif is_looked_at:
        yield f"        return await call(lambda: {meant})"
    elif node.name in JOINING:
        yield f"        return await call_within(within, {meant}, {called})"
    else:
        yield f"        return await call({', '.join([meant, called] if called else [meant])})"


def _formatted(text: str, module: str) -> str:
    """As ``ruff`` has it, without the imports that nothing here uses."""
    name = ["--stdin-filename", str(FOLDER / f"{module}.py"), "-"]
    for command in (["check", "--fix-only", "--quiet", "--select", "I,F401"], ["format", "--quiet"]):
        asked = [sys.executable, "-m", "ruff", *command, *name]
        text = subprocess.run(asked, cwd=ROOT, input=text, capture_output=True, text=True, check=True).stdout
    return text


if __name__ == "__main__":
    main()
