"""``drain``, as a script types it that brings a new release."""

from __future__ import annotations

from fsmflow.testing import Sandbox
from tests.support.terminal import Terminal


def test_a_host_drains_until_that_is_taken_back(shell: Terminal, box: Sandbox) -> None:
    told = shell.run("drain", "web1", "--actor", "ann", "--reason", "release 2.4.1", "--wait", "10m")
    assert told.out.startswith("host web1 drains since ")
    assert told.out.endswith(" by ann (release 2.4.1); no process is left there\n")
    assert "no worker process is on 'web1' now" in told.err
    assert "by ann (release 2.4.1); no process is left there" in shell.run("drain").out
    assert '"processes": 0' in shell.run("drain", "--json").out
    assert "host web1 drains" in shell.run("info").out
    assert shell.run("drain", "web1", "--undo").out == "host web1 drains no more; its workers are put to work again\n"
    assert "no host drains" in shell.run("drain").err
    assert "does not drain" in shell.refused("drain", "web1", "--undo")
    assert "name the HOST" in shell.misused("drain", "--undo")
