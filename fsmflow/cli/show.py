"""Commands that look at entities: list, show, explain, history. They change nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

import click

from fsmflow import clock
from fsmflow.causes import place_in
from fsmflow.cli import completion, output
from fsmflow.cli.bulk import handle
from fsmflow.cli.fields import HELP
from fsmflow.cli.hints import note_of
from fsmflow.cli.options import MANY, filter_options, json_option, viewer_options
from fsmflow.cli.person import told_of_teams
from fsmflow.cli.places import looked_in
from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.decision.fanout import BranchesFailed
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.inputs import Actor
from fsmflow.decision.offers import Offer, by_role, lacks_a_role
from fsmflow.engine.branches import item_of
from fsmflow.engine.details import SHOWN, Details, Kept, Message, Stuck, details_of
from fsmflow.engine.explain import MARGIN
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.permission import permit_to_see
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.selection import Selection, select
from fsmflow.objects import entities
from fsmflow.queries import definition_for, history_of, overdue_in, redacted, resolve, stuck_events, stuck_in
from fsmflow.redaction import hide

_MARGIN = 10
#: The longest line of a list of branches or messages.
_WIDTH = 200
_STUCK_WIDTH = 160


@click.command("list", epilog=HELP)
@filter_options
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=0, max=MANY),
    default=50,
    show_default=True,
    help="At most so many; 0 for all.",
)
@click.option("--newest", is_flag=True, help="The newest first.")
@click.option("--order", metavar="FIELD", help="By a field of the data; '--order=-amount' from the largest on.")
@click.option("--after", metavar="ADDRESS", help="Those that follow on this one, in the same order.")
@viewer_options
@json_option
def list_(
    selection: Selection,
    limit: int,
    newest: bool,
    order: str | None,
    after: str | None,
    actor: Actor | None,
    as_json: bool,
) -> int:
    """List entities, the oldest first. Shows their state, since when, and why those that failed or are stuck are so.

    \b
      fsmflow list --machine order --newest
      fsmflow list --state 'failed_from_*' --limit 200
      fsmflow list --stuck
      fsmflow list --overdue
      fsmflow list --data customer=7 --data amount:=1500 --older 2h
      fsmflow list --machine order --where 'amount:>=1000' --order=-amount --after order:1042
    """
    runtime = current()
    last = None if after is None else resolve(runtime, after, actor)
    most = limit + 1 if limit else None
    found = select(runtime, selection, limit=most, newest=newest, order=order, after=last, actor=actor)
    note_of(runtime, selection, order)
    shown = islice(found, limit) if limit else found
    events, now = stuck_events(runtime), runtime.now()
    told = ((each, stuck_in(runtime, each, events), overdue_in(runtime, each, now)) for each in shown)
    if as_json:
        output.print_array(entities.summary(*each) for each in told)
    else:
        columns = ("ADDRESS", "STATE", "PHASE", "SINCE (UTC)", "FOR", "FAILURE")
        if not output.print_table(columns, (_row(now, *each) for each in told)):
            output.note(f"no entity matches in {looked_in(runtime.settings)}{told_of_teams(runtime, actor)}")
    if next(found, None) is not None:
        output.note(f"these are {limit:,}, and there are more: --limit N shows N, --limit 0 all")
    return 0


def _row(now: int, snapshot: Snapshot, stuck: Sequence[Stuck], overdue: str | None) -> tuple[str, ...]:
    failure = snapshot.failure
    why = _why(failure) if failure else f"stuck: {stuck[0]}" if stuck else f"overdue: {overdue}" if overdue else ""
    return (
        snapshot.address,
        snapshot.state,
        f"{snapshot.phase}, paused" if snapshot.paused else snapshot.phase,
        output.moment(snapshot.entered_at),
        output.duration(now - snapshot.entered_at),
        output.cut(why, _STUCK_WIDTH if stuck and not failure else 100),
    )


def _why(failure: Failure) -> str:
    """Of a parent what its branches failed with, as the message begins with that."""
    of_branches = failure.error_type == BranchesFailed.__name__
    return failure.message if of_branches else f"{failure.error_type}: {failure.message}"


@click.command()
@click.argument("address", shell_complete=completion.addresses)
@click.option("--traceback", is_flag=True, help="Show the traceback of the failure too.")
@click.option("--reveal", is_flag=True, help="Show what is redacted too, as far as you may 'see'; the log tells of it.")
@viewer_options
@json_option
def show(address: str, actor: Actor | None, traceback: bool, reveal: bool, as_json: bool) -> int:
    """Show one entity as it is now. Its state, data, failure, and what it does next.

    ADDRESS is machine:id, or the id alone where only one machine has it.

    \b
      fsmflow show order:1042
      fsmflow show 1042 --json
    """
    runtime = current()
    snapshot = resolve(runtime, address, actor)
    if reveal:
        permit_to_see(runtime, instance_of(runtime.machines.get(snapshot.machine), snapshot), actor)
    keys = frozenset[str]() if reveal else redacted(runtime, snapshot)
    if as_json:
        output.print_json(entities.entity(runtime, snapshot, actor, keys))
        return 0
    click.echo(snapshot.address)
    offers = entities.offered(runtime, snapshot, actor)
    for name, text in (*_facts(runtime, snapshot, keys, traceback), *_allowed(offers)):
        lines = output.clean(text).splitlines() or [""]
        click.echo(f"  {name:{_MARGIN}}{lines[0]}")
        for line in lines[1:]:
            click.echo(f"  {'':{_MARGIN}}{line}")
    return 0


def _facts(runtime: Runtime, snapshot: Snapshot, keys: frozenset[str], traceback: bool) -> Iterator[tuple[str, str]]:
    now = runtime.now()
    yield "state", f"{snapshot.state} ({snapshot.phase})"
    yield "epoch", f"{snapshot.epoch} (it grows with each state that is entered; with --epoch a command acts only here)"
    yield "paused", "yes" if snapshot.paused else "no"
    yield from _times(runtime, snapshot, now)
    context = details_of(runtime, definition_for(runtime, snapshot), snapshot)
    if context.parent is not None:
        yield "parent", f"{context.parent.address}  {context.parent.state}"
        yield "item", output.to_json(hide(item_of(snapshot), keys))
    yield "data", output.to_json(hide(snapshot.data, keys), indent=2)
    yield from _edited(runtime, snapshot, keys)
    if (result := entities.result_of(snapshot)) is not None:
        yield "result", output.to_json(hide(result, keys))
    if snapshot.failure:
        yield "failure", _failure(snapshot.failure, traceback, is_hidden=bool(keys))
    if context.own_row:
        yield "own row", context.own_row
    yield from _release(runtime, snapshot)
    yield from _branches(context)
    yield from _next(runtime, snapshot, now)
    yield from _events(context, now)


def _times(runtime: Runtime, snapshot: Snapshot, now: int) -> Iterator[tuple[str, str]]:
    yield "since", f"{output.moment(snapshot.entered_at)} UTC, for {output.duration(now - snapshot.entered_at)}"
    overdue = overdue_in(runtime, snapshot, now)
    if overdue:
        yield "overdue", overdue
    yield "created", f"{output.moment(snapshot.created_at)} UTC"


def _edited(runtime: Runtime, snapshot: Snapshot, keys: Collection[str]) -> Iterator[tuple[str, str]]:
    """What was changed last of its data otherwise than by its jobs."""
    entry = runtime.store.entities.last_edit(snapshot.row)
    if entry is not None:
        by = f" by {entry.actor}" if entry.actor else ""
        edit = output.cut(str(entry.hidden(keys).edit), _WIDTH)
        yield "edited", f"{entry.at:%Y-%m-%d %H:%M:%S} UTC{by}: {edit} (line {entry.seq} of its history)"


def _next(runtime: Runtime, snapshot: Snapshot, now: int) -> Iterator[tuple[str, str]]:
    """What it does next, and what keeps it from that."""
    if snapshot.work:
        yield "work", entities.told_work(snapshot.work, now)
    yield from ((name, text) for name, text in Reasons(runtime).told(snapshot.row).items() if text)


def _release(runtime: Runtime, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """That other code than this has written last, where it has."""
    for last in runtime.store.entities.history(snapshot.row, after=snapshot.seq - 1):
        if last.release not in (None, runtime.release.name):
            here = f"; the code here is {runtime.release.name}" if runtime.release.name else ""
            yield "release", f"{last.release} wrote the last line of its history{here}"


def _allowed(offers: Sequence[Offer]) -> Iterator[tuple[str, str]]:
    yield "allowed", ", ".join(offer.trigger for offer in offers if offer.allowed) or "nothing"
    if any(map(lacks_a_role, offers)):
        yield "by role", output.one_line(by_role(offers))
    others = [output.one_line(str(offer)) for offer in offers if not (offer.allowed or lacks_a_role(offer))]
    if others:
        yield "not now", "\n".join(others)


def _branches(context: Details) -> Iterator[tuple[str, str]]:
    progress = context.progress
    if progress is None:
        return
    yield "branches", str(progress)
    lines = []
    for branch in context.failed:
        failure = branch.failure
        why = f": {failure.error_type}: {failure.message}" if failure else ""
        lines.append(output.cut(f"{branch.address} in {branch.state}{why}", _WIDTH))
    if progress.failed > len(lines):
        lines.append(f"... and {progress.failed - len(lines):,} more")
    if lines:
        yield "failed", "\n".join(lines)


def _events(context: Details, now: int) -> Iterator[tuple[str, str]]:
    if context.asked:
        yield "asked", "\n".join(context.asked)
    if context.kept:
        yield "kept", _first(map(_kept, context.kept))
    if context.sent:
        yield "sent", _first(f"{post}, {_due(post, now)} (event {post.id})" for post in context.sent)
    if context.lost:
        yield "lost", _first(f"{post} (event {post.id})" for post in context.lost)
    if context.stuck:
        yield "stuck", _first(map(str, context.stuck))
    if context.undoable:
        yield "undoable", ", ".join(context.undoable)


def _kept(kept: Kept) -> str:
    until = "" if kept.until is None else f", until {output.moment(kept.until)} UTC"
    why = f": {kept.why}" if kept.why else ""
    return f"{kept.trigger}, since {output.moment(kept.at)} UTC{until} (event {kept.id}){why}"


def _first(lines: Iterable[str]) -> str:
    found = [output.cut(line, _WIDTH) for line in lines]
    more = [f"... and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
    return "\n".join([*found[:SHOWN], *more])


def _due(post: Message, now: int) -> str:
    at = post.due_at
    if post.left_ms is not None:
        return f"held by the pause with {clock.span(post.left_ms)} left"
    if at is None or at <= now:
        return "due now"
    return f"due at {output.moment(at)} UTC, in {output.duration(at - now)}"


def _failure(failure: Failure, traceback: bool, *, is_hidden: bool) -> str:
    place = None if is_hidden else place_in(failure.traceback, failure.error_type)
    told = f"{failure.error_type}: {failure.message}{f' ({place})' if place else ''}"
    text = f"{told}\nattempt {failure.attempts} of {failure.state!r}"
    return f"{text}\n{failure.traceback}" if traceback else text


@click.command()
@click.argument("address", shell_complete=completion.addresses)
@viewer_options
@json_option
def explain(address: str, actor: Actor | None, as_json: bool) -> int:
    """Explain what an entity does, waits for and is blocked by, and what is allowed now.

    \b
      fsmflow explain order:1042
      fsmflow explain order:1042 --actor alice --role manager
    """
    runtime = current()
    found = resolve(runtime, address, actor)
    explanation = handle(runtime.machines.get(found.machine), found).explain(actor)
    if as_json:
        output.print_json(entities.explanation_object(explanation))
    else:
        for line in output.clean(str(explanation)).split("\n"):
            output.print_line(line, indent=MARGIN)
    return 0


@click.command()
@click.argument("address", shell_complete=completion.addresses)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=0, max=MANY),
    default=100,
    show_default=True,
    help="The last so many entries; 0 for all.",
)
@viewer_options
@json_option
def history(address: str, limit: int, actor: Actor | None, as_json: bool) -> int:
    """Show all that happened to an entity. Every transition, failed attempt, pause and so on, in order.

    \b
      fsmflow history order:1042
      fsmflow history order:1042 --limit 5 --json
    """
    runtime = current()
    snapshot = resolve(runtime, address, actor)
    before = max(0, snapshot.seq - limit) if limit else 0
    entries, keys = history_of(runtime, snapshot.row, after=before), redacted(runtime, snapshot)
    if as_json:
        output.print_array(entities.entry(entry, keys) for entry in entries)
    else:
        columns = ("SEQ", "AT (UTC)", "WHAT", "STATE", "ACTOR", "DETAIL")
        output.print_table(columns, _entry_rows(entry.hidden(keys) for entry in entries))
    if before:
        output.note(f"{before:,} earlier entries are not shown; --limit 0 shows all")
    return 0


def _entry_rows(entries: Iterable[HistoryEntry]) -> Iterator[tuple[str, ...]]:
    """A row for each line; that of the first line which other code has written says so."""
    last: HistoryEntry | None = None
    for entry in entries:
        other = last is not None and entry.release != last.release and entry.release is not None
        yield _entry_row(entry, f"release {entry.release}" if other else "")
        last = entry


def _entry_row(entry: HistoryEntry, release: str) -> tuple[str, ...]:
    details = [
        release,
        "" if entry.attempt is None else f"attempt {entry.attempt}",
        "" if entry.duration is None else f"{entry.duration:.2f} s",
        f"{entry.failure.error_type}: {entry.failure.message}" if entry.failure else "",
        entry.reason or "",
        str(entry.edit or ""),
        f"key {entry.key}" if entry.key else "",
    ]
    return (
        str(entry.seq),
        entry.at.strftime("%Y-%m-%d %H:%M:%S"),
        (entry.trigger or "")
        if entry.kind is HistoryKind.TRANSITION
        else " ".join(filter(None, [entry.kind, entry.trigger])),
        entry.dest if entry.source in (None, entry.dest) else f"{entry.source} -> {entry.dest}",
        output.one_line(entry.actor or ""),
        output.cut(", ".join(filter(None, details)), _WIDTH),
    )
