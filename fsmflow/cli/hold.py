"""``hold`` and ``release``: keep back what stands in a state or arrives there, and let it go again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any, Final

import click

from fsmflow import clock, holds, settings
from fsmflow.cli import completion, output
from fsmflow.cli.fields import FIELD, HELP, as_field, merged
from fsmflow.cli.options import actor_options, as_milliseconds, json_option, reason_option
from fsmflow.cli.person import sitting
from fsmflow.cli.places import check_machine, make_nothing
from fsmflow.decision.inputs import Actor
from fsmflow.holds import Hold
from fsmflow.objects.holds import object_of

_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}")
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(?:/s|/m|/h)?")
_SPAN_S: Final = {"s": 1, "m": 60, "h": 3600}


def as_moment(text: str) -> datetime:
    """``18:00``, the next time that clocks here show that; ``2030-01-31T18:00``, here where it has no zone; or ``2h``
    from now on."""
    try:
        if _CLOCK.fullmatch(text):
            now, at = _now().astimezone(), time.fromisoformat(text.zfill(5))
            days = (now.date(), now.date() + timedelta(days=1))
            return next(then for day in days if (then := datetime.combine(day, at).astimezone()) > now)
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        pass  # a duration, or nothing that is known
    try:
        return _now() + timedelta(milliseconds=as_milliseconds(text))
    except (click.BadParameter, OverflowError) as error:
        raise click.BadParameter(f"{text!r} is no time; write 18:00, 2030-01-31T18:00 or 2h") from error


def _now() -> datetime:
    return clock.to_datetime(clock.local_now())


def as_rate(text: str) -> float:
    """``50/s``, ``30/m`` or ``100/h``, as a number a second."""
    found = _RATE.fullmatch(text)
    if found is None or not float(found[1]):
        raise click.BadParameter(f"{text!r} is no rate; write 50/s, 30/m or 100/h")
    return float(found[1]) / _SPAN_S[text[-1] if text[-1] in _SPAN_S else "s"]


@click.command(epilog=HELP)
@click.argument("machine", required=False, shell_complete=completion.machines)
@click.option("--state", metavar="GLOB", shell_complete=completion.states, help="What stands in this state.")
@click.option("--queue", metavar="QUEUE", help="What waits in this queue.")
@click.option(
    "--where", type=as_field, multiple=True, metavar=FIELD, help="What has this value in its data; may be repeated."
)
@click.option(
    "--until",
    type=as_moment,
    metavar="TIME",
    help="It ends by itself then: 18:00 or 2030-01-31T18:00 on the clocks here, or 2h.",
)
@actor_options
@reason_option
@json_option
def hold(
    machine: str | None,
    state: str | None,
    queue: str | None,
    where: tuple[tuple[str, Any], ...],
    until: datetime | None,
    actor: Actor | None,
    reason: str | None,
    as_json: bool,
) -> int:
    """Keep back entities of MACHINE: those that are there, and those that arrive. Their jobs do not begin, and their
    timers do not fire, until 'release', or until the time that is given. A running job ends; triggers are taken.

    Without anything it shows the holds that there are, and how many entities wait for each.

    \b
      fsmflow hold order --state charging --until 18:00 --reason 'bank maintenance'
      fsmflow hold --queue slow
      fsmflow hold order --where tenant=acme
      fsmflow hold
    """
    if not any((machine, state, queue, where)):
        click.get_current_context().with_resource(settings.looking())
        return _show(as_json=as_json)
    make_nothing()
    if machine is not None:
        check_machine(machine)
    made = holds.hold(
        machine, state=state, queue=queue, where=merged(None, where), until=until, reason=reason, actor=actor
    )
    if as_json:
        output.print_json(object_of(made, 0))
        return 0
    click.echo(output.one_line(str(made)))
    output.note(f"jobs that run end; 'fsmflow hold' shows what waits, 'fsmflow release {made.number}' lets it go on")
    return 0


@click.command()
@click.argument("numbers", nargs=-1, metavar="HOLD...", type=int, required=True)
@click.option("--rate", type=as_rate, metavar="RATE", help="So many go on: 50/s, 30/m. All at once, if not given.")
@actor_options
@json_option
def release(numbers: tuple[int, ...], rate: float | None, actor: Actor | None, as_json: bool) -> int:
    """End a HOLD: what arrives is kept back no more, and workers let go what was.

    \b
      fsmflow release 3
      fsmflow release 3 --rate 50/s
    """
    make_nothing()
    waiting = holds.kept_back(actor=actor)
    released = [holds.release(number, rate=rate, actor=actor) for number in dict.fromkeys(numbers)]
    if as_json:
        output.print_array(object_of(each, waiting.get(each.number, 0)) for each in released)
        return 0
    for each in released:
        count = waiting.get(each.number, 0)
        pace = "" if rate is None or not count else f", over about {output.duration(round(count / rate * 1000))}"
        click.echo(f"released: {output.one_line(each.about)}; {count:,} waited and go on{pace}")
    return 0


def lines(found: Iterable[Hold], waiting: dict[int, int]) -> list[str]:
    """Each hold in a line, for people."""
    return [output.one_line(f"{each}{_stage(each)}; {waiting.get(each.number, 0):,} wait") for each in found]


def _stage(hold: Hold) -> str:
    if hold.released_at is None:
        return ""
    pace = "" if hold.rate is None else f", {hold.rate:g} a second"
    return f", released at {output.moment(hold.released_at)} UTC{pace}"


def _show(*, as_json: bool) -> int:
    who = sitting()
    found, waiting = holds.current_holds(actor=who), holds.kept_back(actor=who)
    if as_json:
        output.print_array(object_of(each, waiting.get(each.number, 0)) for each in found)
        return 0
    for line in lines(found, waiting):
        click.echo(line)
    if not found:
        output.note("nothing is held; 'fsmflow hold --help' says how that is done")
    return 0
