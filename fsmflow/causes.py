"""An error as text, with where it was raised, and what is behind it: causes, what it was raised while handling, notes,
members of a group.

The class is the user's, and may have made anything of its attributes. So these are read as Python itself keeps them,
and only the message is asked for. All of it is bounded, but no text is cut: a part of a secret would not be found.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Final

from fsmflow.errors import name_of, shown, text_of

#: So many errors are told of one, so deep into groups; and so many frames of each.
_MOST: Final = 24
_DEEPEST: Final = 8
_MOST_MEMBERS: Final = 8
_MOST_FRAMES: Final = 60
#: So many characters of what somebody else's module raises as it is imported.
_MOST_SAID: Final = 300
#: Where the frames between a worker and the code of the user come from.
_BETWEEN: Final = (os.path.dirname(__file__) + os.sep, os.path.join(os.sep, "transitions", "core.py"))
#: What fsmflow stands on.
_NOT_THE_USERS: Final = frozenset(
    {
        *("fsmflow", "click", "rich", "transitions", "rq", "redis"),
        *("peewee", "playhouse", "sqlite3", "psycopg", "pymysql", "MySQLdb"),
    }
)
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
#: What a traceback says of a frame, and where that is Python's own.
_TITLE: Final = "Traceback (most recent call last):"
_FRAME: Final = re.compile(r'  File "(.+)", line (\d+), in .*')
_STANDARD: Final = re.compile(r"[/\\]lib(64)?[/\\]python3[^/\\]*[/\\]")
#: What servers say, in part; and what that most likely comes from.
_LIKELY: Final = (
    (
        ("invalid username-password pair", "invalid password"),
        "it refuses the name or the password of its URL, which FSMFLOW_REDIS_URL or configure(redis_url=...) gives",
    ),
    (
        ("HELLO must be called with", "Authentication required"),
        "it asks for a password, and its URL has none: redis://:password@host:6379/0 in FSMFLOW_REDIS_URL",
    ),
    (
        ("password authentication failed", "(using password: "),
        "name and password are those of FSMFLOW_DATABASE_URL, or of configure(database_url=...)",
    ),
    (
        ("no schema has been selected to create in",),
        "the schema that the search_path names is not there, or this user may not use it; make that first, as in "
        "CREATE SCHEMA acme AUTHORIZATION acme",
    ),
)
_LINKS: Final = {
    "caused by": "The above exception was the direct cause of the following exception:",
    "while handling": "During handling of the above exception, another exception occurred:",
}


def members(error: BaseException) -> tuple[BaseException, ...]:
    """Those of an exception group; none where it is none."""
    if not issubclass(type(error), BaseExceptionGroup):
        return ()
    found: tuple[BaseException, ...] = vars(BaseExceptionGroup)["exceptions"].__get__(error)
    return found


def summary(error: BaseException) -> str:
    """An error in one line."""
    return f"{name_of(type(error))}: {text_of(error)}{behind(error)}"


def behind(error: BaseException) -> str:
    """What is behind an error, to follow its message in one line; empty where nothing is."""
    return "".join(_behind(error, {id(error)}, 0))


def blocks(error: BaseException) -> tuple[str, ...]:
    """The tracebacks of an error and of all that is behind it, as Python orders them: causes first, members last."""
    return tuple(_blocks(error, set(), 0))


def likely(said: str) -> str:
    """What a server says in a line, with what that most likely comes from."""
    return next((f"{said.rstrip('.')}; {cause}" for signs, cause in _LIKELY if any(map(said.count, signs))), said)


def let_go(error: BaseException) -> None:
    """Empty the variables of the frames in which an error was raised, and of all that is behind it: for who keeps it.
    What a job left in one may be a connection that holds a lock."""
    kept, met, left = vars(BaseException), set[int](), [error]
    while left:
        one = left.pop()
        if id(one) in met:
            continue
        met.add(id(one))
        traceback.clear_frames(traceback_of(one))
        before = (kept[name].__get__(one) for name in ("__cause__", "__context__"))
        left += [*members(one), *(each for each in before if each is not None)]


def traceback_of(error: BaseException) -> TracebackType | None:
    """Where it was raised."""
    found: TracebackType | None = vars(BaseException)["__traceback__"].__get__(error)
    return found


def place_of(error: BaseException) -> str | None:
    """Where in the user's code an error was raised, which may itself have called a library; None where it was not."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"at {error.filename}:{error.lineno}"
    frames = list(_of_user(error))
    written = [frame for frame in frames if not any(part in frame[1] for part in _INSTALLED)]
    for function, file, line, _ in (written or frames)[-1:]:
        return f"at {file}:{line}" if function == "<module>" else f"raised in {function}, {file}:{line}"
    return None


def origin_of(error: BaseException, package: str = "") -> str | None:
    """Module and function in the code of the user in which an error was raised, which may itself have called a library;
    of one that was raised in no code of the user, that of its cause. None where there is none.

    The same on every host, wherever the code lies, and after its lines have moved. ``package``: what the machine is in,
    which is the user's even where it is installed."""
    met: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in met:
        met.add(id(found))
        for frame, _ in reversed(list(traceback.walk_tb(traceback_of(found)))):
            if _is_written(frame, package.partition(".")[0]):
                module, code = str(frame.f_globals["__name__"]), frame.f_code
                # A module that is run is called by its file: elsewhere it is imported.
                named = os.path.basename(code.co_filename).removesuffix(".py") if module == "__main__" else module
                return f"{named}.{code.co_qualname}"
        _, found = _cause(found)
    return None


def _is_written(frame: FrameType, package: str) -> bool:
    """Whether a frame is in code that the user has written, and not in a library."""
    first = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    if not first or first in _NOT_THE_USERS or first in sys.stdlib_module_names:
        return False
    return first == package or not any(part in frame.f_code.co_filename for part in _INSTALLED)


def place_in(text: str, kind: str) -> str | None:
    """Where an error of a kind was raised, by its traceback as ``blocks`` made it: file and line of the last frame in
    code of the user; None where there is none. The file is told from the current folder on, or with the folder that it
    is in."""
    found = place = None
    for line in text.splitlines():
        frame = _FRAME.fullmatch(line)
        if line == _TITLE:
            place = None
        elif frame is not None:
            place = f"{_short(frame[1])}:{frame[2]}" if _is_of_user(frame[1]) else place
        elif not line.startswith(" ") and line.partition(":")[0].rpartition(".")[2] == kind:
            found = place or found
    return found


def _is_of_user(file: str) -> bool:
    is_installed = any(part in file for part in _INSTALLED) or _STANDARD.search(file) is not None
    return not (is_installed or file.startswith("<") or _is_between(file))


def _short(file: str) -> str:
    inside = os.path.relpath(file)
    return os.path.join(*file.split(os.sep)[-2:]) if inside.startswith(os.pardir) else inside


def told_of_import(error: BaseException) -> str:
    """Why a module cannot be imported, in one line: with the file and the line, or as a circle of imports."""
    what = _why_not(error, error.msg if isinstance(error, SyntaxError) else text_of(error))
    place = place_of(error)
    what = what if len(what) <= _MOST_SAID else f"{what[:_MOST_SAID]}..."
    return f"{name_of(type(error))}: {what}{'' if place is None else f' ({place})'}"


def _why_not(error: BaseException, said: str) -> str:
    """What Python says of a module that cannot be imported; plainer where that is an import of what is not there yet,
    or not beside it."""
    circle = _circle(error) if "circular import" in said else []
    wanted = re.search(r"(?:cannot import name|has no attribute) ('\w+')", said)
    if len(set(circle)) == 1 and wanted:
        return (
            f"the module imports {wanted[1]} from itself, as it is called {circle[0]!r}; where another module of this "
            f"name is meant, give one of the two another name"
        )
    if circle:
        return (
            f"the modules import each other: {' -> '.join(circle)}, so one of them is not complete yet; move one of "
            f"these imports into the function that uses it"
        )
    if "no known parent package" in said:
        return f"{said}: it takes 'from .' for the folder that it was copied from; copy that folder as a whole"
    return said


def _circle(error: BaseException) -> list[str]:
    """The modules on the way from one that is being imported to where it is asked for something; empty where that is
    not seen."""
    asked = error.name if isinstance(error, ImportError) else getattr(getattr(error, "obj", None), "__name__", None)
    modules = [module for function, _, _, module in _of_user(error) if function == "<module>"]
    return [*modules[modules.index(asked) :], asked] if asked in modules else []


def _of_user(error: BaseException) -> Iterator[tuple[str, str, int, str]]:
    """Function, file, line and module of the frames that are neither Python's nor of what fsmflow stands on."""
    for frame, line in traceback.walk_tb(traceback_of(error)):
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in _NOT_THE_USERS | sys.stdlib_module_names:
            yield frame.f_code.co_name, frame.f_code.co_filename, line, name


def _behind(error: BaseException, met: set[int], depth: int) -> Iterator[str]:
    found = members(error) if depth < _DEEPEST else ()
    if found:
        yield " ["
        for index, member in enumerate(found[:_MOST_MEMBERS]):
            yield f"{'; ' if index else ''}{name_of(type(member))}: {text_of(member)}"
            met.add(id(member))
            yield from _behind(member, met, depth + 1)
        yield f"; and {len(found) - _MOST_MEMBERS} more]" if len(found) > _MOST_MEMBERS else "]"
    how, before = _cause(error)
    if before is not None and id(before) not in met and len(met) < _MOST and depth < _DEEPEST:
        met.add(id(before))
        yield f"; {how} {name_of(type(before))}: {text_of(before)}"
        yield from _behind(before, met, depth + 1)


def _blocks(error: BaseException, met: set[int], depth: int) -> Iterator[str]:
    chain: list[tuple[str, BaseException]] = []
    how, found = "", error
    while found is not None and id(found) not in met and len(met) < _MOST:
        met.add(id(found))
        chain.append((how, found))
        how, found = _cause(found)  # type: ignore[assignment]
    for place, (how, one) in reversed(list(enumerate(chain))):
        yield _own(one)
        yield from _blocks_of_members(one, met, depth)
        if place:
            yield f"\n{_LINKS[how]}\n\n"


def _blocks_of_members(error: BaseException, met: set[int], depth: int) -> Iterator[str]:
    found = members(error) if depth < _DEEPEST else ()
    for number, member in enumerate(found[:_MOST_MEMBERS], start=1):
        if id(member) not in met and len(met) < _MOST:
            yield f"\n{name_of(type(error))}, member {number} of {len(found)}:\n\n"
            yield from _blocks(member, met, depth + 1)


def _cause(error: BaseException) -> tuple[str, BaseException | None]:
    cause: BaseException | None = vars(BaseException)["__cause__"].__get__(error)
    if cause is not None:
        return "caused by", cause
    if vars(BaseException)["__suppress_context__"].__get__(error):
        return "", None
    return "while handling", vars(BaseException)["__context__"].__get__(error)


def _own(error: BaseException) -> str:
    """The traceback of one error alone, without fsmflow's own frames above those of the user, and without locals."""
    lines = _frames(error)
    title = [f"{_TITLE}\n"] if lines else []
    message = text_of(error)
    kind = name_of(type(error), whole=True)
    return "".join([*title, *lines, f"{kind}: {message}\n" if message else f"{kind}\n", *_notes(error)])


def _frames(error: BaseException) -> list[str]:
    try:
        frames = list(traceback.extract_tb(traceback_of(error)))
        while len(frames) > 1 and _is_between(frames[0].filename):
            del frames[0]
        left_out = max(0, len(frames) - _MOST_FRAMES)
        kept = traceback.StackSummary.from_list(frames[left_out:]).format()
    except BaseException:  # noqa: BLE001 - the source is looked for with loaders, which may be the user's
        return ["  (its frames cannot be shown)\n"]
    return [f"  ({left_out:,} outer frames are left out)\n", *kept] if left_out else kept


def _is_between(filename: str) -> bool:
    ours, theirs = _BETWEEN
    return filename.startswith(ours) or filename.endswith(theirs)


def _notes(error: BaseException) -> list[str]:
    kept: Any = vars(BaseException)["__dict__"].__get__(error).get("__notes__")
    notes = kept if type(kept) is list else []
    return [f"{str.__str__(note) if isinstance(note, str) else shown(note)}\n" for note in notes[:_MOST]]
