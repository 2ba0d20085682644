"""What became of a member of a repair, by what it is now and by the first line of its history that led on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fsmflow.decision.entity import Failure
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.member import Fate, Member, fate_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ASKED = Member(
    repair=9, entity=1, address="order:1", epoch=3, state="failed_from_charging", fingerprint="a" * 12, asked_epoch=4
)
LEFT = HistoryEntry(seq=7, kind=HistoryKind.TRANSITION, at=NOW, trigger="done", source="charging", dest="x", epoch=5)


def failure(fingerprint: str) -> Failure:
    return Failure(
        error_type="E",
        message="m",
        traceback="",
        state="charging",
        attempts=1,
        at=NOW,
        fingerprint=fingerprint,
        permanent=True,
    )


class Seen:
    """As much of a snapshot as is looked at."""

    def __init__(self, phase: str, fingerprint: str | None = None) -> None:
        self.phase = phase
        self.fingerprint = fingerprint


@pytest.mark.parametrize(
    ("seen", "fate"),
    [
        (Seen("working"), Fate.UNDER_WAY),
        (Seen("waiting"), Fate.RECOVERED),
        (Seen("finished"), Fate.RECOVERED),
        (Seen("failed", "a" * 12), Fate.FAILED_ALIKE),
        (Seen("failed", "b" * 12), Fate.FAILED_OTHERWISE),
        (None, Fate.TAKEN_OVER),
    ],
)
def test_who_has_not_gone_on_is_as_it_stands(seen: Seen | None, fate: Fate) -> None:
    assert fate_of(ASKED, seen, None) is fate  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "fate"),
    [
        ({}, Fate.RECOVERED),
        ({"trigger": "declined"}, Fate.RECOVERED),
        ({"trigger": "fail", "failure": failure("a" * 12)}, Fate.FAILED_ALIKE),
        ({"trigger": "fail", "failure": failure("b" * 12)}, Fate.FAILED_OTHERWISE),
        ({"trigger": "timeout", "failure": failure("b" * 12)}, Fate.FAILED_OTHERWISE),
        ({"trigger": "cancel"}, Fate.TAKEN_OVER),
        ({"trigger": "undo"}, Fate.TAKEN_OVER),
        ({"trigger": None, "kind": HistoryKind.FORCED}, Fate.TAKEN_OVER),
        ({"trigger": None, "kind": HistoryKind.SKIPPED}, Fate.TAKEN_OVER),
    ],
)
def test_who_has_gone_on_is_as_its_first_line_says_wherever_it_is_by_now(
    changes: dict[str, object], fate: Fate
) -> None:
    left = replace(LEFT, **changes)  # type: ignore[arg-type]
    assert fate_of(ASKED, Seen("failed", "c" * 12), left) is fate  # type: ignore[arg-type]
