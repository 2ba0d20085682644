"""``waiting``: what waits for whoever asks, as a command shows it."""

from __future__ import annotations

from fsmflow import Actor
from fsmflow.testing import sandbox
from tests.support.purchases import Purchase
from tests.support.terminal import Terminal

WORDS = ("waiting", "--actor", "ann", "--role", "manager")


def test_what_waits_is_listed_with_what_one_may_do(shell: Terminal) -> None:
    with sandbox(Purchase):
        for number in range(3):
            Purchase.start(str(number))
        done = shell.run(*WORDS, "--limit", "2")
        lines = done.out.splitlines()
        assert lines[0].split() == ["ADDRESS", "STATE", "FOR", "UNTIL", "(UTC)", "MAY"]
        assert [line.split()[0] for line in lines[1:]] == ["purchase:0", "purchase:1"]
        assert lines[1].endswith("approve, reject")
        assert "there are more, up to 3 in all: --after" in done.err
        (last,) = shell.json(*WORDS, "--after", done.err.split("--after ")[1].split()[0])
        assert (last["address"], last["triggers"], last["deadline"]) == ("purchase:2", ["approve", "reject"], None)
        Purchase.get("2").trigger("reject", actor=Actor("ann", ["manager"]))
        assert len(shell.json(*WORDS)) == 2
        assert "nothing waits for eve (roles: none)" in shell.run("waiting", "--actor", "eve").err
        assert "there is no machine 'purchas'; did you mean 'purchase'?" in shell.refused(
            *WORDS, "--machine", "purchas"
        )
