"""What the demo shows: live tables and colours on a terminal, plain lines anywhere else."""

import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from _demo_crowd import Crowd
from fsmflow import HistoryEntry, Machine

LINE_EVERY_S = 1.0
BAR = 20
WIDE = 110
ENDS_OF_ATTEMPTS = {"attempt_failed": "failed", "crashed": "crashed", "saved": "saved"}

#: As wide as lines of text get, also where a terminal is wider.
WIDEST = 96
FAILURE = "red"

Show = Callable[[Crowd, list[tuple[str, HistoryEntry]]], None]


def say(text: str = "", *, style: str = "") -> None:
    """A line of text, broken between words where the terminal ends, and indented as it is."""
    console = _console()
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    wide = min(console.width, WIDEST)
    parts = textwrap.wrap(text, wide, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    for part in parts or [""]:
        show_typed(part, style=style)


def show_typed(text: str, *, style: str = "") -> None:
    """A line as it is, for commands and paths that are copied."""
    console = _console()
    console.print(text, style=style, soft_wrap=True)
    console.file.flush()


def _console() -> Console:
    # Of this moment: what standard output is, and how wide.
    return Console(highlight=False, markup=False, emoji=False)


@contextmanager
def screen() -> Iterator[Show]:
    """What shows the crowd, and the news of it, each time that it is called."""
    if not sys.stdout.isatty():
        yield _lines()
        return
    console = _console()
    with Live(console=console, auto_refresh=False) as live:
        yield lambda crowd, news: live.update(_tables(crowd, bars=console.width >= WIDE), refresh=True)


def told(entry: HistoryEntry) -> str:
    """A line of history in words."""
    failure = f": {entry.failure.error_type}" if entry.failure else ""
    if entry.kind == "start":
        return f"started in {entry.dest}"
    if entry.kind in ENDS_OF_ATTEMPTS:
        return f"attempt {entry.attempt} in {entry.dest} {ENDS_OF_ATTEMPTS[entry.kind]}{failure}"
    who = f" by {entry.actor}" if entry.actor else ""
    return f"{entry.trigger or entry.kind}{who}: {entry.source} -> {entry.dest}{failure}"


def print_history(handle: Machine) -> None:
    """All that happened to one entity."""
    for entry in handle.history:
        if entry.trigger == "retry":
            say(f"         --- retried: it goes on from {entry.dest}; nothing above ran again ---", style="bold")
        say(f"    {entry.seq:3}  {entry.at:%H:%M:%S}  {told(entry)}", style=FAILURE if entry.failure else "")


def _lines() -> Show:
    told_at = float("-inf")

    def show(crowd: Crowd, news: list[tuple[str, HistoryEntry]]) -> None:
        nonlocal told_at
        for address, entry in news:
            if entry.failure:
                say(f"  {crowd.elapsed_s:4.1f} s  {address} {told(entry)}", style=FAILURE)
        if time.monotonic() - told_at >= LINE_EVERY_S or crowd.has_ended:
            told_at = time.monotonic()
            say(f"  {crowd.elapsed_s:4.1f} s  {_summary(crowd)}")

    return show


def _summary(crowd: Crowd) -> str:
    machines: dict[str, list[str]] = {}
    for (machine, state), count in sorted(crowd.counts().items()):
        machines.setdefault(machine, []).append(f"{count} {state}")
    return "; ".join(f"{machine}: {', '.join(states)}" for machine, states in machines.items())


def _tables(crowd: Crowd, *, bars: bool) -> Table:
    both = Table.grid(padding=(0, 2))
    both.add_row(_counts(crowd, bars), _latest(crowd))
    return both


def _counts(crowd: Crowd, bars: bool) -> Table:
    table = Table(title=f"after {crowd.elapsed_s:.1f} s", title_justify="left", box=None)
    for name in ("state", "", "") if bars else ("state", ""):
        table.add_column(name, no_wrap=True)
    counts = crowd.counts()
    for kind in dict.fromkeys(type(member.handle) for member in crowd.members):
        states = [state.name for state in kind.states]
        ends = {state.name for state in kind.states if state.final}
        states += sorted(state for machine, state in counts if machine == kind.name and state not in states)
        for state in states:
            count = counts[kind.name, state]
            style = FAILURE if state.startswith("failed_from_") else "green" if state in ends else "bold"
            bar = "#" * -(-count * BAR // len(crowd.members))
            table.add_row(
                f"{kind.name} {state}", str(count or ""), *([bar] if bars else []), style=style if count else "dim"
            )
    return table


def _latest(crowd: Crowd) -> Table:
    table = Table(title="", box=None)
    table.add_column("latest", no_wrap=True, overflow="ellipsis")
    for address, entry in crowd.latest:
        table.add_row(f"{address}  {_shortly(entry)}", style=FAILURE if entry.failure else "")
    return table


def _shortly(entry: HistoryEntry) -> str:
    """A line of history that fits beside the counts."""
    if entry.kind == "start" or entry.kind in ENDS_OF_ATTEMPTS:
        return told(entry)
    who = f" by {entry.actor}" if entry.actor else ""
    return f"{entry.trigger or entry.kind}{who} -> {entry.dest}"
