"""Messages that are refused, that nobody can take, and whose commit got no answer."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from fsmflow import Machine, State
from fsmflow.errors import DatabaseUnavailable
from fsmflow.testing import sandbox
from tests.support.families import Box, Child
from tests.support.traces import failing


class Sender(Machine):
    initial = "sending"
    states = [State("sending", job="send_it"), State("sent", final=True)]
    transitions = [["done", "sending", "sent"]]

    def send_it(self) -> None:
        self.send("put", to="box:1", key="k1", what=1)


def test_a_message_that_is_refused_uses_up_no_key() -> None:
    with sandbox(machines=[Sender, Box]) as box:
        target = Box.start("1")
        Sender.start("1")
        box.run()
        assert target.refresh().history[-1].kind == "discarded"
        target.unlock()
        assert target.trigger("put", key="k1").kind == "transition"


def test_a_message_with_the_key_of_another_request_is_refused_and_its_sender_told() -> None:
    with sandbox(machines=[Sender, Box]) as box:
        target = Box.start("1")
        target.trigger("unlock", key="k1")
        sender = Sender.start("1")
        box.run()
        assert target.refresh().data == {}
        why = "'put' was refused: its key 'k1' was used for 'unlock' on"
        for told in (target.history[-1], sender.history[-1]):
            assert why in (told.reason or ""), told
        assert (target.history[-1].kind, sender.history[-1].kind) == ("discarded", "refused")
        assert box.run() == 0


def test_a_message_to_a_failed_child_whose_parent_has_gone_on_is_recorded_and_not_tried_for_ever() -> None:
    class Kid(Child):
        name = "kid"
        transitions = [*Child.transitions, ["mend", "failed_from_busy", "busy"]]

    class Mother(Machine):
        name = "mother"
        initial = "raising"
        states = [State("raising", machine="kid", each="children"), State("raised", final=True)]
        transitions = [["done", "raising", "raised"]]

    class Mender(Machine):
        name = "mender"
        initial = "sending"
        states = [State("sending", job="send_it"), State("sent", final=True)]
        transitions = [["done", "sending", "sent"]]

        def send_it(self) -> None:
            self.send("mend", to="kid:mother:1/raising/0")

    with sandbox(machines=[Mother, Kid, Mender]) as box:
        failing.add(0)
        mother = Mother.start("1", children=[0])
        box.run()
        mother.cancel()
        mender = Mender.start("1")
        box.advance(days=1)
        row = mender._view.snapshot.row
        assert box._runtime.store.events.sent(row) == ()


def test_a_message_that_is_saved_is_sent_once_where_the_commit_got_no_answer() -> None:
    class Saving(Sender):
        name = "saving"

        def send_it(self) -> None:
            self.send("put", to="box:1", what=1)
            self.save()

    with sandbox(machines=[Saving, Box]) as box:
        target = Box.start("1")
        target.unlock()
        Saving.start("1")
        commits = type(box._runtime.store.commits)
        original = commits.commit
        calls: list[None] = []

        def commit(self: Any, what: Any, on_commit: Any) -> Any:
            after = original(self, what, on_commit)
            if what.posts and not calls:
                calls.append(None)
                sql = "SELECT token FROM fsmflow_history WHERE entity = ? ORDER BY seq DESC"
                token = box._runtime.store.link.rows(sql, (after.row,))[0][0]
                what_happened = "the server went away with the answer, and stayed away"
                raise DatabaseUnavailable(what_happened, in_doubt=True, token=token)
            return after

        with patch.object(commits, "commit", commit):
            box.run()
        assert calls
        assert [entry.trigger for entry in target.refresh().history].count("put") == 1
