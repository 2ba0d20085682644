"""Commands that look at machines and at all entities together: failures, stats, check. They change nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import Any

import click

from fsmflow import settings
from fsmflow.cli import completion, objects, output
from fsmflow.cli.options import json_option
from fsmflow.cli.places import looked_in, strange_permissions, tell_absence
from fsmflow.decision.actions import RESUME
from fsmflow.definition.advice import advice, refused
from fsmflow.definition.model import Definition
from fsmflow.definition.names import RETRY
from fsmflow.engine.headcount import Headcount, headcounts
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.registry import Registry
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.survey import Finding, survey
from fsmflow.errors import ConfigurationError
from fsmflow.queries import (
    FailureGroup,
    Listening,
    StuckGroup,
    failure_groups,
    listening,
    queues_of,
    stuck_groups,
)
from fsmflow.store.counts import MANY
from fsmflow.store.listing import Filter

_MANY = 1_000
#: So many kinds of causes are told of a group.
_CAUSES = 3
_UNHEARD = "no worker listens on queue {!r} now"
#: What a shell takes for something else in double quotes.
_EXPANDED = frozenset('"$`\\!')
#: What is told where there is one.
POOLED = (
    "a pooler of connections stands in front of the database: fsmflow prepares no statements there, which a pooler of "
    "transactions would lose. Where yours keeps them (pool_mode = session; max_prepared_statements of PgBouncer 1.21), "
    "add prepare_threshold=5 to FSMFLOW_DATABASE_URL"
)


@click.command()
@click.option("--machine", metavar="MACHINE", shell_complete=completion.machines, help="Those of this machine.")
@json_option
def failures(machine: str | None, as_json: bool) -> int:
    """Show what has failed, kind by kind, and how to retry it.

    What is due and cannot go on is told after that, with why, how often it was tried, and when that is tried next.

    A parent whose branches failed counts once, with what they failed with as its cause; to retry the parent is enough.
    Branches whose parent still waits for others are told at the end.

    \b
      fsmflow failures
      fsmflow failures --machine order --json
    """
    groups, stuck = failure_groups(current(), machine), stuck_groups(current(), machine)
    if as_json:
        output.print_array([*map(_group_object, groups), *map(_stuck_object, stuck)])
        return 0
    if not groups and not stuck:
        output.note(f"nothing has failed in {looked_in(current().settings)}")
    for group in groups:
        branches = f" (branch {group.branch})" if group.branch else " (branches)" if group.of_branches else ""
        head = f"{group.count:,} x {group.machine}:{group.state}{branches}  {group.error_type}: {group.message}"
        output.print_line(output.one_line(head)[:200], indent=4)
        for line in _causes(group):
            output.print_line(f"    {output.one_line(line)[:196]}", indent=6)
        span = f"first {output.moment(group.first_at)} UTC, last {output.moment(group.last_at)} UTC"
        output.print_line(f"    {span}, for example {group.example}", indent=6)
        why = output.clean(f"{group.remedy.why}: ") if group.remedy.why else ""
        output.print_line(f"    {why}", indent=6, command=output.clean(_command(group)))
    for found in stuck:
        head = f"{found.count:,} x {found.machine}:{found.state} stuck: {found.stuck}"
        output.print_line(output.one_line(head)[:300], indent=4)
        command = f"fsmflow explain {shlex.quote(found.example)}"
        output.print_line(f"    for example {found.example}: ", indent=6, command=command)
    return 0


def _causes(group: FailureGroup) -> Iterator[str]:
    """What the branches failed with, the most frequent first."""
    for cause in group.causes[:_CAUSES]:
        branches = "1 branch" if cause.count == 1 else f"{cause.count:,} branches"
        yield f"cause: {branches} with {cause.error_type}: {cause.message}, for example {cause.example}"
    if len(group.causes) > _CAUSES:
        yield f"... and {len(group.causes) - _CAUSES:,} more kinds; 'fsmflow failures --json' has all"


def _stuck_object(group: StuckGroup) -> dict[str, Any]:
    names = ("count", "machine", "state", "example")
    return {**{name: getattr(group, name) for name in names}, "stuck": objects.stuck_object(group.stuck)}


def _command(group: FailureGroup) -> str:
    """What works: for all of the group, where nothing else is hit by it, or for the example."""
    remedy = group.remedy
    if remedy.action not in (RETRY, RESUME):
        state = [remedy.state] if remedy.state else []
        return _typed(["fsmflow", remedy.action or "explain", remedy.address, *state])
    words = ["fsmflow", remedy.action, "--machine", group.machine, "--state", group.state, "--error", group.pattern]
    branches = ["--branch", group.branch] if group.branch else ["--branches"] if group.of_branches else []
    return _typed([*words, *branches])


def _typed(words: Iterable[str]) -> str:
    """A command for a shell. What has a single quote in it stands in double quotes, if a shell takes that as it is."""
    return " ".join(f'"{word}"' if "'" in word and not _EXPANDED & set(word) else shlex.quote(word) for word in words)


def _group_object(group: FailureGroup) -> dict[str, Any]:
    names = ("fingerprint", "count", "machine", "state", "error_type", "message", "example")
    times = {"first_at": output.iso(group.first_at), "last_at": output.iso(group.last_at)}
    found = {name: getattr(group, name) for name in names}
    return {
        **found,
        "branches": group.of_branches,
        "branch": group.branch,
        "causes": [vars(cause) for cause in group.causes],
        **times,
        **_remedy(group),
    }


def _remedy(group: FailureGroup) -> dict[str, Any]:
    """``retry`` is the command where a retry works; ``remedy`` what works, whatever it is."""
    command = _command(group)
    found = {"action": group.remedy.action, "why": group.remedy.why, "command": command}
    return {"retry": command if group.remedy.action == RETRY else None, "remedy": found}


@click.command()
@json_option
def stats(as_json: bool) -> int:
    """Count entities by state; show since when the oldest is there, queues, and due work.

    More than 10,000 in a state are counted by workers, every few seconds; it is told how long ago that was.

    \b
      fsmflow stats
    """
    runtime = current()
    counts = headcounts(runtime)
    queues = queues_of(runtime.machines.of_user().values())
    heard = listening(runtime)
    now = runtime.now()
    stuck = runtime.store.listing.count(Filter(stuck=True, branches=True))
    due, active = len(runtime.store.work.due(now, _MANY)), runtime.store.work.active(now)
    if as_json:
        output.print_json(
            {
                **_counts(counts),
                "queues": _queues(runtime, queues, heard),
                "redis": _redis(heard),
                **_work(due, active),
                "stuck": stuck,
            }
        )
        return 0
    _print_counts(counts, now)
    for queue in queues:
        if not heard.error:
            listens = "workers listen" if queue in heard.queues else "no worker listens"
            click.echo(f"queue {queue}: {listens} (in RQ: {runtime.doorbell.rq_queue(queue)})")
    if heard.error:
        output.note(f"whether workers listen is not known, as Redis does not answer: {heard.error}")
    click.echo(f"work due now: {due:,}{' or more' if due == _MANY else ''}; due, dispatched or running: {active:,}")
    tell_absence(runtime.settings)
    if stuck:
        click.echo(f"stuck: something of {stuck:,} entities is due and cannot go on; see 'fsmflow failures'")
    return 0


def _print_counts(counts: list[Headcount], now: int) -> None:
    rows = [(each.machine, each.state, f"{each.count:,}", _age(each, now)) for each in counts]
    output.print_table(("MACHINE", "STATE", "ENTITIES", "OLDEST"), rows)
    counted_at = _counted_at(counts)
    if counted_at is not None:
        click.echo(f"numbers over {MANY:,} were counted {output.duration(max(0, now - counted_at))} ago")


def _age(each: Headcount, now: int) -> str:
    return "" if each.since is None else output.duration(max(0, now - each.since))


def _counted_at(counts: list[Headcount]) -> int | None:
    """When those were counted that are not counted now; None where all are."""
    return min((each.at for each in counts if each.at is not None), default=None)


def _counts(counts: list[Headcount]) -> dict[str, Any]:
    by_machine: dict[str, dict[str, int]] = {}
    oldest: dict[str, dict[str, str | None]] = {}
    for each in counts:
        by_machine.setdefault(each.machine, {})[each.state] = each.count
        oldest.setdefault(each.machine, {})[each.state] = _iso(each.since)
    return {
        "entities": sum(each.count for each in counts),
        "counts": by_machine,
        "oldest": oldest,
        "counted_at": _iso(_counted_at(counts)),
    }


def _iso(moment: int | None) -> str | None:
    return None if moment is None else output.iso(moment)


def _queues(runtime: Runtime, queues: list[str], heard: Listening) -> list[dict[str, Any]]:
    return [
        {
            "name": queue,
            "in_rq": runtime.doorbell.rq_queue(queue),
            "listening": None if heard.error else queue in heard.queues,
        }
        for queue in queues
    ]


def _redis(heard: Listening) -> dict[str, Any]:
    return {"answers": heard.error is None, "error": heard.error}


def _work(due: int, active: int) -> dict[str, int]:
    return {"due": due, "active": active}


@click.command()
@click.option("--database", "deployed", is_flag=True, help="Also what this code would meet in the database.")
@json_option
def check(deployed: bool, as_json: bool) -> int:
    """Check the machines. What is not wrong but worth a look is noted, and the exit status stays 0; a
    message that could never be taken for want of a role makes it 1.

    With --database the entities are counted too, in one pass over all of them: those that this code would strand, as it
    lacks their machine, their state, their job or a way out, make the exit status 1; what it would rename or upgrade is
    noted. Run it with the new code before that is deployed.

    \b
      fsmflow check
      fsmflow check --database
    """
    definitions = list(machines().of_user().values())
    if not definitions:
        raise no_machines()
    heard = _heard()
    notes, unheard = _notes(definitions, heard), _unheard(definitions, heard)
    skipped = None if heard.error is None else f"whether workers listen was not checked: {heard.error}"
    strange = strange_permissions(settings.current(), machines().all())
    findings = survey(current().store.census, machines().all()) if deployed else None
    strands = any(finding.strands for finding in findings or ()) or any(map(_refused, definitions))
    if as_json:
        waiting = [(_UNHEARD.format(queue), names) for queue, names in unheard.items()]
        found = [
            {"machine": machine, "notes": [*lines, *(note for note, names in waiting if machine in names)]}
            for machine, lines in notes.items()
        ]
        more = {} if findings is None else {"database": [vars(finding) for finding in findings]}
        output.print_json({"machines": found, "skipped": skipped, "permissions": strange, **more})
        return int(strands)
    _print_notes(notes, unheard, strange)
    if findings is not None:
        _print_findings(findings)
    if skipped:
        output.note(skipped)
    return int(strands)


def _notes(definitions: list[Definition], heard: Listening) -> dict[str, list[str]]:
    """What is worth a look, machine by machine; also that all workers who listen have loaded other code."""
    notes = {definition.name: [*_refused(definition), *advice(definition)] for definition in definitions}
    if heard.error is None:
        reasons = Reasons(current())
        for definition in definitions:
            other = reasons.other_code_on(queues_of([definition]))
            notes[definition.name] += [] if other is None else [other]
    return notes


def _unheard(definitions: list[Definition], heard: Listening) -> dict[str, list[str]]:
    """The queues on which nobody listens, where that is known, each with the machines whose jobs it is for."""
    found: dict[str, list[str]] = {}
    for definition in definitions if heard.error is None else ():
        for queue in queues_of([definition]):
            if queue not in heard.queues:
                found.setdefault(queue, []).append(definition.name)
    return found


def _print_notes(notes: dict[str, list[str]], unheard: dict[str, list[str]], strange: list[str]) -> None:
    for machine, lines in notes.items():
        for line in lines or ["nothing to note"]:
            click.echo(f"machine {machine}: {output.one_line(line)}")
    for queue, names in unheard.items():
        click.echo(f"{_UNHEARD.format(queue)}, for jobs of {', '.join(names)}")
    for line in strange:
        click.echo(f"permissions: {output.one_line(line)}")


def _refused(definition: Definition) -> list[str]:
    return refused(definition, machines().all())


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        kind = "STRANDED" if finding.strands else "note"
        click.echo(f"database: {kind}: machine {finding.machine}: {output.one_line(finding.told)}")
    if not any(finding.strands for finding in findings):
        click.echo("database: every entity can go on with this code")
    if current().store.link.is_pooled:
        click.echo(f"database: note: {POOLED}")


def _heard() -> Listening:
    try:
        return listening(current())
    except ConfigurationError as error:
        return Listening(error=output.one_line(str(error)))


def machines() -> Registry:
    """The machines, which can be looked at where there is no database."""
    return Registry(settings.current().machines)


def no_machines() -> ConfigurationError:
    """The error where no machine is found at all."""
    names = ", ".join(str(source) for source in settings.current().machines)
    return ConfigurationError(
        f"no machines were found in {names}; set {settings.MACHINES} to the modules that have them, "
        f"or start in the folder that holds 'machines'"
    )
