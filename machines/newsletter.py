"""A newsletter to many readers: a job for each, three at a time, and a retry of those alone that failed.

Try it:

    fsmflow worker &
    fsmflow start newsletter may text='It is spring.' readers:='["ann", "bob", "eve"]'
    echo bob > .fsmflow/mail.down  # no mail goes to bob
    fsmflow trigger newsletter:may publish
    fsmflow show newsletter:may  # after some seconds: 2 of 3 done, 1 failed
    rm .fsmflow/mail.down
    fsmflow retry newsletter:may  # only bob's is sent; ``skip`` would go on without him
"""

from typing import Any

from fsmflow import Machine, Retry, State

from . import mail


class Newsletter(Machine):
    """Send one text to each of ``readers``, and count who got it."""

    name = "newsletter"
    initial = "draft"
    states = [
        State("draft"),
        State("sending", job="deliver", each="readers", limit=3, retry=Retry(max=2, interval=2), timeout=30),
        State("sent", final=True),
    ]
    transitions = [
        ["publish", "draft", "sending"],
        {"trigger": "done", "source": "sending", "dest": "sent", "before": "sum_up"},
    ]

    def deliver(self, reader: str) -> dict[str, Any]:
        # In a branch the key is that of the branch: each reader has one of their own, the same over all retries.
        mail.send(reader, self.data["text"], key=self.idempotency_key)
        return {"characters": len(self.data["text"])}

    def sum_up(self) -> None:
        done = [branch for branch in self.branches if branch.is_done]
        self.data["delivered"] = len(done)
        self.data["characters"] = sum(branch.result["characters"] for branch in done)
        self.data["missed"] = [branch.item for branch in self.branches if branch.is_failed]
