"""An expense that a manager approves: a deadline, a reminder, roles, and an answer that may come too early.

Try it:

    fsmflow worker &
    fsmflow start approval lunch amount:=80 manager=ann
    fsmflow trigger approval:lunch submit
    fsmflow trigger approval:lunch approve --actor ann --role manager
    fsmflow history approval:lunch
"""

from datetime import timedelta

from fsmflow import Machine, Retry, State

from . import mail

#: Mail may be down for a while: six more tries, over some twenty minutes.
PATIENCE = Retry(max=6, interval=20)
#: Ann may answer before the job that asks her has returned. Her answer is kept until it can be taken.
ANSWERS = ["approve", "reject"]


class Approval(Machine):
    """Ask the manager, remind her once after three days, and let the claim expire after another three."""

    name = "approval"
    initial = "draft"
    states = [
        State("draft"),
        State("asking", job="ask", retry=PATIENCE, defer=ANSWERS),
        State("awaiting_answer", timeout=timedelta(days=3)),
        State("reminding", job="remind", retry=PATIENCE, defer=ANSWERS),
        State("awaiting_late_answer", timeout=timedelta(days=3)),
        State("approved", final=True),
        State("rejected", final=True),
        State("expired", final=True),
    ]
    waiting = ["awaiting_answer", "awaiting_late_answer"]
    transitions = [
        ["submit", "draft", "approved", "is_small"],
        ["submit", "draft", "asking"],
        ["done", "asking", "awaiting_answer"],
        ["timeout", "awaiting_answer", "reminding"],
        ["done", "reminding", "awaiting_late_answer"],
        ["timeout", "awaiting_late_answer", "expired"],
        {"trigger": "approve", "source": waiting, "dest": "approved", "roles": ["manager"], "before": "note_answer"},
        {"trigger": "reject", "source": waiting, "dest": "rejected", "roles": ["manager"], "before": "note_answer"},
    ]

    def is_small(self) -> bool:
        return self.data["amount"] <= 20

    def ask(self) -> None:
        mail.send(self.data["manager"], f"please approve {self.entity_id}", key=self.idempotency_key)

    def remind(self) -> None:
        mail.send(self.data["manager"], f"{self.entity_id} still waits for you", key=self.idempotency_key)

    def note_answer(self) -> None:
        self.data["answered_by"] = self.event.actor
