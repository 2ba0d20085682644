"""What jobs do in a schedule, and what is remembered of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from fsmflow import Fail, Machine, RetryAfter
from tests.attacks.simulation.deadlines import SOON_S
from tests.attacks.simulation.laboratory import EFFECTS
from tests.attacks.simulation.machines import Design, add_line, merges, takes_back
from tests.attacks.simulation.oracle import Oracle
from tests.attacks.simulation.world import World, current_actor

MOODS: Final = ("error", "error", "fail", "later", "slow", "save", "send", "beat")


class Play:
    """Jobs that return, raise, save, send and dawdle as the dice say. ``wrong`` is told of what must not be."""

    def __init__(
        self, world: World, design: Design, oracle: Oracle, moods: tuple[str, ...], wrong: Callable[[str], None]
    ) -> None:
        self._world = world
        self._design = design
        self._oracle = oracle
        self._moods = moods
        self._wrong = wrong
        #: A state whose job kills its worker each time.
        self._poison = world.dice.choice(["s1", "s2", None, None, None])
        self._once: Counter[tuple[str, int]] = Counter()
        self.jobs = 0
        #: By the number of a message, the attempt that sent it; how often an attempt was run.
        self.sent: dict[int, tuple[int, int, int]] = {}
        self.runs: Counter[tuple[int, int, int]] = Counter()
        #: What an attempt last appended to the log in the data of its entity, to which triggers append too.
        self.appended: dict[tuple[int, int, int], str] = {}
        #: The parents of which one branch has outlasted the time of its step.
        self._outlasted: set[int] = set()
        #: The messages that have a name, or end with a visit.
        self.may_be_taken_back: set[int] = set()

    def play(self, machine: Machine, item: Any) -> Any:
        """A job."""
        view: Any = machine._view
        world, dice = self._world, self._world.dice
        self._begins(view)
        if view.snapshot.branch_of is None:
            line = self.appended[view.claim.row, view.claim.epoch, view.claim.attempt] = f"job {self.jobs}"
            add_line(machine, line)
            if merges(self._design.machine.name):
                world.sleep(dice.choice([0, 0.3, 2]))
        world.pass_point("job.begin")
        mood = dice.choice(self._moods) if self._moods and not world.is_calm and dice.random() < 0.4 else None
        self._act(machine, view, mood)
        if not view.definition.states[view.state].transactional:  # which would keep all others from writing
            self._outlast(view.snapshot)
        if view.state == self._poison and not world.is_calm and (actor := current_actor()) is not None:
            world.kill(actor, "by the poison of its job")
        if view.definition.states[view.state].transactional:
            machine.database.execute_sql(f"INSERT INTO {EFFECTS} VALUES (?, ?)", (view.claim.row, view.claim.epoch))
        world.pass_point("job.end")
        if mood == "error":
            raise ValueError("in a bad mood")
        if mood == "fail":
            raise Fail("in a bad mood for good")
        if mood == "later" and not view.definition.states[view.state].at_most_once:
            raise RetryAfter(dice.choice([0, 3, 30]))
        return {"by": self.jobs} if item is None or view.snapshot.branch_of is None else item

    def _begins(self, view: Any) -> None:
        self.jobs += 1
        snapshot, claim = view.snapshot, view.claim
        known = self._oracle.known.get(claim.row)
        if known is None or known.entered.get(claim.epoch) != snapshot.state:
            self._wrong(f"5 {snapshot.address}: its job begins before {snapshot.state!r} was committed")
        if self._oracle.kept.get(claim.row) is not None:
            self._wrong(
                f"6 {snapshot.address}: its job begins, though hold {self._oracle.kept[claim.row]} keeps it back"
            )
        if view.definition.states[view.state].limits and self._oracle.lacks_permit(claim.row, claim.owner):
            self._wrong(f"5 {snapshot.address}: its job begins without a permit")
        self._begins_in_time(snapshot, claim)
        self.runs[claim.row, claim.epoch, claim.attempt] += 1
        if (snapshot.machine, snapshot.state) in self._design.once and snapshot.branch_of is None:
            self._once[claim.row, claim.epoch] += 1
            if self._once[claim.row, claim.epoch] > 1:
                self._wrong(f"I7 {snapshot.address}: {snapshot.state!r} runs at most once, and runs again")

    def _begins_in_time(self, snapshot: Any, claim: Any) -> None:
        """No attempt begins once the time of its step is over, and no branch that is claimed after that."""
        deadlines, parent = self._oracle.deadlines, self._oracle.known.get(snapshot.parent)
        late = deadlines.begins_late(claim.row, claim.epoch)
        if snapshot.branch_of is not None and parent is not None and parent.step == snapshot.parent_step:
            late = deadlines.is_claimed_late(claim.row, parent.row, parent.epoch)
        if late:
            self._wrong(f"2 {snapshot.address}: its job begins after the time of {snapshot.state!r} is over")

    def _outlast(self, snapshot: Any) -> None:
        """One branch of each parent whose step is bounded takes longer than that, though nothing fails any more."""
        parent = self._oracle.known.get(snapshot.parent)
        if not self._world.is_calm or parent is None or parent.row in self._outlasted:
            return
        if parent.step == snapshot.parent_step and self._oracle.deadlines.bounds_step(parent.row, parent.epoch):
            self._outlasted.add(parent.row)
            self._world.sleep(3 * SOON_S)

    def _act(self, machine: Machine, view: Any, mood: str | None) -> None:
        world, branch = self._world, view.snapshot.branch_of is not None
        if mood == "slow":
            world.sleep(world.dice.choice([0.5, 6, 12, 30]))
        elif mood == "beat":
            machine.heartbeat(0.5)
        elif mood == "save" and not branch:
            machine.data["saved"] = self.jobs
            machine.save()
        elif mood == "send":
            number = 1_000_000 + len(self.sent)
            self.sent[number] = (view.claim.row, view.claim.epoch, view.claim.attempt)
            self._send(machine, number)
            if number % 4 == 1 and not branch and takes_back(self._design.machine.name):
                machine.save()

    def _appointed(self, machine: Machine, number: int) -> dict[str, Any]:
        """Some messages have one of two names, some end with the visit, and some take back what has a name."""
        options: dict[str, Any] = {}
        if number % 5 == 0:
            machine.unsend(f"n{number % 2}")
        if number % 3 == 0:
            options["name"] = f"n{number % 2}"
        if number % 4 == 1:
            options["until_left"] = True
        if options:
            self.may_be_taken_back.add(number)
        return options

    def _send(self, machine: Machine, number: int) -> None:
        """To oneself, to another one, or to one that is not there yet; now or later."""
        dice = self._world.dice
        to = dice.choice([None, None, f"{self._design.machine.name}:e{dice.randrange(4)}"])
        options: dict[str, Any] = {"after": dice.choice([None, None, 5])}
        if dice.random() < 0.3:
            options["key"] = f"m{number}"
        if to is not None and dice.random() < 0.5:
            options["start"] = {"size": 1, "items": [0]}
        if takes_back(self._design.machine.name):
            options.update(self._appointed(machine, number))
        machine.send("poke", {"op": number}, to=to, **options)
