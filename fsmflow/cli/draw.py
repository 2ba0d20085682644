"""``draw``: a machine as a picture, the way of one entity through it, or how many are where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import click

from fsmflow.cli import completion, output
from fsmflow.cli.options import json_option
from fsmflow.cli.overview import machines
from fsmflow.cli.person import sitting
from fsmflow.decision.entity import Snapshot
from fsmflow.definition.model import Definition
from fsmflow.diagram import Journey, Tally, chart, mermaid, outline, scxml, svg
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.runtime import current
from fsmflow.errors import EntityNotFound, UnknownMachine
from fsmflow.objects.drawings import journey_of, tallies_of
from fsmflow.queries import resolve
from fsmflow.values import dataclass

SVG: Final = "svg"
MERMAID: Final = "mermaid"
JSON: Final = "json"
SCXML: Final = "scxml"


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What is drawn, and what is laid over it."""

    definition: Definition
    journey: Journey | None
    tallies: dict[str, Tally] | None
    everything: bool


@click.command()
@click.argument("what", metavar="MACHINE|ADDRESS", shell_complete=completion.machines)
@click.option("--as", "form", type=click.Choice([SVG, MERMAID, JSON, SCXML]), help="As what; mermaid if not said.")
@click.option("--counts", is_flag=True, help="How many are in each state, and how long the oldest has been there.")
@click.option("--all", "everything", is_flag=True, help="Also the generated 'cancel' transitions.")
@json_option
def draw(what: str, form: str | None, counts: bool, everything: bool, as_json: bool) -> int:
    """Draw a machine. Of an entity: where it is, and the way it came.

    'svg' is a picture, in dark and light, to be opened in a browser. 'mermaid' is text that GitHub and GitLab show as
    a picture. 'json' has all that is drawn, for other programs; --json is the same. 'scxml' is for other engines and
    editors of state machines.

    \b
      fsmflow draw order --as svg > order.svg
      fsmflow draw order:1042 --as svg > order-1042.svg
      fsmflow draw order --as svg --counts > now.svg
      fsmflow draw order:1042/packing/3
    """
    if as_json and form not in (None, JSON):
        raise click.UsageError(f"--json is --as json; say that, or --as {form}")
    form = JSON if as_json else form or MERMAID
    definition, snapshot = _meant(what)
    _check(form, what, counts, snapshot)
    tallies = tallies_of(current(), definition, sitting()) if counts else None
    journey = None if snapshot is None else journey_of(current(), definition, snapshot)
    own = definition if snapshot is None else instance_of(definition, snapshot).own
    _FORMS[form](_Wanted(definition=own, journey=journey, tallies=tallies, everything=everything))
    return 0


def _check(form: str, what: str, counts: bool, snapshot: Snapshot | None) -> None:
    if counts and snapshot is not None:
        raise click.UsageError(
            f"--counts is about a machine, and {what} is one entity: fsmflow draw {snapshot.machine}"
        )
    if form == SCXML and (counts or snapshot is not None):
        raise click.UsageError("SCXML describes a machine, not what is in it: draw the machine, without --counts")


def _meant(what: str) -> tuple[Definition, Snapshot | None]:
    """The machine, and the entity where one is meant. A machine can be drawn where there is no database."""
    registry = machines()
    if what in registry.all():
        return registry.get(what), None
    try:
        snapshot = resolve(current(), what, sitting())
    except EntityNotFound as error:
        if ":" in what:
            raise
        raise UnknownMachine(what, registry.all()) from error
    return registry.get(snapshot.machine), snapshot


def _print_svg(wanted: _Wanted) -> None:
    drawn = chart(wanted.definition, journey=wanted.journey, tallies=wanted.tallies, everything=wanted.everything)
    click.echo(svg(drawn), nl=False)


def _print_mermaid(wanted: _Wanted) -> None:
    state = wanted.journey.state if wanted.journey else None
    tallies = wanted.tallies or {}
    text = mermaid(wanted.definition, current=state, everything=wanted.everything, tallies=tallies)
    click.echo(text, nl=False)


def _print_json(wanted: _Wanted) -> None:
    output.print_json(outline(wanted.definition, journey=wanted.journey, tallies=wanted.tallies))


def _print_scxml(wanted: _Wanted) -> None:
    click.echo(scxml(wanted.definition), nl=False)


_FORMS: Final[dict[str, Callable[[_Wanted], None]]] = {
    SVG: _print_svg,
    MERMAID: _print_mermaid,
    JSON: _print_json,
    SCXML: _print_scxml,
}
