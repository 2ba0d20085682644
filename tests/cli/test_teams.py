"""At the command line somebody is in the teams that the installation gives: no command tells of others.

The commands are those of the catalogue: whoever adds one adds a line to ``TYPED`` here, or the first test fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fsmflow import Actor, failures, holds, repairs
from fsmflow.cli import person
from fsmflow.cli.catalogue import CATALOGUE
from fsmflow.testing import Sandbox, sandbox
from tests.support.teams import MACHINES, SECRET, Order, filled
from tests.support.terminal import Terminal

WHY: Final = ("--reason", "a test")
#: How each command is typed, so that it would meet what belongs to globex: an order by its address or by its id, the
#: group in which it rests, a repair of it. {group} and {repair} stand for ids.
TYPED: Final[dict[str, list[str]]] = {
    "start": ["start order globex-1 tenant=acme", "start order globex-1 tenant=acme --if-exists return --json"],
    "trigger": ["trigger order:globex-1 nudge", "trigger globex-1 nudge --dry-run"],
    "link": ["link order:globex-1 nudge --for x --base-url https://x", "link globex-1 nudge --for x --json"],
    "list": [
        "list",
        "list --json",
        "list --branches --newest",
        "list --machine order --order amount",
        "list --machine order --data tenant=globex",
        "list --state failed_from_*",
        "list --error *bank*",
        "list --group {group}",
        "list --machine parcel --branch *",
        "list --after order:globex-0",
        "list --stuck",
        "list --machine repair --branches",
    ],
    "waiting": ["waiting", "waiting --machine order --anyone --json"],
    "show": ["show order:globex-1", "show globex-1 --json", "show order:globex-1/checking/0", "show {repair}"],
    "explain": ["explain order:globex-1", "explain parcel:order:globex-1/packing/0"],
    "history": ["history order:globex-1", "history globex-1 --json"],
    "failures": [
        "failures",
        "failures --json --all",
        "failures {group}",
        "failures {group} --json",
        "failures {other}",
        "failures resolve {group}",
        "failures ignore {group}",
        "failures reopen {group}",
        "failures note {group} hm",
        "failures merge {group} {other}",
    ],
    "retry": ["retry --state failed_from_* --dry-run", "retry order:globex-1", "retry --group {other}"],
    **{
        name: [f"{name} order:globex-1", f"{name} globex-1 --dry-run"]
        for name in ("resume", "pause", "cancel", "skip", "undo")
    },
    "rewind": ["rewind order:globex-1 packing"],
    "force": ["force order:globex-1 paid"],
    "drop": ["drop order:globex-1 1"],
    "erase": ["erase order:globex-1 --yes --reason no"],
    "repair": [
        "repair --machine order --state failed_from_* --dry-run --json",
        "repair order:globex-1 --dry-run",
        "repair show {repair}",
        "repair show {repair} --members pending",
        "repair stop {repair} --reason no",
        "repair resume {repair}",
        "repair list",
        "repair list --json",
    ],
    "hold": ["hold", "hold --json", "hold order", "hold order --where tenant=bank"],
    "release": ["release {hold}"],
    "limits": ["limits", "limits --json", "limits api-globex"],
    "drain": ["drain", "drain --json", "drain globex-1", "drain globex-1 --undo"],
    "stats": ["stats", "stats --json"],
    "top": ["top --once", "top --json"],
    "check": ["check", "check --database"],
    "info": ["info --json"],
    "alarms": ["alarms", "alarms --check --json"],
    "channels": ["channels"],
    "hooks": ["hooks", "hooks list --json", "hooks show globex-1", "hooks replay globex-1", "hooks drop globex-1"],
    "metrics": ["metrics --once"],
    # What its pages tell is tested where they are.
    "web": ["web --auth nowhere:nothing"],
    "feed": [
        "feed",
        "feed --from beginning --branches --json",
        "feed x --from beginning --json",
        "feed list",
        "feed rewind x --from beginning",
        "feed forget x",
    ],
    "verify": ["verify", "verify --json"],
    "prune": ["prune order --older 1s --dry-run", "prune order --older 1s --yes"],
    "users": ["users list", "users list --json", "users disable nobody"],
    "tokens": ["tokens list", "tokens make --for nobody"],
    "types": ["types order", "types --json"],
    "draw": ["draw order:globex-1", "draw order --counts"],
    "schedule": ["schedule list"],
    # Who may run these is whoever runs the workers, who see all there is.
    "init": [],
    "worker": [],
    "reconcile": [],
}
#: ``order.*`` does not open all teams: it is said of whoever may do everything in one.
MAP: Final[dict[str, Any]] = {
    "people": {
        "ann": {"roles": ["clerk"], "teams": ["acme"]},
        "eve": {"roles": "clerk", "teams": SECRET},
        "cat": "head",
    },
    "roles": {"clerk": [f"{machine}.*" for machine in ("order", "parcel", "note", "repair")], "head": ["*"]},
}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(MACHINES, permissions=MAP) as box:
        yield box


@pytest.fixture
def sits(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has somebody sit at the terminal."""
    return lambda login: monkeypatch.setattr(person, "login", lambda: login)


def test_no_command_is_forgotten() -> None:
    assert list(TYPED.keys() ^ {entry.name for entry in CATALOGUE}) == []


def others(box: Sandbox) -> dict[str, str]:
    """What globex has, and nobody else may hear of."""
    filled(box)
    Order.start(f"{SECRET}-2", tenant=SECRET, torn=True)
    box.run()
    eve = person.sitting()
    repair = repairs.start("retry", machine="order", data={"card": SECRET}, confirm=False, actor=eve)
    box.run()
    hold = holds.hold("order", where={"tenant": SECRET}, reason=f"{SECRET} asked", actor=eve)
    ids = {group.error_type: group.short for group in failures.groups()}
    return {
        "group": ids["ConnectionError"],
        "other": ids["BranchesFailed"],
        "repair": repair.entity_id,
        "hold": str(hold.number),
    }


def test_no_command_tells_of_the_teams_of_others_or_touches_them(box: Sandbox, shell: Terminal, sits: Any) -> None:
    sits("eve")
    names = others(box)
    for line in (
        "list",
        "show globex-1 --json",
        "failures --json --all",
        "repair show {repair} --members pending",
        "hold",
    ):
        assert SECRET in shell.ok(*line.format(**names).split()), line
    before = theirs()
    sits("ann")
    for line in (line for lines in TYPED.values() for line in lines):
        words = line.format(**names).split()
        done = shell.run(*words)
        told = done.out + done.err
        if "globex-" in line or "{repair}" in line or "{other}" in line:
            assert done.status == 1, (line, done)
        for word in (word for word in words if SECRET in word):
            told = told.replace(word, "")
        assert SECRET not in told, (line, done)
    assert theirs() == before


def theirs() -> dict[str, int]:
    """What globex has, and how much has happened to each."""
    every = [each for each in Order.find(branches=True) if SECRET in each.address]
    return {each.address: len(each.history) for each in every}


def test_who_may_see_all_teams_sees_them(box: Sandbox, shell: Terminal, sits: Any) -> None:
    filled(box)
    sits("cat")
    assert [each["address"] for each in shell.json("list")][1:] == ["order:globex-0", "order:globex-1", "order:a1"]
    assert shell.json("stats")["counts"]["order"] == {"failed_from_charging": 3}
    assert "every invariant holds" in shell.ok("verify")
    sits("ann")
    stats = shell.json("stats")
    assert (stats["counts"]["order"], stats["due"]) == ({"failed_from_charging": 1}, None)
    assert shell.refused("verify").endswith(
        "takes the permission 'order.all_teams', which 'ann' has not; who may do what is said in "
        "configure(permissions=...)\n"
    )
    sits("dan")
    found = shell.run("list", "--machine", "order")
    assert (found.out, "that belongs to 'dan' of no team" in found.err) == ("", True)
    assert [each["address"] for each in shell.json("list")] == ["note:n"]


def test_who_may_act_for_another_sees_what_that_one_sees(box: Sandbox, shell: Terminal, sits: Any) -> None:
    filled(box)
    (group, *_) = failures.groups(actor=Actor("ann", teams={"acme"}))
    commands = (
        *("stats --json", "failures --json", f"failures {group.id} --json", f"failures show {group.id}"),
        *("history order:a1 --json", "history order:globex-1", "feed --from beginning", "feed billing", "alarms"),
    )
    for command in commands:
        sits("ann")
        seen = shell.run(*command.split())
        assert seen.status == int(command in ("history order:globex-1", "feed billing", "alarms")), seen
        sits("cat")
        assert shell.run(*command.split(), "--actor", "ann") == seen, command
        sits("eve")
        assert "'eve' may not be 'ann'" in shell.refused(*command.split(), "--actor", "ann")
    sits("cat")
    assert shell.ok("failures", "--actor", "ann", group.id) == shell.ok("failures", group.id, "--actor", "ann")


def test_without_permissions_the_command_line_sees_all(shell: Terminal) -> None:
    with sandbox(MACHINES) as box:
        filled(box)
        assert len(shell.json("list", "--machine", "order")) == 3
        assert shell.json("retry", "order:a1", "--actor", "eve")


def test_of_an_id_that_others_have_no_more_is_told_than_that_it_is_taken(
    box: Sandbox, shell: Terminal, sits: Any, tmp_path: Path
) -> None:
    filled(box)
    (tmp_path / "orders.jsonl").write_text(f'{{"id": "{SECRET}-1", "tenant": "acme"}}\n')
    sits("ann")
    for more in ((), ("--dry-run",)):
        told = shell.refused("start", "order", "--from", str(tmp_path / "orders.jsonl"), *more)
        assert told == f"Error: order:{SECRET}-1 exists already; choose another id\n"
