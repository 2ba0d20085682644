"""``types``: the lines in the body of a machine's class that say what comes with its triggers."""

from __future__ import annotations

import ast
import difflib
import inspect
import os
import re
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from fsmflow.cli import completion, output
from fsmflow.cli.options import json_option
from fsmflow.cli.overview import machines
from fsmflow.definition.advice import untyped
from fsmflow.definition.model import Definition
from fsmflow.errors import ConfigurationError

#: The type of a payload of which nothing is known: anything will do, as without a type.
_ANY: Final = "object"
_IMPORT: Final = "from fsmflow import Trigger"


@click.command()
@click.argument("machine", required=False, shell_complete=completion.machines)
@click.option("--write", is_flag=True, help="Change the files. Without it, what would be changed is shown.")
@json_option
def types(machine: str | None, write: bool, as_json: bool) -> int:
    """Add to the class of MACHINE, or of all, a line for each trigger that has no type.

    A line is 'approve: Trigger[object]', which takes any payload, as before: type checkers know the trigger then, and
    you say what comes with it by putting a type of yours in the place of 'object'. Nothing else in a file is changed,
    but that 'Trigger' is imported. Without --write the difference is shown, and nothing is changed.

    \b
      fsmflow types order
      fsmflow types --write
    """
    known = machines()
    found = [known.get(machine)] if machine is not None else list(known.of_user().values())
    missing = {one.name: untyped(one) for one in found}
    if as_json:
        output.print_json({"written": write, "missing": missing})
    for one in found:
        if missing[one.name]:
            _add(one, missing[one.name], write=write, quiet=as_json)
    if not as_json and not any(missing.values()):
        click.echo("every trigger has a type")
    return 0


def _add(definition: Definition, triggers: Sequence[str], *, write: bool, quiet: bool) -> None:
    """Show what would be changed, or change it. Raises ConfigurationError where there is no file."""
    owner = definition.owner
    name = inspect.getsourcefile(owner)
    if name is None or not Path(name).is_file():
        raise ConfigurationError(f"machine {definition.name!r}: the file of its class {owner.__name__} is not there")
    path = Path(name)
    before = path.read_bytes().decode("utf-8")
    after = with_lines(before, owner.__qualname__, triggers)
    if write:
        _replace(path, after)
    if quiet:
        return
    if write:
        click.echo(f"{path}: {', '.join(triggers)}")
        return
    lines = (before.splitlines(), after.splitlines())
    for line in difflib.unified_diff(*lines, str(path), str(path), lineterm=""):
        click.echo(line)


def with_lines(text: str, qualname: str, triggers: Sequence[str]) -> str:
    """The text of a module with a line for each trigger in the body of a class; its form stays. Raises
    ConfigurationError where the class is not there."""
    end = "\r\n" if "\r\n" in text else "\n"
    tree = ast.parse(text)
    body = _class_of(tree, qualname)
    lines = text.split(end)
    place, begins = _place_in(body)
    indent = re.match(r"\s*", lines[body.body[0].lineno - 1])
    word = _word_for_trigger(tree)
    new = [f"{indent[0] if indent else '    '}{name}: {word or 'Trigger'}[{_ANY}]" for name in triggers]
    lines[place:place] = ["", *new] if begins else new
    if word is None:
        at = _import_in(tree)
        lines[at:at] = [_IMPORT]
    return end.join(lines)


def _class_of(tree: ast.Module, qualname: str) -> ast.ClassDef:
    nodes: Sequence[ast.stmt] = tree.body
    found: ast.ClassDef | None = None
    for part in qualname.split("."):
        found = next((node for node in nodes if isinstance(node, ast.ClassDef) and node.name == part), None)
        if found is None:
            raise ConfigurationError(f"class {qualname} is not written out in its file, so no line can be added to it")
        nodes = found.body
    if found is None:
        raise ConfigurationError("a class without a name has no body")
    return found


def _place_in(body: ast.ClassDef) -> tuple[int, bool]:
    """After which line the new ones come, and whether they are the first of their kind: after those that are there,
    else after the transitions, else after whatever is assigned, else at the end."""
    assigned = [node for node in body.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    typed = [node for node in assigned if isinstance(node, ast.AnnAssign) and "Trigger" in ast.unparse(node.annotation)]
    last = (typed or assigned or body.body)[-1]
    return last.end_lineno or last.lineno, not typed


def _word_for_trigger(tree: ast.Module) -> str | None:
    """How the module calls ``Trigger``; None where it does not know it."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "fsmflow":
            for name in node.names:
                if name.name == "Trigger":
                    return name.asname or name.name
    for node in tree.body:
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name == "fsmflow":
                    return f"{name.asname or name.name}.Trigger"
    return None


def _import_in(tree: ast.Module) -> int:
    """After which line an import is added: that of fsmflow, else the last one."""
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    own = [node for node in imports if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fsmflow")]
    last = (own or imports)[-1] if imports else None
    return 0 if last is None else last.end_lineno or last.lineno


def _replace(path: Path, text: str) -> None:
    """Put a file in the place of the one that is there: whoever reads it sees one or the other."""
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode("utf-8"))
    Path(name).chmod(stat.S_IMODE(target.stat().st_mode))
    Path(name).replace(target)
