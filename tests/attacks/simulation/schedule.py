"""One schedule: a machine, a few hosts and clients, some weather; then calm, in which everything has to arrive."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from fsmflow import Machine
from fsmflow.decision.work import FAR_FUTURE_MS
from fsmflow.engine.registry import Registry
from fsmflow.engine.runtime import Runtime, installed
from fsmflow.errors import FsmflowError
from fsmflow.settings import Settings
from fsmflow.store.tables import ENTITY, EVENT, WORK
from fsmflow.verify import verify
from tests.attacks.simulation.actors import Machinery, Manners, WorkerHost
from tests.attacks.simulation.clients import PAUSES, Client, Request
from tests.attacks.simulation.deadlines import Deadlines
from tests.attacks.simulation.doorbell import SimulatedDoorbell
from tests.attacks.simulation.gathering import gathers_there
from tests.attacks.simulation.holder import Holder, holds_there
from tests.attacks.simulation.laboratory import EFFECTS, Laboratory
from tests.attacks.simulation.machines import Design, design, merges
from tests.attacks.simulation.oracle import Oracle, Violation
from tests.attacks.simulation.play import MOODS, Play
from tests.attacks.simulation.world import NEVER, Actor, Endless, Host, Weather, World, current_actor

#: What strikes a process at a point, what strikes what it calls, and what strikes the messages.
PROCESS_FAULTS: Final = ("kill", "kill", "kill", "host", "freeze", "freeze host", "clock", "flush", "redis", "crash")
DATABASE_FAULTS: Final = ("doubt", "deadlock", "disconnect")
QUEUE_FAULTS: Final = ("drop", "duplicate", "reorder", "delay", "lost reply")
TURNS: Final = 20_000
#: How long all may take to arrive once it is calm, in virtual seconds: as long as the longest timer, and two clocks
#: that were an hour off: one put a job off, and by another one it was told what was left of that as it was paused.
PATIENCE_S: Final = 9_000
#: Of so many schedules one is checked by ``fsmflow verify`` too, which takes a fifth of the time of a schedule.
_VERIFIED: Final = 8
#: Of so many schedules one has workers that take doorbells ahead: rests that none of the seeds has which find wrong
#: variants.
_DRAWS_EVERY: Final = 24
_DRAWS: Final = (5, 9, 13, 23)


@dataclass(frozen=True)
class Outcome:
    """What a schedule came to."""

    seed: int
    violation: str | None
    trace: tuple[str, ...]
    points: int
    faults: Counter[str]
    transitions: int
    jobs: int

    @property
    def holds(self) -> bool:
        return self.violation is None


class Schedule:
    """All of it follows from the seed."""

    def __init__(self, laboratory: Laboratory, seed: int) -> None:
        self._laboratory, self._seed = laboratory, seed
        dice = Random(seed)
        runs_on = seed % 3 == 1
        self._design: Design = design(seed // 16 % 997, in_a_row=runs_on)
        self._kinds = _some(dice, (*PROCESS_FAULTS, *DATABASE_FAULTS, *QUEUE_FAULTS))
        moods = _some(dice, MOODS)
        weather = Weather(
            switch=dice.choice([0.05, 0.2, 0.5]), fault=dice.choice([0.005, 0.02, 0.05]), kinds=self._kinds
        )
        self._world = World(seed, weather)
        self._world.strike = self._strike
        self._world.dropped = laboratory.database.drop
        self._world.failed = self._failed
        self._doorbell = SimulatedDoorbell(laboratory.store.installation, self._world)
        settings = Settings(database=laboratory.database, machines=self._design.classes)
        self._runtime = Runtime(
            settings, laboratory.store, machines=Registry(settings.machines), doorbell=self._doorbell
        )
        queues = {queue for it in self._runtime.machines.all().values() for queue in it.queues}
        self._shared = Machinery(
            self._world,
            self._runtime,
            self._doorbell,
            tuple(sorted(queues)),
            self._idle_s,
            Manners(runs_on=runs_on, gathers=gathers_there(seed), draws=seed % _DRAWS_EVERY in _DRAWS),
        )
        self._hosts = [WorkerHost(self._shared, name, workers) for name, workers in (("a", 2), ("b", 1))]
        deadlines = Deadlines(self._world, self._design.bounds)
        self._oracle = Oracle(laboratory.reader, self._design, deadlines, self._world.tell, self._world.now)
        self._holder = Holder(self._world, self._design, seed)
        self._play = Play(self._world, self._design, self._oracle, moods, self._wrong)
        self._requests: list[Request] = []
        self._ids: list[str] = []
        self._clients = 0
        self._violation: str | None = None
        self._faults: Counter[str] = Counter()
        self._has_arrived = False

    def run(self) -> Outcome:
        """Storm, calm, and what is then to be found."""
        laboratory, world = self._laboratory, self._world
        laboratory.clear()
        laboratory.database.reset(world, self._committed, is_lossy="crash" in self._kinds)
        with laboratory.taking_place_in(world, self._play), installed(self._runtime):
            try:
                self._storm()
                self._calm()
                self._check_end()
            except (Violation, Endless) as error:
                self._wrong(str(error))
            finally:
                world.close()
        trace = tuple(f"{at / 1000:9.3f}  {who:16} {what}" for at, who, what in world.trace)
        return Outcome(
            self._seed, self._violation, trace, world.points, self._faults, self._oracle.transitions, self._play.jobs
        )

    def _storm(self) -> None:
        world = self._world
        for host in self._hosts:
            host.start()
        for _ in range(world.dice.choice([1, 2, 2])):
            self._hire(Client(world, self._design, self._requests, self._ids), world.dice.randint(2, 4))
        if self._shared.manners.runs_on:
            pauser = Client(world, self._design, self._requests, self._ids, PAUSES)
            self._hire(pauser, world.dice.randint(4, 8))
        if holds_there(self._seed):
            world.spawn("holder", Host("holder"), self._holder.hold_and_release)
        world.run(lambda: self._clients == 0 or self._violation is not None, most=TURNS)
        until = world.now_ms + world.dice.choice([0, 2_000, 30_000])
        world.run(lambda: world.now_ms >= until or self._violation is not None, most=TURNS)

    def _hire(self, client: Client, count: int, after_s: float = 0) -> None:
        """A client that dies is followed by one that knows what it had asked with a key."""
        self._clients += 1

        def live() -> None:
            client.run(count)
            self._clients -= 1

        def killed() -> None:
            self._clients -= 1
            self._hire(client, max(count - 2, 0), after_s=1)

        host = Host(f"client{len(self._requests)}")
        self._world.spawn(f"{host.name}", host, live, killed, after_s=after_s)

    def _strike(self, actor: Actor, name: str) -> None:
        """One of the kinds of faults of this schedule, at the point at which an actor is."""
        world, kinds = self._world, [kind for kind in self._kinds if kind in PROCESS_FAULTS]
        if not kinds or self._violation is not None:
            return
        kind = world.dice.choice(kinds)
        self._faults[kind] += 1
        world.trace.append((world.now_ms, actor.name, f"FAULT {kind} at {name}"))
        until = world.now_ms + world.dice.choice([300, 4_000, 25_000, 90_000])
        if kind == "kill":
            world.kill(actor, f"at {name}")
        elif kind == "host":
            host = self._host_of(actor) or world.dice.choice(self._hosts)
            host.lose()
        elif kind == "freeze":
            world.freeze(actor, until)
        elif kind == "freeze host":
            for other in list(actor.host.actors):
                if other is not actor:
                    world.freeze(other, until)
            world.freeze(actor, until)
        elif kind == "clock":
            actor.host.skew_ms = world.dice.choice([-3_600_000, -5_000, 0, 5_000, 3_600_000])
        elif kind == "flush":
            self._doorbell.flush()
        elif kind == "redis":
            self._doorbell.go_away(world.dice.choice([0.5, 5, 40]))
        else:
            self._laboratory.database.crash(world.dice.choice([0.1, 2, 15]))
            self._committed()

    def _host_of(self, actor: Actor) -> WorkerHost | None:
        return next((host for host in self._hosts if host.host is actor.host), None)

    def _committed(self) -> None:
        if self._violation is None:
            try:
                self._oracle.look(self._claims())
            except Violation as error:
                self._wrong(str(error))

    def _claims(self) -> dict[int, str]:
        """The rows, and the token of each, of the attempts that the actor that runs has claimed."""
        actor = current_actor()
        held = (doing for host in self._hosts for doing in host.held_by(actor)) if actor is not None else ()
        return {doing.row: doing.owner for doing in held}

    def _wrong(self, what: str) -> None:
        if self._violation is None:
            self._violation = what
            self._world.tell(f"VIOLATION {what}")

    def _failed(self, actor: Actor, error: Exception) -> None:
        where = "".join(traceback.format_tb(error.__traceback__)[-6:])
        self._wrong(f"{actor.name} fell over {type(error).__name__}: {error}\n{where}")

    def _idle_s(self) -> float:
        """How long nothing is due, in seconds."""
        select = self._laboratory.reader.execute
        moments = select(f"SELECT MIN(wake_at) FROM {WORK} UNION ALL SELECT MIN(due_at) FROM {EVENT}").fetchall()
        found = [moment for (moment,) in moments if moment is not None]
        return (min(found) - self._world.now()) / 1000 if found else NEVER

    def _calm(self) -> None:
        """No more faults: whatever happened, everything has to arrive now."""
        world = self._world
        if self._violation is not None:
            return
        world.is_calm = True
        world.tell("CALM")
        self._laboratory.database.come_back()
        self._doorbell.go_away(0)
        for actor in world.actors:
            actor.host.skew_ms = 0
            if actor.is_frozen:
                actor.wake_at = world.now_ms
        self._oracle.deadlines.calm_since = world.now()
        end = world.now_ms + PATIENCE_S * 1000
        world.spawn("operator", Host("operator"), self._operate)
        world.run(lambda: self._has_arrived or world.now_ms > end or self._violation is not None, most=TURNS)
        if not self._has_arrived and self._violation is None:
            raise Violation(f"I5 after {PATIENCE_S:,} s of calm these have not arrived: {self._on_their_way()}")

    def _operate(self) -> None:
        """Mend what failed, let go what was paused, and wait for the rest."""
        machine, world, wait_s = self._design.machine, self._world, 5
        while not self._has_arrived:
            self._holder.release_all()
            for entity_id in self._roots():
                try:
                    self._help(machine.get(entity_id))
                except FsmflowError as error:
                    world.tell(f"operator: {entity_id}: {type(error).__name__}")
            world.sleep(wait_s)
            wait_s = min(wait_s + 5, 60)
            self._has_arrived = not self._on_their_way()

    def _roots(self) -> list[str]:
        """The entities that clients and messages have started."""
        prefix = f"{self._design.machine.name}:"
        addresses = [known.address for known in self._oracle.known.values()]
        return [at.removeprefix(prefix) for at in addresses if at.startswith(prefix) and "/" not in at]

    def _help(self, handle: Machine) -> None:
        if handle.phase == "failed" or self._is_paused(handle):
            handle.resume()
        elif handle.phase == "waiting" and "go" in handle.allowed_triggers():
            handle.trigger("go")
        elif handle.phase == "waiting":
            handle.resume()

    def _is_paused(self, handle: Machine) -> bool:
        return any(known.paused for known in self._oracle.known.values() if known.address == handle.address)

    def _on_their_way(self) -> list[str]:
        select = self._laboratory.reader.execute
        rows = select(f"SELECT machine, entity_id, state FROM {ENTITY} WHERE phase <> 'finished' AND parent IS NULL")
        busy = select(f"SELECT 'work of', entity, kind FROM {WORK}").fetchall()
        posts = select(f"SELECT kind, entity, due_at FROM {EVENT} WHERE due_at < {FAR_FUTURE_MS}").fetchall()
        return [" ".join(map(str, row)) for row in (*rows, *busy, *posts)]

    def _check_end(self) -> None:
        if self._violation is not None:
            return
        oracle = self._oracle
        oracle.look()
        for request in self._requests:
            request.check(oracle)
        lost = oracle.lost()
        for number, (row, epoch, attempt) in self._play.sent.items():
            if number in lost:
                continue
            how = oracle.known[row].ended.get((epoch, attempt), "")
            surely = how.startswith("done ") and self._play.runs[row, epoch, attempt] == 1
            surely = surely and number not in self._play.may_be_taken_back
            oracle.check_received(number, f"message of {oracle.known[row].address}", least=int(surely), most=1)
        self._check_effects()
        oracle.check_left()
        self._check_logs()
        if self._seed % _VERIFIED == 0:
            self._verify()

    def _verify(self) -> None:
        report = verify(self._laboratory.store, self._runtime.machines.all(), patience_s=1, strict=True)
        if not report.holds:
            raise Violation(f"verify: {report}")

    def _check_logs(self) -> None:
        """What triggers and jobs append to one list in the data: each line that was acknowledged is there, once."""
        play, known = self._play, self._oracle.known
        lines: dict[int, set[Any]] = {row: set() for row in known}
        for (row, epoch, attempt), line in play.appended.items():
            if play.runs[row, epoch, attempt] == 1 and known[row].ended.get((epoch, attempt), "").startswith("done "):
                lines[row].add(line)
        for row, number in self._oracle.poked():
            lines[row].add(number)
        for row, text in self._laboratory.reader.execute(f"SELECT id, data FROM {ENTITY}"):
            data = json.loads(text)
            log = data.get("log", [])
            if len(set(log)) < len(log) or not lines[row] <= set(log):
                raise Violation(f"9 {known[row].address}: its log is {log}, and {lines[row]} were appended")
            if merges(known[row].machine) and data.get("count", 0) != len(log):
                raise Violation(f"9 {known[row].address}: it counts {data.get('count')} of {len(log)}, which it merges")

    def _check_effects(self) -> None:
        """What transactional jobs wrote: once for each of their steps that came to its end, and nothing else."""
        rows = self._laboratory.reader.execute(f"SELECT row, epoch, COUNT(*) FROM {EFFECTS} GROUP BY row, epoch")
        found = {(row, epoch): count for row, epoch, count in rows}
        for known in self._oracle.known.values():
            for epoch, state in known.entered.items():
                if (known.machine, state) in self._design.transactional:
                    due = int(known.left.get(epoch) == "done")
                    if found.pop((known.row, epoch), 0) != due:
                        raise Violation(f"I7 {known.address}: {state!r} of epoch {epoch} has not written {due} times")
        if found:
            raise Violation(f"I7 written by steps that are none: {found}")


def _some(dice: Random, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """A choice of these: all, none or some."""
    share = dice.choice([0.2, 0.4, 0.7, 1])
    return tuple(kind for kind in kinds if dice.random() < share)
