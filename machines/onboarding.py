"""A newcomer finds two mentors: a child entity for each colleague who is asked, and an early exit.

Try it:

    fsmflow worker &
    fsmflow start onboarding zoe colleagues:='["ann", "bob", "eve"]'
    fsmflow list --machine invitation --branches
    fsmflow trigger invitation:onboarding:zoe/finding_mentors/0 accept
    fsmflow trigger invitation:onboarding:zoe/finding_mentors/2 accept  # enough: bob's is cancelled
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from fsmflow import Machine, Retry, State

from . import mail

RETRY = Retry(max=2, interval=2)


class Invitation(Machine):
    """Ask one colleague to be a mentor; who does not answer in two days has declined."""

    name = "invitation"
    initial = "inviting"
    states = [
        State("inviting", job="invite", retry=RETRY, defer=["accept", "decline"]),
        State("invited", timeout=timedelta(days=2)),
        State("accepted", final=True),
        State("declined", final=True),
    ]
    transitions = [
        ["done", "inviting", "invited"],
        ["accept", "invited", "accepted"],
        ["decline", "invited", "declined"],
        ["timeout", "invited", "declined"],
    ]

    def invite(self) -> None:
        mail.send(self.data["colleague"], f"would you mentor {self.data['newcomer']}?", key=self.idempotency_key)


class Onboarding(Machine):
    """Invite all colleagues at once; the first two that accept are the mentors."""

    name = "onboarding"
    initial = "finding_mentors"
    states = [
        State("finding_mentors", machine="invitation", each="invitations", timeout=timedelta(days=5)),
        State("welcoming", job="welcome", retry=RETRY),
        State("welcomed", final=True),
        State("without_mentors", final=True),
    ]
    transitions = [
        # Asked after each invitation that has come to its end; those still open are cancelled when the state is left.
        {"trigger": "branch_done", "source": "finding_mentors", "dest": "welcoming", "conditions": "has_enough"},
        ["done", "finding_mentors", "without_mentors"],
        ["timeout", "finding_mentors", "without_mentors"],
        ["done", "welcoming", "welcomed"],
    ]

    def invitations(self) -> Iterator[dict[str, Any]]:
        for colleague in self.data["colleagues"]:
            yield {"colleague": colleague, "newcomer": self.entity_id}

    def has_enough(self) -> bool:
        return len(self.mentors()) >= 2

    def mentors(self) -> list[str]:
        return [branch.item["colleague"] for branch in self.branches if branch.state == "accepted"]

    def on_exit_finding_mentors(self) -> None:
        self.data["mentors"] = self.mentors()

    def welcome(self) -> None:
        mail.send(self.entity_id, f"your mentors: {', '.join(self.data['mentors'])}", key=self.idempotency_key)
