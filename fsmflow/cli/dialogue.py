"""What somebody sees of ``fsmflow top`` and does with it: what is chosen, what is open, what is asked."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable
from typing import Final

from rich.text import Text

from fsmflow import clock
from fsmflow.cli import output
from fsmflow.cli.board import Board
from fsmflow.cli.bulk import handle
from fsmflow.cli.errors import sentence
from fsmflow.cli.frame import Size, fitted, in_order, is_same, overview, rows_of
from fsmflow.cli.keyboard import DOWN, END, ENTER, ESCAPE, HOME, PAGE_DOWN, PAGE_UP, UP
from fsmflow.cli.pages import Listing, Page
from fsmflow.cli.sections import ALARM, ENTITY, GROUP, REPAIR, SET_ASIDE, STATE, WORKER, Item, sections_of
from fsmflow.decision.inputs import Actor
from fsmflow.definition.names import FAILED, RETRY
from fsmflow.engine.runtime import current
from fsmflow.operations import repairs
from fsmflow.queries import resolve

#: The head, what is told, the keys, and the title of what is open.
_BARS: Final = 4
#: So many lines of what is told.
_MOST_TOLD: Final = 4
_FAR: Final = 10**6
_STEPS: Final = {UP: -1, "k": -1, DOWN: 1, "j": 1, HOME: -_FAR, "g": -_FAR, END: _FAR, "G": _FAR}
_REASON: Final = "asked for in fsmflow top"
_KEYS: Final = "Enter look closer  Esc back  r retry  p keep still  ? help  q end"
_HELP: Final = """\
up, down, j, k     choose a row, or move through a page
Space, PgDn, PgUp  a page on, or back
g, G, Home, End    to the beginning, to the end
Enter              look closer: a state shows its entities, a failure its
                   group, an entity what it does and waits for, a repair
                   its report, an alarm all that are raised, a worker
                   what is in force
Esc                back
r                  retry what is chosen; you are asked first. An entity
                   is retried at once. Of a failure, or of a state in
                   which entities have failed, a repair begins: one of
                   them first, the rest once that has recovered. It goes
                   on without this terminal
p                  keep the picture still, and go on
q                  end

It looks anew every two seconds. More than 10,000 in a state are counted
by workers, from time to time."""

Open = Page | Listing


class _Help:
    title = "Keys"
    chosen: Item | None = None

    def refresh(self) -> None:
        """It stays."""

    def lines(self, size: Size) -> list[Text]:
        return [Text(line) for line in _HELP.splitlines()[: size.height]]

    def move(self, by: int) -> None:
        """There is no more of it."""


class Dialogue:
    """One who looks on, as ``actor``, at what was seen last."""

    def __init__(self, board: Board | None, actor: Actor | None) -> None:
        self._board = board
        self._actor = actor
        self._chosen: Item | None = None
        self._open: list[Open | _Help] = []
        self._asked: tuple[str, Callable[[], str]] | None = None
        self._told = ""
        self._away = ""
        self.is_still = False
        self.is_over = False

    # What is seen

    def see(self, board: Board) -> None:
        """This is how it stands now."""
        self._board, self._away = board, ""
        if self._open:
            self._open[-1].refresh()

    def see_nothing(self, why: str) -> None:
        """Nothing can be seen now; what was seen last stays."""
        self._away = f"{why}; looking again"

    def tell(self, line: str) -> None:
        """Tell something, until a key is pressed."""
        self._told = line

    def lines(self, size: Size) -> list[Text]:
        """All of it, in as many lines as there are."""
        told = self._words(size.width)
        inside = Size(width=size.width, height=size.height - len(told) - 2)
        body = self._body(inside)[: inside.height]
        body += [Text()] * (inside.height - len(body))
        return [self._head(size.width), *body, *told, self._foot(size.width)]

    def whole(self, width: int) -> list[Text]:
        """The overview, whole, with nothing chosen."""
        sections = () if self._board is None else sections_of(self._board)
        every = [rows_of(section, None, Size(width=width, height=len(section.items) + 1)) for section in sections]
        return [self._head(width), *(line for rows in every for line in (Text(), *rows))]

    def _body(self, size: Size) -> list[Text]:
        if self._open:
            opened = self._open[-1]
            title = Text(fitted(opened.title, size.width), "bold cyan")
            return [title, *opened.lines(Size(width=size.width, height=size.height - 1))]
        if self._board is None:
            return [Text("looking ..." if not self._away else "", "dim")]
        self._choose(size.width)
        return overview(sections_of(self._board), self._chosen, size)

    def _head(self, width: int) -> Text:
        board = self._board
        if board is None:
            return Text(fitted("fsmflow top", width), "bold")
        entities = sum(each.count for each in board.counts)
        failed = sum(each.count for each in board.groups)
        facts = [
            f"fsmflow top  {clock.to_datetime(board.now):%H:%M:%S} UTC",
            f"{failed:,} failed",
            *([f"{len(board.alarms):,} alarm{'' if len(board.alarms) == 1 else 's'}"] if board.alarms else []),
            *([f"{len(board.holds):,} held back: 'fsmflow hold'"] if board.holds else []),
            f"{entities:,} entities",
            *filter(None, [board.told_due]),
            f"{len(board.running):,} running",
        ]
        return Text(fitted("   ".join(facts), width), "bold")

    def _words(self, width: int) -> list[Text]:
        """What is asked, or told; what is in the way comes first."""
        told, style = self._told or ("kept still: p goes on" if self.is_still else ""), "yellow"
        if self._asked is not None:
            told, style = f"{self._asked[0]} y/n", "bold yellow"
        if self._away:
            told, style = self._away, "bold red"
        return [Text(line, style) for line in textwrap.wrap(output.one_line(told), width)[:_MOST_TOLD] or [""]]

    def _foot(self, width: int) -> Text:
        return Text(fitted(_KEYS, width), "dim")

    # What is done

    def press(self, key: str, size: Size) -> None:
        """A key was pressed."""
        self._told = ""
        if self._asked is not None:
            self._answer(key)
        elif key == "q":
            self.is_over = True
        elif key == ESCAPE:
            del self._open[-1:]
        elif key == "?":
            self._open.append(_Help())
        elif key == "p":
            self.is_still = not self.is_still
        elif key in _STEPS or key in (PAGE_UP, PAGE_DOWN):
            page = size.height - _BARS - 1
            self._move(_STEPS.get(key, page if key == PAGE_DOWN else -page), size.width)
        elif key == ENTER:
            self._safely(self._look_closer)
        elif key == "r":
            self._safely(self._ask_to_retry)

    def _move(self, by: int, width: int) -> None:
        if self._open:
            self._open[-1].move(by)
        elif self._board is not None:
            items = in_order(sections_of(self._board), width)
            at = next((number for number, item in enumerate(items) if is_same(item, self._chosen)), 0)
            self._chosen = items[max(0, min(at + by, len(items) - 1))] if items else None

    def _choose(self, width: int) -> None:
        """What was chosen stays so, as it is now; where it is gone, the first row is chosen."""
        items = in_order(sections_of(self._board), width) if self._board is not None else []
        first = items[0] if items else None
        self._chosen = next((item for item in items if is_same(item, self._chosen)), first)

    @property
    def _meant(self) -> Item | None:
        return self._open[-1].chosen if self._open else self._chosen

    def _safely(self, do: Callable[[], str]) -> None:
        """Do something; what is refused is told."""
        try:
            self.tell(do())
        except Exception as error:
            told = sentence(error)
            if told is None:
                raise
            self.tell(output.one_line(told))

    def _look_closer(self) -> str:
        item = self._meant
        if item is None:
            return ""
        if item.kind == STATE:
            machine, state = item.name.split(":", 1)
            self._open.append(Listing(machine, state, self._actor))
            return ""
        command = {
            GROUP: ("failures", item.name),
            SET_ASIDE: ("failures", "--all"),
            ALARM: ("alarms",),
            ENTITY: ("explain", item.name),
            REPAIR: ("repair", "show", item.name),
            WORKER: ("info",),
        }.get(item.kind)
        if command is None:
            return f"there is no more to be seen of {item.name}"
        self._open.append(Page(*command))
        return ""

    def _ask_to_retry(self) -> str:
        item = self._open[0].chosen if self._open and self._open[-1].chosen is None else self._meant
        item = self._chosen if item is None else item
        if item is None or item.kind not in (STATE, GROUP, ENTITY):
            return "that cannot be retried: choose a failure, an entity, or a state in which entities have failed"
        if item.kind == ENTITY:
            return self._ask_about(item.name)
        if item.kind == GROUP:
            return self._ask_about_group(item)
        machine, state = item.name.split(":", 1)
        spec = current().machines.get(machine).states.get(state)
        if spec is None or not spec.is_failed:
            return f"nothing in {state!r} has failed"
        return self._ask(
            f"Begin a repair that retries {_many(item.count)} in {item.name}: 1 first, the rest once it has recovered?",
            lambda: self._repair(machine=machine, state=state),
        )

    def _ask_about_group(self, item: Item) -> str:
        board = self._board
        group = next((each for each in board.groups if each.id == item.name), None) if board is not None else None
        other = next((part.remedy for part in group.parts if part.remedy.action != RETRY), None) if group else None
        if other is not None:
            why = f", as {other.why}" if other.why else ""
            return f"it takes {other.action}{why}; Enter tells what to type"
        return self._ask(
            f"Begin a repair that retries {_many(item.count)} of group {item.name[:8]}: 1 first, the rest once it has "
            f"recovered?",
            lambda: self._repair(group=item.name),
        )

    def _ask_about(self, address: str) -> str:
        snapshot = resolve(current(), address, self._actor)
        if snapshot.phase != FAILED:
            return f"{address} is in {snapshot.state!r}, and has not failed"
        return self._ask(f"Retry {address} from {snapshot.state!r}?", lambda: self._retry(address))

    def _ask(self, question: str, do: Callable[[], str]) -> str:
        self._asked = (question, do)
        return ""

    def _answer(self, key: str) -> None:
        """Only a yes is one."""
        asked, self._asked = self._asked, None
        if asked is not None and key in ("y", "Y"):
            self._safely(asked[1])
        else:
            self.tell("nothing was done")

    def _retry(self, address: str) -> str:
        found = resolve(current(), address, self._actor)
        entity = handle(current().machines.get(found.machine), found)
        entity.retry(actor=self._actor, reason=_REASON)
        return f"{address} is in {entity.state!r} again"

    def _repair(self, **wanted: str) -> str:
        """What is meant is seen first and frozen; whoever moves meanwhile is left alone."""
        made = repairs.start(RETRY, canary=1, actor=self._actor, reason=_REASON, **wanted)  # type: ignore[arg-type]
        return f"repair {made.entity_id} has begun: {shlex.join(['fsmflow', 'repair', 'show', made.entity_id])}"


def _many(count: int) -> str:
    return "1 entity" if count == 1 else f"{count:,} entities"
