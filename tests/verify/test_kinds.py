"""``verify`` shares no code with what writes, so it names kinds by itself: here it is held to what is written."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import pytest

from fsmflow.decision.commit import EventKind
from fsmflow.decision.entity import Standing
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.work import FAR_FUTURE_MS, MAX_CRASHES, RUNS, WATCHES, WorkKind
from fsmflow.verify import branches, entity, events, history, law
from tests.support.paths import ROOT


def test_each_kind_of_history_is_known_and_means_the_same() -> None:
    assert {kind.value for kind in HistoryKind} == history.ENTERS | history.STAYS
    assert {kind.value for kind in HistoryKind if kind.enters} == history.ENTERS
    assert {kind.value for kind in HistoryKind if kind.is_rerun} == history.RUN_AGAIN


def test_a_kind_of_history_that_newer_code_wrote_means_nothing_here() -> None:
    newer = HistoryKind("audited")
    assert (newer.enters, newer.is_rerun, newer.is_hooked) == (False, False, False)
    assert str(newer) == "audited"


def test_each_kind_of_work_belongs_to_one_phase() -> None:
    assert {kind for kinds in entity.KINDS.values() for kind in kinds} == {kind.value for kind in WorkKind}
    assert set(entity.KINDS["working"]) == {kind.value for kind in RUNS | WATCHES}
    assert set(entity.JOBS) == {kind.value for kind in RUNS}
    assert set(branches.WATCHES) == {kind.value for kind in WATCHES}


def test_each_standing_is_unsettled_done_or_failed() -> None:
    assert (entity.QUEUED, branches.ACTIVE) == (Standing.QUEUED, Standing.ACTIVE)
    assert set(branches.DONE) == {standing.value for standing in Standing if standing.is_done}
    assert set(branches.FAILED) == {standing.value for standing in Standing if standing.is_failed}
    assert set(branches.FREE) == {standing.value for standing in Standing if standing.is_free}
    every = {entity.QUEUED, branches.ACTIVE, *branches.DONE, *branches.FAILED, *branches.FREE}
    assert every == {item.value for item in Standing}


def test_the_bounds_are_those_that_are_decided_by() -> None:
    assert (history.MAX_CRASHES, entity.HELD_UNTIL) == (MAX_CRASHES, FAR_FUTURE_MS)


def test_each_kind_of_event_is_checked_and_documented() -> None:
    assert {kind.value for kind in EventKind} >= events.KINDS
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    table = page.partition("| kind | what |")[2].partition("\n\n")[0]
    assert [kind.value for kind in EventKind if f"`{kind.value}`" not in table] == []


@pytest.mark.parametrize("module", [history, law], ids=["history", "law"])
def test_each_kind_of_history_that_is_asked_for_is_one(module: ModuleType) -> None:
    asked = {name for node in ast.walk(ast.parse(inspect.getsource(module))) for name in _kinds_asked(node)}
    assert asked
    assert asked <= {kind.value for kind in HistoryKind}


def _kinds_asked(node: ast.AST) -> set[str]:
    """The texts that a comparison compares a ``kind`` with."""
    if not isinstance(node, ast.Compare) or not ast.unparse(node.left).endswith("kind"):
        return set()
    texts = {item.value for side in node.comparators for item in ast.walk(side) if isinstance(item, ast.Constant)}
    return {text for text in texts if isinstance(text, str)}
